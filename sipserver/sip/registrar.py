"""What a REGISTER does to the bindings of its address of record (RFC 3261 10.3, sip-domain.md
section 7). Pure: who may register, and where bindings are kept, is decided elsewhere.

All times are wall clock, seconds since the epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from math import ceil
from typing import Final, NamedTuple

from sipserver.sip import grammar
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Flow
from sipserver.sip.message import Request
from sipserver.sip.redirect import quality
from sipserver.sip.uri import NameAddr, SipUri, equivalent, parse_uri

TOO_MANY_CONTACTS: Final = 32007
TOO_MANY_REQUESTS: Final = 32008

MAX_CONTACT_SIZE: Final = 512
MAX_CALL_ID_SIZE: Final = 255
MAX_INSTANCE_SIZE: Final = 255
MAX_USER_AGENT_SIZE: Final = 255


@dataclass(frozen=True, slots=True)
class RegisterRules:
    """Seconds; ``max_contacts`` counts active ones of one address of record."""

    min_expires: int = 600
    max_expires: int = 3600
    default_expires: int = 3600
    max_contacts: int = 10


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact. ``contact`` is its URI as the phone spelled it; ``flow`` is where the REGISTER
    came from and is only carried; ``instance`` is the value of ``+sip.instance`` without quotes."""

    contact: str
    expires_at: float
    call_id: str
    cseq: int
    flow: Flow
    q: float = 1.0
    instance: str = ""
    user_agent: str = ""


class BindingChange(NamedTuple):
    """``old`` None adds, ``new`` None removes, both replace (``old`` may be an expired one)."""

    old: Binding | None
    new: Binding | None


