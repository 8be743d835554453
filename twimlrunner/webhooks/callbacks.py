"""Parameters of status callbacks: what an application is told while a call goes on. Pure.

Sources: webhooks.md sections 4.2 (progress of a call) and 4.3 (recordings). The answers to these
requests mean nothing; they are promised in the outbox and delivered in the order of their stream:
the call's SID for its progress, the recording's SID for a recording.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID, uuid5

from sipdomains.contracts import WebhookAttempt
from twimlrunner.webhooks.policy import Verdict
from twimlrunner.webhooks.request import CallFacts, Parameters, standard_parameters

STATUS_CALLBACK = "status-callback"
RECORDING_CALLBACK = "recording-callback"

EVENT_OF_STATUS = {
    "initiated": "initiated",
    "ringing": "ringing",
    "in-progress": "answered",
    "completed": "completed",
    "busy": "completed",
    "no-answer": "completed",
    "canceled": "completed",
    "failed": "completed",
}
"""CallStatus → StatusCallbackEvent. ``queued`` has none."""

EVENT_OF_RECORDING = {
    "in-progress": "in-progress",
    "completed": "completed",
    "absent": "absent",
    "failed": "completed",
}
"""RecordingStatus → RecordingStatusCallbackEvent. A failure has no event of its own: whoever waits
for the end of a recording is told of it."""

_NAMESPACE = UUID("5f0c1c2e-9d0b-5d43-8a52-0e6f1f3b7a90")


@dataclass(frozen=True, slots=True)
class CallRecording:
    """Of a call that the Calls API records. ``seconds`` are whole."""

    sid: str
    url: str
    seconds: int


@dataclass(frozen=True, slots=True)
class CallbackMessage:
    """A promised callback that somebody has taken on to deliver.

    ``deliveries`` counts this one too, ``attempts`` the HTTP attempts that were recorded before.
    ``created_at`` is epoch seconds.
    """

    id: str
    stream: str
    purpose: str
    call_sid: str
    account_sid: str
    created_at: float
    method: str
    url: str
    parameters: Parameters
    deliveries: int
    attempts: int
    verify_tls: bool = True


@dataclass(frozen=True, slots=True)
class CallbackOutcome:
    """One delivery has ended. ``code`` and ``error`` say why it failed."""

    message: CallbackMessage
    verdict: Verdict
    attempts: tuple[WebhookAttempt, ...] = ()
    code: int = 0
    error: str = ""


def message_id(stream: str, position: int) -> str:
    """The idempotency token of one message, the same whoever promises it: a UUID."""
    return str(uuid5(_NAMESPACE, f"{stream}/{position}"))


def timestamp(at: float) -> str:
    """Seconds since the epoch in the form of RFC 2822, GMT: ``Fri, 20 Aug 2010 01:13:42 +0000``."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC))


def progress_parameters(
    facts: CallFacts,
    *,
    status: str,
    at: float,
    sequence: int,
    duration: float | None = None,
    sip_response_code: int | None = None,
    recording: CallRecording | None = None,
) -> Parameters:
    """Of one status callback of a call.

    ``facts.status`` counts for nothing, ``status`` is the call's now. ``at`` is epoch seconds,
    ``sequence`` the callback's number from 0. Once the call has ended: ``duration`` in seconds
    (None for a call never answered), ``sip_response_code`` the final response to the INVITE (0 or
    None: there was none), ``recording`` that of the Calls API. Custom SIP headers are not passed.
    """
    bare = replace(facts, status=status, headers=())
    if facts.direction != "inbound":  # the Sip parameters are those of an INVITE to a domain
        bare = replace(
            bare, sip_domain="", sip_domain_sid="", sip_username=None, sip_call_id="", source_ip=""
        )
    pairs = [
        *standard_parameters(bare),
        ("Timestamp", timestamp(at)),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
    ]
    if EVENT_OF_STATUS.get(status) != "completed":
        return pairs
    seconds = max(0, int((duration or 0) + 0.5))
    pairs += [("CallDuration", str(seconds)), ("Duration", str(-(-seconds // 60)))]
    if sip_response_code:
        pairs.append(("SipResponseCode", str(sip_response_code)))
    if recording is not None:
        pairs += [
            ("RecordingUrl", recording.url),
            ("RecordingSid", recording.sid),
            ("RecordingDuration", str(recording.seconds)),
        ]
    return pairs


def recording_parameters(
    *,
    account_sid: str,
    call_sid: str,
    recording_sid: str,
    url: str,
    status: str,
    seconds: int | None,
    channels: int,
    started_at: float,
    source: str,
    track: str,
) -> Parameters:
    """Of one recording status callback. ``call_sid`` is the parent leg's for Dial; ``seconds`` the
    length of the file, None while that is not known; ``started_at`` epoch seconds."""
    pairs = [
        ("AccountSid", account_sid),
        ("CallSid", call_sid),
        ("RecordingSid", recording_sid),
        ("RecordingUrl", url),
        ("RecordingStatus", status),
        ("RecordingDuration", "" if seconds is None else str(seconds)),
        ("RecordingChannels", str(channels)),
        ("RecordingStartTime", timestamp(started_at)),
        ("RecordingSource", source),
        ("RecordingTrack", track),
    ]
    return [(name, value) for name, value in pairs if value]
