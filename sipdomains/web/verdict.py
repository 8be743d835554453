"""The first lines of a call's page: what happened, why it ended, and whose turn it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sipdomains.models import Call, CallEvent, Notification
from sipdomains.web.errorcodes import CodeInfo, explain
from sipdomains.web.formatting import duration_words

# Cause of the ending (the row's slug) to (who has to act, how). The words for why are the row's.
CAUSES: dict[str, tuple[str, str]] = {
    "caller-hangup": ("nobody", ""),
    "document-ended": ("nobody", ""),
    "hangup-verb": ("nobody", ""),
    "canceled": ("nobody", ""),
    "max-duration": ("nobody", ""),
    "refer-last": ("nobody", "Verbs after Refer, or an action, would keep the leg."),
    "reject-busy": ("nobody", "The application decided so; its document is under TwiML."),
    "reject": ("nobody", "The application decided so; its document is under TwiML."),
    "unknown-domain": (
        "caller",
        "Correct the name on the phone, or set that domain (or an alias) up here.",
    ),
    "no-auth-mapped": (
        "operator",
        "Map an access control list or a credential list to the domain.",
    ),
    "source-not-allowed": ("operator", ""),
    "bad-credentials": ("caller", ""),
    "challenge-unanswered": ("caller", "Enter user name and password on the phone."),
    "user-mismatch": ("caller", ""),
    "account-inactive": ("operator", ""),
    "concurrency-limit": ("operator", ""),
    "cps-limit": ("operator", ""),
    "tls-required": ("caller", ""),
    "srtp-required": ("caller", ""),
    "srtp-refused": ("caller", ""),
    "no-common-codec": ("caller", ""),
    "address-family": ("caller", ""),
    "bad-sdp": (
        "caller",
        "Look at the media description (SDP) in the first INVITE of the course: the phone or PBX "
        "that wrote it has to be mended.",
    ),
    "protocol": (
        "caller",
        "Look at the first INVITE of the course: the phone or PBX that sent it has to be mended.",
    ),
    "hops-exhausted": ("network", ""),
    "draining": ("server", ""),
    "overloaded": ("server", ""),
    "database-unavailable": ("server", ""),
    "media-unavailable": ("server", ""),
    "application-error": (
        "application",
        "The notifications and the course of the call show what the application answered.",
    ),
    "application-error-503": (
        "application",
        "The notifications and the course of the call show what the application answered.",
    ),
    "ack-timeout": ("network", ""),
    "no-audio": ("network", ""),
    "media-lost": ("server", ""),
    "flow-lost": (
        "network",
        "The TCP connection to the caller broke: look at the network and at idle timeouts.",
    ),
    "peer-gone": ("network", "The caller's side lost the call, for example by a restart."),
    "session-expired": (
        "network",
        "The peer stopped refreshing the session: it has crashed, or its packets do not reach us.",
    ),
    # legs that we placed
    "callee-hangup": ("nobody", ""),
    "callee-busy": ("nobody", ""),
    "callee-no-answer": ("nobody", ""),
    "callee-declined": ("nobody", ""),
    "callee-failed": ("network", "The last response of the course says what it did not like."),
    "callee-unreachable": (
        "network",
        "Check host and port of the target, and that this server can reach it.",
    ),
    "callee-bad-sdp": ("network", "Look at the SDP of the answer in the course."),
    "undialable": (
        "application",
        "The notification says why. For numbers the trunks and their rules decide (Configuration).",
    ),
    "outgoing-limit": (
        "operator",
        "Look whether somebody abuses the account; else raise its limits of outgoing calls.",
    ),
    "dial-cancelled": ("nobody", ""),
    "caller-gone": ("nobody", ""),
    "ring-timeout": ("nobody", ""),
    "released": ("nobody", ""),
    "time-limit": ("nobody", ""),
    "star-hangup": ("nobody", ""),
    "screening-hangup": ("nobody", ""),
    "transferred": ("nobody", ""),
    # ended by REST
    "api-hangup": ("nobody", ""),
    "api-cancel": ("nobody", ""),
    "api-refuse": ("nobody", ""),
    "queue-expired": (
        "server",
        "Is a SIP node running, and not draining? Calls of the queue are taken by nodes.",
    ),
    "node-stopped": ("server", ""),
    "node-lost": ("server", "The server log of that node tells why it stopped."),
    "internal-error": ("server", ""),
}

# Endings that nobody has to mend and that are no success either.
_NEUTRAL = frozenset(
    {
        "reject", "reject-busy", "canceled", "max-duration", "callee-busy", "callee-no-answer",
        "callee-declined", "ring-timeout", "dial-cancelled", "caller-gone", "screening-hangup",
        "time-limit", "api-cancel", "api-refuse",
    }
)  # fmt: skip

_TURN = {
    "nobody": "Nobody has to do anything.",
    "caller": "The caller's side has to change something.",
    "application": "The web application has to be mended.",
    "operator": "You (the operator) can mend this.",
    "network": "Look at the network between the caller and this server.",
    "server": "Look at this server.",
}
_TURN_OF_PLACED = _TURN | {
    "network": "Look at the called party's side and at the network to it.",
}


_APPLICATION_ERRORS = frozenset({"application-error", "application-error-503"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``tone`` good, neutral, bad or live; texts are plain sentences, possibly empty."""

    tone: str
    headline: str
    reason: str
    turn: str
    mend: str
    code: int
    code_title: str


