"""Parameters of TwiML requests, and the request built from them. Pure.

Sources: webhooks.md sections 1 and 3, sip-domain.md section 6. Parameters are ordered pairs;
a parameter without a value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        found.append((f"SipHeader_{_text(name)}", text))
    return found


def fallback_report(error_code: int, error_url: str) -> Parameters:
    """Extra parameters of a request to a fallback URL: why, and which URL failed."""
    return [("ErrorCode", str(error_code)), ("ErrorUrl", _text(error_url))]


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
