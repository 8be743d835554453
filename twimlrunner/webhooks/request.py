"""Parameters of TwiML requests, and the request built from them. Pure.

Sources: webhooks.md sections 1 and 3, sip-domain.md section 6. Parameters are ordered pairs;
a parameter without a value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote_plus

from twimlrunner.webhooks.signature import sign
from twimlrunner.webhooks.url import WebhookUrl

API_VERSION = "2010-04-01"
FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
USER_AGENT = "TwilioProxy/1.1"  # webhooks.md section 1: applications look for it
MAX_HEADERS = 32
MAX_HEADER_BYTES = 8192

Parameters = list[tuple[str, str]]
Report = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the application is told about a call.

    ``from_`` and ``to`` are URIs without display name, brackets or tag; ``headers`` all headers of
    the INVITE in order, in the sender's spelling; ``extra_headers`` the domain's allow-list of
    header names beyond the ``X-`` ones. Empty strings and None are left out of the request.
    """

    call_sid: str
    account_sid: str
    from_: str
    to: str
    status: str
    direction: str = "inbound"
    parent_call_sid: str = ""
    sip_domain: str = ""
    sip_domain_sid: str = ""
    sip_username: str | None = None
    sip_call_id: str = ""
    source_ip: str = ""
    headers: Sequence[tuple[str, str]] = ()
    extra_headers: Sequence[str] = ()


def standard_parameters(facts: CallFacts) -> Parameters:
    """The parameters of every TwiML request of a call (webhooks.md section 3)."""
    pairs = [
        ("CallSid", facts.call_sid),
        ("AccountSid", facts.account_sid),
        ("ApiVersion", API_VERSION),
        ("From", facts.from_),
        ("To", facts.to),
        ("Caller", facts.from_),
        ("Called", facts.to),
        ("CallStatus", facts.status),
        ("Direction", facts.direction),
        ("ParentCallSid", facts.parent_call_sid),
        ("SipDomain", facts.sip_domain),
        ("SipDomainSid", facts.sip_domain_sid),
        ("SipUsername", facts.sip_username or ""),
        ("SipCallId", facts.sip_call_id),
        ("SipSourceIp", facts.source_ip),
    ]
    present = [(name, _text(value)) for name, value in pairs if value]
    return present + header_parameters(facts.headers, facts.extra_headers)


def header_parameters(
    headers: Iterable[tuple[str, str]], extra_headers: Iterable[str] = ()
) -> Parameters:
    """``SipHeader_<name>`` of each header that applications may see, in order.

    ``X-`` headers in any case, ``User-to-User``, and ``extra_headers``. The sender's spelling is
    kept, a repeated header repeats the parameter. At most MAX_HEADERS, MAX_HEADER_BYTES in all:
    what exceeds them is left out (sip-domain.md section 6).
    """
    wanted = {"user-to-user", *(name.lower() for name in extra_headers)}
    return _headers("SipHeader_", headers, wanted)


def _headers(prefix: str, headers: Iterable[tuple[str, str]], wanted: Set[str]) -> Parameters:
    found: Parameters = []
    size = 0
    for name, value in headers:
        lower = name.lower()
        if not value or not (lower.startswith("x-") or lower in wanted):
            continue
        text = _text(value)
        size += len(name) + len(text.encode())
        if len(found) == MAX_HEADERS or size > MAX_HEADER_BYTES:
            break
        found.append((prefix + _text(name), text))
    return found


# --- what verbs report (webhooks.md section 4.1) ----------------------------------------------


def fallback_report(error_code: int, error_url: str) -> Report:
    """Extra parameters of a request to a fallback URL: why, and which URL failed if any did."""
    return _present(("ErrorCode", str(error_code)), ("ErrorUrl", error_url))


def gather_report(digits: str, finished_on_key: str) -> Report:
    """Of Gather's action. ``finished_on_key`` is empty when time or number of digits ended it;
    ``digits`` are left out when there are none (actionOnEmptyResult)."""
    return (*_present(("Digits", digits)), ("FinishedOnKey", finished_on_key))


def record_report(*, url: str, sid: str, seconds: int, digits: str) -> Report:
    """Of Record's action. ``digits`` is the key that ended it, ``hangup``, or empty."""
    return _present(
        ("RecordingUrl", url),
        ("RecordingDuration", str(seconds)),
        ("Digits", digits),
        ("RecordingSid", sid),
    )


def dial_report(
    status: str, *, call_sid: str, seconds: int, bridged: bool, recording_url: str
) -> Report:
    """Of Dial's action. ``call_sid`` and ``seconds`` are those of the leg that won, or of the last
    one; without any leg both are left out."""
    return _present(
        ("DialCallStatus", status),
        ("DialCallSid", call_sid),
        ("DialCallDuration", str(seconds) if call_sid else ""),
        ("DialBridged", "true" if bridged else "false"),
        ("RecordingUrl", recording_url),
    )


def dial_sip_report(call_id: str, status: int, headers: Iterable[tuple[str, str]]) -> Report:
    """What Dial's action is told of a ``<Sip>`` leg in addition: ``status`` is its final response
    (0: none), ``headers`` those of it or of its BYE, of which ``X-`` ones are passed on."""
    return (
        *_present(("DialSipCallId", call_id), ("DialSipResponseCode", str(status or ""))),
        *_headers("DialSipHeader_", headers, frozenset()),
    )


def transfer_report(refer_to: str) -> Report:
    """Of Dial's referUrl: what an endpoint's REFER named."""
    return _present(("ReferTransferTarget", refer_to))


def refer_report(status: str, refer_status: int, notify_status: int) -> Report:
    """Of Refer's action; what is empty or 0 is left out."""
    return _present(
        ("ReferCallStatus", status),
        ("ReferSipResponseCode", str(refer_status or "")),
        ("NotifySipResponseCode", str(notify_status or "")),
    )


def _present(*pairs: tuple[str, str]) -> Report:
    return tuple([(name, _text(value)) for name, value in pairs if value])


# --- the request ------------------------------------------------------------------------------


def _text(value: str) -> str:
    """``value`` as the application will decode it: SIP text may hold bytes that are not UTF-8."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    return quote_plus(name)  # the same few names in every request


def form_encode(parameters: Iterable[tuple[str, str]]) -> str:
    """``application/x-www-form-urlencoded``, UTF-8, space as ``+``."""
    return "&".join([f"{_name(name)}={quote_plus(value)}" for name, value in parameters])


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, ready to send. ``url`` already holds a GET's parameters."""

    method: str
    url: WebhookUrl
    headers: list[tuple[str, str]]
    body: bytes


def build(
    method: str,
    url: WebhookUrl,
    parameters: Sequence[tuple[str, str]],
    *,
    token: str,
    idempotency_token: str,
) -> HttpRequest:
    """The signed request. GET: ``parameters`` join the query; POST: they are the form."""
    body = b""
    encoded = form_encode(parameters)
    if method == "GET":
        url = url.with_query(encoded)
        signature = sign(token, url.sent)
    else:
        body = encoded.encode("ascii")
        signature = sign(token, url.sent, parameters)
    headers = [
        ("Host", url.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        ("Cache-Control", "max-age=259200"),
        ("X-Twilio-Signature", signature),
        ("I-Twilio-Idempotency-Token", idempotency_token),
    ]
    if method != "GET":
        headers.append(("Content-Type", FORM_TYPE))
        headers.append(("Content-Length", str(len(body))))
    return HttpRequest(method, url, headers, body)
