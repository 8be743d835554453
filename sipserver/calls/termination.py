"""Why a call ended: one bounded table from cause to call status, SIP answer, log code and blame.

Rows follow sip-domain.md section 4 (answers) and errors.md sections 1, 7 (codes; 599xx are ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from twimlrunner.engine.interrupts import (
    Cancelled,
    Interrupt,
    MediaLost,
    NodeDraining,
    Redirected,
    Released,
    RemoteHangup,
    TimeLimit,
)


@dataclass(frozen=True, slots=True)
class Cause:
    """``status`` final call status; ``sip_status`` the answer to an INVITE not yet answered (0 =
    ends by BYE only); ``code`` errors.md code for a notification (0 = none); ``level`` of it;
    ``blame`` who has to act: caller, application, operator, network, server or nobody; ``text``
    the operator's explanation."""

    status: str
    sip_status: int
    code: int
    level: str
    blame: str
    text: str


def _refusal(sip_status: int, code: int, blame: str, text: str) -> Cause:
    return Cause("failed", sip_status, code, "error", blame, text)


CAUSES: dict[str, Cause] = {
    # ordinary endings
    "caller-hangup": Cause("completed", 0, 0, "", "nobody", "The caller hung up."),
    "document-ended": Cause("completed", 0, 0, "", "nobody", "The application's TwiML ended."),
    "hangup-verb": Cause("completed", 0, 0, "", "nobody", "The application hung up."),
    "refer-last": Cause(
        "completed", 0, 0, "", "nobody",
        "The transfer was the last thing in the application's TwiML, so this leg was ended.",
    ),
    "reject-busy": Cause(
        "busy", 486, 0, "", "application", "The application rejected the call as busy."
    ),
    "reject": Cause("no-answer", 404, 0, "", "application", "The application rejected the call."),
    "canceled": Cause(
        "canceled", 487, 0, "", "caller", "The caller gave up before the call was answered."
    ),
    # refused before the application was asked
    "unknown-domain": _refusal(404, 32200, "caller", "No SIP domain of that name is set up here."),
    "no-auth-mapped": _refusal(
        403, 32200, "operator",
        "The domain takes no calls: neither an IP access control list nor a credential list is "
        "mapped to it.",
    ),
    "source-not-allowed": _refusal(
        403, 32201, "operator",
        "The source address is in none of the domain's IP access control lists.",
    ),
    "bad-credentials": _refusal(403, 32202, "caller", "Wrong user name or password."),
    "challenge-unanswered": _refusal(
        407, 32202, "caller",
        "The caller was asked for user name and password and sent none.",
    ),
    "user-mismatch": _refusal(
        403, 32106, "caller", "The From user differs from the user name of the credentials."
    ),
    "account-inactive": _refusal(403, 10003, "operator", "The account is suspended or closed."),
    "concurrency-limit": _refusal(503, 10004, "operator", "The concurrent-call limit is reached."),
    "cps-limit": _refusal(
        503, 32013, "operator", "The limit of incoming calls per second is reached."
    ),
    "tls-required": _refusal(403, 32209, "caller", "The domain is secure: it takes TLS only."),
    "srtp-required": _refusal(488, 32208, "caller", "The domain is secure: it takes SRTP only."),
    "srtp-refused": _refusal(
        488, 32207, "caller", "The domain is not secure: SRTP is not accepted."
    ),
    "no-common-codec": _refusal(
        488, 32102, "caller", "The caller offers no codec that we speak (PCMU, PCMA)."
    ),
    "address-family": _refusal(
        488, 32102, "caller",
        "The SDP names an address of another IP version than the one the INVITE came by.",
    ),
    "bad-sdp": _refusal(400, 32102, "caller", "The SDP of the INVITE cannot be read."),
    "protocol": _refusal(400, 32011, "caller", "The INVITE breaks the SIP rules."),
    "hops-exhausted": _refusal(483, 32006, "network", "Max-Forwards reached 0: a routing loop."),
    # refused because we cannot
    "draining": _refusal(503, 59910, "server", "The node is shutting down."),
    "overloaded": _refusal(503, 59911, "server", "The node is overloaded."),
    "database-unavailable": _refusal(
        503, 59912, "server",
        "The database does not answer: no call is taken that cannot be logged.",
    ),
    "media-unavailable": _refusal(503, 59913, "server", "No media worker or RTP port is free."),
    # failures on the way
    "application-error": Cause(
        "completed", 0, 0, "", "application",
        "The application gave no usable TwiML; the caller heard the error announcement.",
    ),
    "application-error-503": Cause(
        "failed", 503, 0, "", "application", "The application gave no usable TwiML."
    ),
    "ack-timeout": Cause(
        "failed", 0, 32022, "error", "network", "The caller never acknowledged our answer (ACK)."
    ),
    "no-audio": Cause(
        "completed", 0, 32014, "warning", "network", "No audio came from the caller for too long."
    ),
    "max-duration": Cause(
        "completed", 0, 32015, "warning", "nobody", "The maximum call length was reached."
    ),
    "media-lost": Cause(
        "failed", 500, 59914, "error", "server", "The media worker of this call died."
    ),
    "flow-lost": Cause(
        "failed", 500, 32011, "warning", "network", "The caller's connection was lost."
    ),
    "peer-gone": Cause(
        "completed", 0, 32011, "warning", "network", "The caller no longer knows the call."
    ),
    "session-expired": Cause(
        "completed", 0, 32011, "warning", "network",
        "The peer did not refresh the session in time (session timer).",
    ),
    # legs that we place
    "callee-hangup": Cause("completed", 0, 0, "", "nobody", "The called party hung up."),
    "callee-busy": Cause("busy", 486, 0, "", "nobody", "The called party is busy."),
    "callee-no-answer": Cause("no-answer", 0, 0, "", "nobody", "The called party did not answer."),
    "callee-declined": Cause("failed", 603, 0, "", "nobody", "The called party declined."),
    "callee-failed": Cause(
        "failed", 0, 32011, "warning", "network", "The called party's side refused the call."
    ),
    "callee-unreachable": Cause(
        "failed", 0, 32011, "warning", "network", "The called party's side could not be reached."
    ),
    "callee-bad-sdp": Cause(
        "failed", 0, 32102, "error", "network", "The SDP of the called party cannot be used."
    ),
    "undialable": Cause(
        "failed", 0, 0, "", "application", "The number or address cannot be dialled."
    ),
    "outgoing-limit": Cause(
        "failed", 0, 0, "", "operator", "The account's limit of outgoing calls is reached."
    ),
    "dial-cancelled": Cause(
        "canceled", 487, 0, "", "nobody", "Another party answered first, so this one was let go."
    ),
    "caller-gone": Cause(
        "canceled", 487, 0, "", "caller", "The caller was gone before the called party answered."
    ),
    "ring-timeout": Cause(
        "no-answer", 487, 0, "", "nobody", "The called party did not answer in time."
    ),
    "released": Cause("completed", 0, 0, "", "nobody", "The other side of the call has ended."),
    "time-limit": Cause(
        "completed", 0, 0, "", "application", "The time limit of Dial was reached."
    ),
    "star-hangup": Cause(
        "completed", 0, 0, "", "caller", "The caller left the called party with the * key."
    ),
    "screening-hangup": Cause(
        "completed", 0, 0, "", "application",
        "The document for the called party ended its call before it was connected.",
    ),
    "transferred": Cause(
        "completed", 0, 0, "", "nobody", "The other party was transferred away from this one."
    ),
    # by the REST API or from the desk: the detail says whose credentials or who
    "api-hangup": Cause("completed", 0, 0, "", "nobody", "The call was ended by request."),
    "api-cancel": Cause(
        "canceled", 487, 0, "", "nobody", "The call was ended by request before it was answered."
    ),
    "api-refuse": Cause(
        "canceled", 480, 0, "", "nobody", "The call was ended by request before it was answered."
    ),
    "node-stopped": Cause("completed", 503, 59910, "warning", "server", "The node was stopped."),
    "internal-error": Cause(
        "failed", 500, 12400, "error", "server", "An internal failure; the server log has it."
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Termination:
    """The chosen end of one call: a cause, its text sharpened, the SIP status that was sent. A call
    that was refused has failed, even where an answered one would have completed."""

    cause: str
    reason: str
    sip_status: int

    @property
    def status(self) -> str:
        status = CAUSES[self.cause].status
        return "failed" if status == "completed" and self.sip_status >= 300 else status

    @property
    def code(self) -> int:
        return CAUSES[self.cause].code


def termination(cause: str, detail: str = "", sip_status: int | None = None) -> Termination:
    """Of a slug in :data:`CAUSES` (KeyError otherwise); ``detail`` is added to the text."""
    row = CAUSES[cause]
    reason = f"{row.text} {detail}" if detail else row.text
    return Termination(cause, reason, row.sip_status if sip_status is None else sip_status)


def interrupt_cause(what: Interrupt) -> str:
    """The slug of what ended the program; ``redirected`` is the one that ends no call."""
    match what:
        case RemoteHangup(cause=cause) | MediaLost(cause=cause) | Released(cause=cause):
            return cause
        case Cancelled():
            return "canceled"
        case TimeLimit():
            return "max-duration"
        case NodeDraining():
            return "node-stopped"
        case Redirected():
            return "redirected"
        case _:
            assert_never(what)
