"""Recordings, of the account and of a call (rest-api.md sections 3 and 4)."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains import contracts, longlists
from sipdomains.api import commands, dates, idempotency, vendor
from sipdomains.api.call_inputs import RecordingParameters
from sipdomains.api.call_plans import recording_callback
from sipdomains.api.errors import ApiError, not_found
from sipdomains.api.fields import Constant, Input, Text, Time
from sipdomains.api.output import Output
from sipdomains.api.queries import flag, text
from sipdomains.api.resources import Resource
from sipdomains.models import Call, CallCommand, Recording, RecordingStatus
from sipdomains.selectors import account_log
from sipdomains.services import recordings
from sipdomains.services.recordings import NotFinished
from sipdomains.stretch import ListName, Stretch

log = logging.getLogger(__name__)

CURRENT = "Twilio.CURRENT"
_STOPPED = "stopped"
_SHOWN_STATUS = {RecordingStatus.FAILED.value: RecordingStatus.ABSENT.value}
_SHOWN = (
    "sid", "account_id", "call_id", "source", "channels", "track", "status", "started_at",
    "ended_at", "duration", "error_code",
)  # fmt: skip


class CallRecordingOutput(Output):
    sid = serializers.CharField()
    account_sid = serializers.SerializerMethodField()
    api_version = Constant(vendor.API_VERSION)
    call_sid = Text("call_id")
    conference_sid = Constant()
    date_created = Time("started_at")
    date_updated = serializers.SerializerMethodField()
    start_time = Time("started_at")
    duration = Text()
    price = Constant()
    price_unit = Constant("USD")
    status = serializers.SerializerMethodField()
    channels = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment] # also a name of the framework's
    error_code = serializers.SerializerMethodField()
    encryption_details = Constant()
    track = serializers.CharField()
    uri = serializers.SerializerMethodField()

    def get_account_sid(self, row: Recording) -> str:
        return self.account_of(row)

    def get_date_updated(self, row: Recording) -> str | None:
        return Time().to_representation(row.ended_at or row.started_at)

    def get_status(self, row: Recording) -> str:
        """There is no word for one that failed: nothing was kept, and the code says why."""
        return _SHOWN_STATUS.get(row.status, row.status)

    def get_error_code(self, row: Recording) -> int | None:
        return row.error_code or None

    def get_uri(self, row: Recording) -> str:
        return self.address(row, "Calls", row.call_id or "", "Recordings", row.sid)


class RecordingOutput(CallRecordingOutput):
    subresource_uris = serializers.SerializerMethodField()
    media_url = serializers.SerializerMethodField()

    def get_fields(self) -> Any:
        fields = super().get_fields()
        del fields["track"]  # of the other form only
        return fields

    def get_uri(self, row: Recording) -> str:
        return self.address(row, "Recordings", row.sid)

    def get_subresource_uris(self, row: Recording) -> dict[str, str]:
        return {
            "add_on_results": self.address(row, "Recordings", row.sid, "AddOnResults"),
            "transcriptions": self.address(row, "Recordings", row.sid, "Transcriptions"),
        }

    def get_media_url(self, row: Recording) -> str:
        return recordings.url(self.account_of(row), row.sid)


class RecordingInput(RecordingParameters):
    Trim = serializers.ChoiceField(("trim-silence", "do-not-trim"), default="do-not-trim")


class RecordingUpdate(Input):
    Status = serializers.ChoiceField(("in-progress", "paused", _STOPPED))
    PauseBehavior = serializers.ChoiceField(("skip", "silence"), default="silence")


class Recordings(Resource):
    """Recordings of the account, newest first"""

    KEY = "recordings"
    ORDER = account_log.RECORDINGS
    output: ClassVar[type[Output]] = RecordingOutput
    filters: ClassVar[tuple[str, ...]] = (
        *dates.names("DateCreated"),
        "CallSid",
        "ConferenceSid",
        "IncludeSoftDeleted",
    )

    def rows(self) -> QuerySet[Recording]:
        return self._rows(account_log.recordings(self.account))

    def _rows(self, rows: QuerySet[Recording]) -> QuerySet[Recording]:
        rows = rows.only(*_SHOWN)
        return rows if self._all() else rows.filter(account_log.KEPT)

    def _all(self) -> bool:
        """Also those that were deleted."""
        listed = self.action in ("list", "retrieve")
        return listed and flag(self.request.query_params, "IncludeSoftDeleted")

    def sought(self) -> tuple[Stretch, Q | None]:
        query = self.request.query_params
        rows = self._list(text(query, "CallSid"))
        if text(query, "ConferenceSid"):
            rows = rows.that(Q(pk__in=()))  # there are no conferences yet
        return dates.span(query, "DateCreated").of(rows), None

    def _list(self, call_sid: str) -> Stretch:
        if call_sid:
            found = self._rows(account_log.recordings(self.account, call_sid))
            return Stretch(found, self.ORDER)
        kind = longlists.RECORDINGS if self._all() else longlists.RECORDINGS_KEPT
        return Stretch(self.rows(), self.ORDER, name=ListName(self.account.sid, kind))

    def remove(self, row: Recording) -> None:
        try:
            recordings.delete(row)
        except NotFinished:
            words = "The recording is in progress: it can be deleted when it is finished"
            raise ApiError(vendor.NOT_COMPLETE, words) from None
        except OSError as error:  # the row says so already, and the file will be tried again
            log.warning("recording %s: its file cannot be deleted now: %s", row.sid, error)


class CallRecordings(Recordings):
    """Recordings of a call"""

    output = CallRecordingOutput
    create_input = RecordingInput
    update_input = RecordingUpdate
    filters = (*dates.names("DateCreated"), "IncludeSoftDeleted")

    @property
    def _call_sid(self) -> str:
        return str(self.kwargs["call_sid"])

    def rows(self) -> QuerySet[Recording]:
        return self._rows(account_log.recordings(self.account, self._call_sid))

    def _list(self, call_sid: str) -> Stretch:
        return Stretch(self.rows(), self.ORDER)

    def sought(self) -> tuple[Stretch, Q | None]:
        if not account_log.is_known(self.account, self._call_sid):
            raise not_found(self.request.path)
        return super().sought()

    def _call(self) -> Call:
        call = Call.objects.filter(account=self.account, pk=self._call_sid).first()
        if call is None:
            raise not_found(self.request.path)
        return call

    def create(self, request: Request, **_: str) -> Response:
        return idempotency.asked_once(request, self.account, self._start, self._started)

    def _start(self) -> CallCommand:
        call = self._call()
        given = self.read(RecordingInput)
        payload = {
            "channels": 2 if given["RecordingChannels"] == "dual" else 1,
            "track": given["RecordingTrack"],
            "trim": given["Trim"] == "trim-silence",
            "callback": recording_callback(given),
        }
        return commands.submit(call, contracts.RECORDING_START, payload, self.client.credential)

    def _started(self, command: CallCommand) -> Response:
        command = commands.outcome_or_withdrawn(command)
        row = self.rows().get(pk=command.result["recording_sid"])
        return Response(self.shown(row), status=201)

    def update(self, request: Request, **_: str) -> Response:
        call, sid = self._call(), str(self.kwargs["sid"])
        row = None if sid == CURRENT else self.row()
        return idempotency.asked_once(
            request, self.account, lambda: self._change(call), lambda c: self._changed(call, row, c)
        )

    def _change(self, call: Call) -> CallCommand:
        given = self.read(RecordingUpdate)
        payload = {
            "recording_sid": str(self.kwargs["sid"]),
            "status": given["Status"],
            "pause_behavior": given["PauseBehavior"],
        }
        return commands.submit(call, contracts.RECORDING_UPDATE, payload, self.client.credential)

    def _changed(self, call: Call, row: Recording | None, command: CallCommand) -> Response:
        command = commands.outcome_live(call, command)
        sid = command.result.get("recording_sid", str(self.kwargs["sid"]))
        row = self.rows().filter(pk=sid).first() or row
        if row is None:
            words = "The node that carries the call does not answer just now"
            raise ApiError(vendor.UNAVAILABLE, words)
        if command.result.get("status") == _STOPPED and not row.ended_at:
            row.status = _STOPPED  # its file is being stored
        return Response(self.shown(row))