@dataclass(frozen=True, slots=True)
class RegisterOutcome:
    """The answer to send. ``changes`` are to be made in this order, ``bindings`` are those active
    afterwards. Any status but 200 comes without changes; ``code`` (errors.md) is then for the
    log, 0 if there is none for it."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    changes: tuple[BindingChange, ...] = ()
    bindings: tuple[Binding, ...] = ()
    code: int = 0


class _Wanted(NamedTuple):
    """One Contact of the request; ``seconds`` 0 removes."""

    uri: SipUri
    binding: Binding
    seconds: int


class _Refused(Exception):
    def __init__(self, outcome: RegisterOutcome) -> None:
        self.outcome = outcome


def aor_of(request: Request) -> tuple[str, str]:
    """Return (user with escapes decoded, domain in lower case) of the address of record: the To
    header (RFC 3261 10.3 step 5). Raises RemoteProtocolError, 404 when it has no user part."""
    uri = request.to.uri
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError("Unsupported URI scheme", 416)
    if not uri.username:
        raise RemoteProtocolError("Address of record without a user part", 404)
    return uri.username, uri.domain


def plan(
    request: Request,
    current: Sequence[Binding],
    now: float,
    flow: Flow,
    rules: RegisterRules = RegisterRules(),
) -> RegisterOutcome:
    """Decide about an authenticated REGISTER whose address of record has the bindings ``current``.

    Expired ones among these count as absent. All or nothing: one refused Contact refuses all.
    """
    try:
        changes = _changes(request, current, now, flow, rules)
    except _Refused as refused:
        return refused.outcome
    except RemoteProtocolError as error:
        return RegisterOutcome(error.status_hint, error.message)
    bindings = _applied(current, changes, now)
    added = any(_adds(change, now) for change in changes)
    if added and len(bindings) > rules.max_contacts:
        most = rules.max_contacts
        return RegisterOutcome(403, f"More than {most} contacts", code=TOO_MANY_CONTACTS)
    headers = [("Contact", _listed(binding, now)) for binding in bindings]
    headers.append(("Date", formatdate(now, usegmt=True)))
    return RegisterOutcome(200, "OK", tuple(headers), tuple(changes), tuple(bindings))


def _adds(change: BindingChange, now: float) -> bool:
    return change.new is not None and (change.old is None or change.old.expires_at <= now)


def _applied(
    current: Sequence[Binding], changes: Sequence[BindingChange], now: float
) -> list[Binding]:
    gone = [change.old for change in changes]
    kept = [each for each in current if each.expires_at > now and each not in gone]
    return kept + [change.new for change in changes if change.new is not None]


def _listed(binding: Binding, now: float) -> str:
    text = f"<{binding.contact}>;expires={ceil(binding.expires_at - now)}"
    if binding.q < 1:
        text += f";q={binding.q:.3g}"
    if binding.instance:
        text += f";+sip.instance={grammar.quote(binding.instance)}"
    return text


# ---- changes -------------------------------------------------------------------------------


def _changes(
    request: Request, current: Sequence[Binding], now: float, flow: Flow, rules: RegisterRules
) -> list[BindingChange]:
    _storable("Call-ID", request.call_id, MAX_CALL_ID_SIZE)
    if request.contact_is_wildcard:
        return _remove_all(request, current, now)
    parsed = [(each, _uri_of(each)) for each in current]
    changes: list[BindingChange] = []
    for wanted in _wanted(request, now, flow, rules):
        matching = [old for old, uri in parsed if _same(wanted, old, uri)]
        for old in matching:
            if old.expires_at > now:
                _check_order(request, old)
        kept = matching.pop(0) if matching and wanted.seconds else None
        # What instance and URI both name is one phone: the rest of it goes, and goes first, for
        # it may hold the very URI that the kept one gets.
        changes += [BindingChange(old, None) for old in matching]
        if wanted.seconds:
            changes.append(BindingChange(kept, wanted.binding))
        parsed = [pair for pair in parsed if not _same(wanted, *pair)]
    return changes


def _remove_all(request: Request, current: Sequence[Binding], now: float) -> list[BindingChange]:
    if request.expires != 0:
        raise RemoteProtocolError("Contact: * needs Expires: 0")
    active = [each for each in current if each.expires_at > now]
    for old in active:
        _check_order(request, old)
    return [BindingChange(old, None) for old in active]


def _check_order(request: Request, old: Binding) -> None:
    """Only a later request of the same Call-ID may change what an earlier one left."""
    if old.call_id == request.call_id and request.cseq.number <= old.cseq:
        raise _Refused(RegisterOutcome(500, "CSeq out of order"))


def _uri_of(binding: Binding) -> SipUri | None:
    uri = parse_uri(binding.contact)
    return uri if isinstance(uri, SipUri) else None


def _same(wanted: _Wanted, old: Binding, old_uri: SipUri | None) -> bool:
    if wanted.binding.instance and wanted.binding.instance == old.instance:
        return True
    return old_uri is not None and equivalent(wanted.uri, old_uri)


# ---- the request's contacts ----------------------------------------------------------------


def _wanted(request: Request, now: float, flow: Flow, rules: RegisterRules) -> list[_Wanted]:
    """The Contacts in order; of two that are the same contact the later one counts."""
    default = _seconds(request.headers.get("Expires"), rules.default_expires)
    user_agent = grammar.printable(request.headers.get("User-Agent", "") or "")
    found: list[_Wanted] = []
    for contact in request.contacts:
        uri = _checked(contact)
        asked = _seconds(contact.params.get("expires"), default)
        if 0 < asked < rules.min_expires:
            headers = (("Min-Expires", str(rules.min_expires)),)
            raise _Refused(RegisterOutcome(423, "Interval Too Brief", headers))
        seconds = min(asked, rules.max_expires)
        binding = Binding(
            contact=str(uri),
            expires_at=now + seconds,
            call_id=request.call_id,
            cseq=request.cseq.number,
            flow=flow,
            q=quality(contact.params),
            instance=grammar.unquote(contact.params.get("+sip.instance", "") or ""),
            user_agent=user_agent[:MAX_USER_AGENT_SIZE],
        )
        _storable("Contact", binding.contact, MAX_CONTACT_SIZE)
        _storable("Instance id", binding.instance, MAX_INSTANCE_SIZE)
        wanted = _Wanted(uri, binding, seconds)
        found = [each for each in found if not _same(wanted, each.binding, each.uri)]
        found.append(wanted)
    return found


def _checked(contact: NameAddr) -> SipUri:
    uri = contact.uri
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError("Contact is no SIP URI")
    if uri.headers is not None:
        # They would be written into whatever is sent there.
        raise RemoteProtocolError("Contact with URI headers")
    return uri


def _storable(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise RemoteProtocolError(f"{what} too long")
    if grammar.printable(text) != text:
        raise RemoteProtocolError(f"{what} is no UTF-8 text")


def _seconds(text: str | None, default: int) -> int:
    """Seconds asked for; ``default`` for none, and for what is no number (RFC 3261 20.10)."""
    if not text or not (text.isascii() and text.isdigit()):
        return default
    return int(text) if len(text) <= 20 else default


# ---- rate ----------------------------------------------------------------------------------


class RegisterRate:
    """At most ``per_second`` REGISTERs per address of record (a token bucket each).

    Knows the ``size`` last seen addresses: an address forgotten under a flood of others starts
    with a full bucket.
    """

    def __init__(self, per_second: float = 5.0, size: int = 10_000) -> None:
        self._per_second = per_second
        self._size = size
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refusal(self, aor: str, now: float) -> RegisterOutcome | None:
        """Count one REGISTER of ``aor`` at ``now`` (any steady clock): None, or the 503 to send."""
        tokens, seen = self._buckets.pop(aor, (self._per_second, now))
        tokens = min(self._per_second, tokens + (now - seen) * self._per_second)
        allowed = tokens >= 1
        self._buckets[aor] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        if allowed:
            return None
        return RegisterOutcome(
            503, "Too many REGISTERs", (("Retry-After", "1"),), code=TOO_MANY_REQUESTS
        )
