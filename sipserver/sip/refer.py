"""What transfers are made of: Refer-To, Replaces, Referred-By, sipfrag, Subscription-State
(RFC 3515, 3891, 3892, 3420, 6665; sip-domain.md section 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sipserver.sip import grammar
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.message import Request
from sipserver.sip.uri import SipUri, Uri, parse_name_addr, parse_uri, unescape

MAX_REFER_TO_SIZE: Final = 256
"""Characters of a Refer-To that we accept."""

SIPFRAG_TYPE: Final = "message/sipfrag;version=2.0"
"""Content-Type of the NOTIFYs we send."""

_MAX_SIPFRAG: Final = 8_192
_MAX_REASON: Final = 200
_TARGET_SCHEMES: Final = ("sip", "sips", "tel")


# ---- Refer-To and Replaces -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog to be replaced, its tags as its owner sees them: ``to_tag`` is the owner's local
    one, ``from_tag`` its remote one (RFC 3891 section 3)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def parse_replaces(value: str) -> Replaces:
    """Read a Replaces header value. Raises RemoteProtocolError: both tags are needed, once each."""
    call_id, *params = value.split(";")
    call_id = call_id.strip()
    if not call_id or not call_id.isprintable() or " " in call_id:
        raise RemoteProtocolError("Malformed Call-ID in Replaces")
    tags: dict[str, str] = {}
    early_only = False
    for param in params:
        name, equals, text = (part.strip() for part in param.partition("="))
        name = name.lower()
        if name in ("to-tag", "from-tag"):
            if name in tags or not grammar.is_token(text):
                raise RemoteProtocolError(f"Repeated or malformed {name} in Replaces")
            tags[name] = text
        elif name == "early-only" and not equals:
            early_only = True
    if len(tags) != 2:
        raise RemoteProtocolError("Replaces lacks a tag")
    return Replaces(call_id, tags["to-tag"], tags["from-tag"], early_only)


@dataclass(frozen=True, slots=True)
class ReferTo:
    """A received Refer-To. ``verbatim`` is the whole value (the webhook's ReferTransferTarget),
    ``uri`` the target without URI headers, ``replaces`` the dialog of an attended transfer."""

    verbatim: str
    uri: Uri
    replaces: Replaces | None = None


def parse_refer_to(request: Request) -> ReferTo:
    """Read the target of a REFER. Raises RemoteProtocolError: there must be exactly one Refer-To
    (RFC 3515 2.4.2) of at most 256 characters."""
    values = request.headers.get_all("Refer-To")
    if len(values) != 1:
        raise RemoteProtocolError("A REFER needs one Refer-To")
    verbatim = values[0].strip()
    if len(verbatim) > MAX_REFER_TO_SIZE:
        raise RemoteProtocolError("Refer-To too long")
    if grammar.printable(verbatim) != verbatim:
        raise RemoteProtocolError("Refer-To is no UTF-8 text")
    uri = parse_name_addr(verbatim).uri
    if not isinstance(uri, SipUri):
        return ReferTo(verbatim, uri)
    method = uri.params.get("method")
    if method is not None and method.upper() != "INVITE":
        raise RemoteProtocolError("Refer-To asks for something other than a call", 603)
    target = replace(uri, headers=None, params=uri.params.without("method"))
    return ReferTo(verbatim, target, _replaces_in(uri.headers))


def _replaces_in(headers: str | None) -> Replaces | None:
    if not headers:
        return None
    found = None
    for item in headers.split("&"):
        name, _, value = item.partition("=")
        if unescape(name).lower() == "replaces":
            if found is not None:
                raise RemoteProtocolError("Repeated Replaces in Refer-To")
            found = parse_replaces(unescape(value))
    return found


def refer_to_value(text: str) -> str:
    """Return the Refer-To of a ``<Refer><Sip>`` text: that text, put into brackets where it has
    none, for a bare URI could not have parameters or headers of its own (RFC 3261 20).

    ``sip:``, ``sips:`` and ``tel:`` URIs, also as a name-addr; without a scheme ``sip:`` is meant.
    Raises LocalProtocolError for anything else: it must not get into a header.
    """
    spelled = text.strip()
    if grammar.printable(spelled) != spelled:
        raise LocalProtocolError("The target of Refer holds control characters")
    try:
        if "<" in spelled:
            uri = parse_name_addr(spelled).uri
        else:
            scheme = spelled.partition(":")[0].lower()
            if scheme not in _TARGET_SCHEMES and ":" not in spelled.partition("@")[0]:
                spelled = f"sip:{spelled}"
            uri = parse_uri(spelled)
            spelled = f"<{spelled}>"
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"The target of Refer is no URI: {error.message}") from None
    if uri.scheme.lower() not in _TARGET_SCHEMES:
        raise LocalProtocolError("The target of Refer is neither a SIP nor a tel URI")
    return spelled


def referred_by_value(uri: SipUri) -> str:
    """Return the Referred-By that names ``uri``, the identity we act for (RFC 3892)."""
    return f"<{uri.bare()}>"


# ---- NOTIFY --------------------------------------------------------------------------------


class Fragment(NamedTuple):
    """The status line that a NOTIFY of a REFER carries."""

    status: int
    reason: str


def parse_sipfrag(content_type: str | None, body: bytes) -> Fragment | None:
    """Return the status a NOTIFY tells; None when its body is none such.

    ``content_type`` is ``Message.content_type``; some peers leave it out. Header fields after the
    status line and missing line ends do not matter.
    """
    if content_type not in (None, "message/sipfrag") or len(body) > _MAX_SIPFRAG:
        return None
    line = body.lstrip(b"\r\n \t").partition(b"\n")[0].decode("utf-8", "replace").strip()
    version, _, rest = line.partition(" ")
    status, _, reason = rest.lstrip().partition(" ")
    if version.upper() != "SIP/2.0" or len(status) != 3:
        return None
    if not (status.isascii() and status.isdigit()) or not 100 <= int(status) <= 699:
        return None
    return Fragment(int(status), grammar.printable(reason.strip())[:_MAX_REASON])


def format_sipfrag(status: int, reason: str) -> bytes:
    """Return the body of a NOTIFY that tells ``status``. Raises LocalProtocolError when it is none,
    or the reason holds control characters."""
    if not 100 <= status <= 699 or grammar.printable(reason) != reason:
        raise LocalProtocolError("Not a status line")
    return f"SIP/2.0 {status} {reason}\r\n".encode()


class SubscriptionState(NamedTuple):
    """``state`` in lower case (``active``, ``pending``, ``terminated`` or an extension), ``reason``
    in lower case or empty, ``expires`` in seconds or None."""

    state: str
    reason: str = ""
    expires: int | None = None

    @property
    def terminated(self) -> bool:
        return self.state == "terminated"


def subscription_state(value: str | None) -> SubscriptionState:
    """Read a Subscription-State. Peers leave it out or garble it: then the subscription counts as
    ``active``, and unreadable parameters as absent."""
    state, *params = (value or "").split(";")
    reason, expires = "", None
    for param in params:
        name, _, text = (part.strip() for part in param.partition("="))
        if name.lower() == "reason" and grammar.is_token(text):
            reason = text.lower()
        elif name.lower() == "expires" and text.isascii() and text.isdigit() and len(text) <= 10:
            expires = int(text)
    state = state.strip().lower()
    return SubscriptionState(state if grammar.is_token(state) else "active", reason, expires)
