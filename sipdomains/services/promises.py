"""Callbacks that the record itself promises: of recordings that begin, and of calls whose node is
gone. Those of live calls are promised by the call (``contracts.CallbackPromised``)."""

from __future__ import annotations

from django.conf import settings

from sipdomains.contracts import CallbackPromised, CallClosed, RecordingStarted
from sipdomains.models import Call, OutboxMessage
from twimlrunner.webhooks.callbacks import (
    EVENT_OF_STATUS,
    RECORDING_CALLBACK,
    STATUS_CALLBACK,
    message_id,
    progress_parameters,
    recording_parameters,
)
from twimlrunner.webhooks.request import CallFacts


def recording_started(record: RecordingStarted) -> CallbackPromised | None:
    """``in-progress``, if it is wanted."""
    if "in-progress" not in record.callback.get("events", ()):
        return None
    path = f"/2010-04-01/Accounts/{record.account_sid}/Recordings/{record.recording_sid}"
    return CallbackPromised(
        message_id=message_id(record.recording_sid, 0),
        stream=record.recording_sid,
        position=0,
        purpose=RECORDING_CALLBACK,
        call_sid=record.call_sid,
        account_sid=record.account_sid,
        at=record.at,
        method=record.callback.get("method", "POST"),
        url=record.callback.get("url", ""),
        parameters=recording_parameters(
            account_sid=record.account_sid,
            call_sid=record.call_sid,
            recording_sid=record.recording_sid,
            url=f"{settings.PUBLIC_URL}{path}",
            status="in-progress",
            seconds=None,
            channels=record.channels,
            started_at=record.at,
            source=record.source,
            track=record.track,
        ),
    )


def last_word(call_sid: str) -> str:
    """Id of the message that :func:`of_lost_call` makes: one per call, whichever sweep makes it."""
    return message_id(f"{call_sid}/node-lost", 0)


def of_lost_call(call: Call, closed: CallClosed) -> CallbackPromised | None:
    """``completed`` of a call that no node can tell of (any more), if it is wanted. It comes after
    all that a node has promised; None when its node has told of the end before it was lost."""
    wanted = call.callback
    if EVENT_OF_STATUS[closed.status] not in wanted.get("events", ()):
        return None
    told = OutboxMessage.objects.filter(stream=call.sid).order_by("-position")
    last = told.values_list("position", "parameters").first()
    if last is not None and _tells_of_an_end(last[1]):
        return None
    position = 0 if last is None else last[0] + 1
    facts = CallFacts(
        call_sid=call.sid,
        account_sid=call.account_id or "",
        from_=call.from_uri,
        to=call.to_uri,
        status=closed.status,
        direction=call.direction,
        parent_call_sid=call.parent_id or "",
        sip_domain=call.domain_name,
        sip_domain_sid=call.domain_id or "",
        sip_username=call.username or None,
        sip_call_id=call.sip_call_id,
        source_ip=call.source_ip,
    )
    duration = None if closed.answered_at is None else closed.at - closed.answered_at
    return CallbackPromised(
        message_id=last_word(call.sid),
        stream=call.sid,
        position=position,
        purpose=STATUS_CALLBACK,
        call_sid=call.sid,
        account_sid=call.account_id or "",
        at=closed.at,
        method=wanted.get("method", "POST"),
        url=wanted.get("url", ""),
        parameters=progress_parameters(
            facts,
            status=closed.status,
            at=closed.at,
            sequence=position,
            duration=duration,
            sip_response_code=None if closed.answered_at is None else 200,
        ),
    )


def _tells_of_an_end(parameters: list[list[str]]) -> bool:
    return any(
        name == "CallStatus" and EVENT_OF_STATUS.get(value) == "completed"
        for name, value in parameters
    )