def verdict(call: Call, events: Sequence[CallEvent], notes: Sequence[Notification] = ()) -> Verdict:
    """``notes`` are the call's notifications in order of time."""
    if call.ended_at is None:
        return Verdict("live", _live_headline(call), doing_now(events), "", "", 0, "")
    who, mend = CAUSES.get(call.cause, ("", ""))
    code = explain(call.error_code) if call.error_code else None
    if code is not None:
        who = who or code.who
        mend = mend or code.mend
    fault = _fault(notes) if call.cause in _APPLICATION_ERRORS else None
    if fault is not None:
        mend = f"{fault.title}. {fault.mend}"
        code = code or fault
    tone = _tone(call, who)
    return Verdict(
        tone=tone,
        headline=_headline(call, tone),
        reason=call.reason,
        turn=(_TURN_OF_PLACED if _placed(call) else _TURN).get(who, ""),
        mend=mend,
        code=code.code if code else 0,
        code_title=code.title if code else "",
    )


def _fault(notes: Sequence[Notification]) -> CodeInfo | None:
    """What the application did wrong at last, as far as that is known."""
    errors = [explain(note.code) for note in notes if note.level == "error"]
    return next((info for info in reversed(errors) if info.title), None)


def doing_now(events: Sequence[CallEvent]) -> str:
    """What a live call is at, from its latest fact that tells."""
    for event in reversed(events):
        match event.kind:
            case "bridged":
                return "Connected with another party."
            case "initiated":
                return "The INVITE is on its way."
            case "verb-started":
                summary = event.data.get("summary") or event.data.get("verb", "")
                return f"Now: {summary}"
            case "webhook":
                return "Waiting for the application's document."
            case "verb-ended" | "document":
                return "Between two steps of the document."
            case "ringing" | "accepted":
                return "The call was accepted; the application is about to be asked."
    return ""


def _tone(call: Call, who: str) -> str:
    if not who or call.cause in _NEUTRAL:
        return "neutral"
    return "good" if who == "nobody" else "bad"


def _placed(call: Call) -> bool:
    return call.direction.startswith("outbound")


def _live_headline(call: Call) -> str:
    if call.status in ("queued", "initiated"):
        return "The call is being placed"
    return "The call is going on" if call.answered_at else "The call is ringing"


def _headline(call: Call, tone: str) -> str:
    if call.answered_at is not None:
        lasted = f"after {duration_words(call.duration)}"
        if call.status == "failed":
            return f"Failed {lasted}"
        return f"Ended with a problem {lasted}" if tone == "bad" else f"Completed {lasted}"
    if call.status == "canceled":
        return "Given up before it was answered"
    if _placed(call):
        return _headline_of_placed(call)
    if call.status in ("busy", "no-answer"):
        return f"Rejected with {call.sip_status}" if call.sip_status else "Rejected"
    if call.sip_status >= 500:
        return f"Failed with {call.sip_status}"
    if call.sip_status:
        return f"Refused with {call.sip_status}"
    return "Failed without an answer"


def _headline_of_placed(call: Call) -> str:
    answer = f", answered {call.sip_status}" if call.sip_status >= 300 else ""
    if call.status == "busy":
        return f"Busy{answer}"
    if call.status == "no-answer":
        return "Not answered"
    if call.sip_status >= 300:
        return f"Refused there with {call.sip_status}"
    return "Failed without an answer" if call.cause != "undialable" else "Not dialled"
