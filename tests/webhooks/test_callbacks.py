"""Parameters of callbacks, row by row of webhooks.md sections 4.2 and 4.3."""

from __future__ import annotations

from uuid import UUID

import pytest

from sipdomains.contracts import CALL_STATUSES, FINAL_STATUSES
from twimlrunner.webhooks.callbacks import (
    EVENT_OF_STATUS,
    CallRecording,
    message_id,
    progress_parameters,
    recording_parameters,
    timestamp,
)
from twimlrunner.webhooks.request import CallFacts

AT = 1282266822.9
INBOUND = CallFacts(
    call_sid="CA1", account_sid="AC1", from_="sip:alice@pbx.example.net",
    to="sip:100@pbx.example.net", status="ringing", sip_domain="pbx.example.net",
    sip_domain_sid="SD1", sip_username="alice", sip_call_id="x@phone", source_ip="192.0.2.9",
    headers=[("X-Account", "42"), ("User-to-User", "u")],
)  # fmt: skip
CHILD = CallFacts(
    call_sid="CA2", account_sid="AC1", from_="alice", to="sip:bob@192.0.2.7", status="",
    direction="outbound-dial", parent_call_sid="CA1", sip_call_id="ours",
)  # fmt: skip


def test_a_child_leg_that_rings() -> None:
    assert progress_parameters(CHILD, status="ringing", at=AT, sequence=1) == [
        ("CallSid", "CA2"), ("AccountSid", "AC1"), ("ApiVersion", "2010-04-01"),
        ("From", "alice"), ("To", "sip:bob@192.0.2.7"),
        ("Caller", "alice"), ("Called", "sip:bob@192.0.2.7"),
        ("CallStatus", "ringing"), ("Direction", "outbound-dial"), ("ParentCallSid", "CA1"),
        ("Timestamp", "Fri, 20 Aug 2010 01:13:42 +0000"),
        ("CallbackSource", "call-progress-events"), ("SequenceNumber", "1"),
    ]  # fmt: skip


def test_a_call_to_a_domain_has_its_sip_parameters_but_no_custom_headers() -> None:
    told = dict(progress_parameters(INBOUND, status="completed", at=AT, sequence=0, duration=3))
    assert {name for name in told if name.startswith("Sip")} == {
        "SipDomain", "SipDomainSid", "SipUsername", "SipCallId", "SipSourceIp",
    }  # fmt: skip
    assert (told["CallStatus"], told["Direction"]) == ("completed", "inbound")


@pytest.mark.parametrize(
    ("seconds", "duration", "minutes"),
    [(None, "0", "0"), (0.0, "0", "0"), (0.6, "1", "1"), (60, "60", "1"), (60.5, "61", "2"),
     (-1.0, "0", "0")],
)  # fmt: skip
def test_the_end_tells_seconds_and_minutes_rounded_up(seconds, duration, minutes) -> None:
    told = dict(progress_parameters(CHILD, status="completed", at=AT, sequence=2, duration=seconds))
    assert (told["CallDuration"], told["Duration"]) == (duration, minutes)


@pytest.mark.parametrize("status", CALL_STATUSES)
def test_only_the_end_tells_more(status: str) -> None:
    recording = CallRecording("RE1", "http://r", 7)
    told = dict(
        progress_parameters(
            CHILD, status=status, at=AT, sequence=0, sip_response_code=486, recording=recording
        )
    )
    final = status in FINAL_STATUSES
    extras = {"CallDuration", "Duration", "SipResponseCode", "RecordingUrl", "RecordingSid",
              "RecordingDuration"}  # fmt: skip
    assert (extras & told.keys()) == (extras if final else set())
    assert (EVENT_OF_STATUS.get(status) == "completed") is final


@pytest.mark.parametrize("code", [None, 0])
def test_without_a_response_there_is_no_response_code(code: int | None) -> None:
    told = dict(
        progress_parameters(CHILD, status="failed", at=AT, sequence=0, sip_response_code=code)
    )
    assert "SipResponseCode" not in told


@pytest.mark.parametrize(("seconds", "shown"), [(None, None), (0, "0"), (12, "12")])
def test_recordings(seconds: int | None, shown: str | None) -> None:
    told = dict(
        recording_parameters(
            account_sid="AC1", call_sid="CA1", recording_sid="RE1", url="http://us/RE1",
            status="completed", seconds=seconds, channels=2, started_at=AT, source="DialVerb",
            track="both",
        )
    )  # fmt: skip
    assert told.pop("RecordingDuration", None) == shown
    assert told == {
        "AccountSid": "AC1", "CallSid": "CA1", "RecordingSid": "RE1",
        "RecordingUrl": "http://us/RE1", "RecordingStatus": "completed", "RecordingChannels": "2",
        "RecordingStartTime": timestamp(AT), "RecordingSource": "DialVerb",
        "RecordingTrack": "both",
    }  # fmt: skip


def test_a_message_has_the_same_id_whoever_promises_it() -> None:
    assert message_id("CA1", 0) == message_id("CA1", 0) == str(UUID(message_id("CA1", 0)))
    assert len({message_id("CA1", 0), message_id("CA1", 1), message_id("CA2", 0)}) == 3
