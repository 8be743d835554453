"""Messages made from other messages: responses, ACK to a failure, CANCEL (RFC 3261 8.2.6, 17.1.1.3,
9.1), and header values that carry free text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sipserver.sip import grammar
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.headers import CSeq, Headers
from sipserver.sip.message import Request, Response

REASON_PHRASES: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity-Info",
    437: "Unsupported Certificate",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_CLASS_PHRASES: Final = {
    1: "Session Progress",
    2: "OK",
    3: "Multiple Choices",
    4: "Bad Request",
    5: "Server Internal Error",
    6: "Decline",
}

# RFC 3261 8.2.6.2: what a response repeats from its request.
_REPEATED: Final = frozenset({"via", "from", "to", "call-id", "cseq"})
_REPEATED_BY_TRYING: Final = _REPEATED | {"timestamp"}
# RFC 3261 12.1.1: the route set is given back where the response may create a dialog.
_REPEATED_IN_DIALOG: Final = _REPEATED | {"record-route"}
_DIALOG_CREATING: Final = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


def reason_phrase(status: int) -> str:
    """Return the registered phrase of a status, or that of its class for an unknown one."""
    return REASON_PHRASES.get(status) or _CLASS_PHRASES.get(status // 100, "")


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """Build a response: Via, From, To, Call-ID and CSeq as received, Record-Route in 101-299 to a
    dialog-creating request, Timestamp in 100.

    ``to_tag`` is put on To unless the request's To has a tag already; a 100 takes none. ``headers``
    follow in order. Raises LocalProtocolError for a status outside 100-699.
    """
    if not 100 <= status <= 699:
        raise LocalProtocolError(f"No SIP status: {status}")
    if status == 100:
        wanted, to_tag = _REPEATED_BY_TRYING, None
    elif status < 300 and request.method in _DIALOG_CREATING:
        wanted = _REPEATED_IN_DIALOG
    else:
        wanted = _REPEATED
    fields = [field for field in request.headers.fields if field[0] in wanted]
    if to_tag is not None and not _has_to_tag(request):
        fields = [
            (key, name, f"{value};tag={to_tag}") if key == "to" else (key, name, value)
            for key, name, value in fields
        ]
    response_headers = Headers.of_fields(fields)
    for name, value in headers:
        response_headers.add(name, value)
    if content_type is not None:
        response_headers.add("Content-Type", content_type)
    return Response(
        status, reason_phrase(status) if reason is None else reason, response_headers, body
    )


def _has_to_tag(request: Request) -> bool:
    try:
        return request.to.tag is not None
    except RemoteProtocolError:  # a stateless 400 repeats the To that it is about
        return ";tag=" in (request.headers.get("To") or "").lower()


def ack_for(invite: Request, response: Response) -> Request:
    """Build the ACK to a non-2xx final response: same branch, To of the response, Route of the
    INVITE (RFC 3261 17.1.1.3). Raises LocalProtocolError for a 2xx, whose ACK belongs to the
    dialog."""
    if not 300 <= response.status <= 699:
        raise LocalProtocolError("The ACK to this response is not the transaction's")
    return _same_transaction(invite, "ACK", response.headers.get("To"))


def cancel_for(invite: Request) -> Request:
    """Build the CANCEL of a pending request of ours (RFC 3261 9.1). Raises LocalProtocolError for
    an ACK or CANCEL."""
    if invite.method in ("ACK", "CANCEL"):
        raise LocalProtocolError(f"{invite.method} cannot be cancelled")
    return _same_transaction(invite, "CANCEL", invite.headers.get("To"))


def _same_transaction(invite: Request, method: str, to: str | None) -> Request:
    if to is None:
        raise LocalProtocolError("No To")
    headers = Headers([("Via", str(invite.via))])
    for value in invite.headers.get_all("Route"):
        headers.add("Route", value)
    headers.add("From", invite.headers.get("From", "") or "")
    headers.add("To", to)
    headers.add("Call-ID", invite.call_id)
    headers.add("CSeq", str(CSeq(invite.cseq.number, method)))
    headers.add("Max-Forwards", "70")
    return Request(method, invite.uri_text, headers)


def warning_value(code: int, agent: str, text: str) -> str:
    """Return a Warning value (RFC 3261 20.43): ``399 host "text"``, code of three digits."""
    if not 300 <= code <= 399:
        raise LocalProtocolError(f"No warn-code: {code}")
    return f"{code} {agent} {grammar.quote(text)}"


def reason_value(protocol: str, cause: int, text: str | None = None) -> str:
    """Return a Reason value (RFC 3326): ``Q.850;cause=16;text="…"`` or ``SIP;cause=…``."""
    if not grammar.is_token(protocol):
        raise LocalProtocolError(f"No Reason protocol: {protocol}")
    value = f"{protocol};cause={cause}"
    return value if text is None else f"{value};text={grammar.quote(text)}"
