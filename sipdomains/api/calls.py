"""Calls (rest-api.md section 3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains.api import call_plans, commands, dates, idempotency, vendor
from sipdomains.api.call_inputs import CallInput, CallUpdate
from sipdomains.api.errors import ApiError
from sipdomains.api.fields import Constant, Text, Time, rfc2822
from sipdomains.api.output import Output
from sipdomains.api.queries import text
from sipdomains.api.resources import Resource
from sipdomains.models import Call, CallCommand, CallStatus
from sipdomains.selectors import account_calls
from sipdomains.services import apilog, call_deletion, orders
from sipdomains.services.call_deletion import NotOver
from sipdomains.services.orders import QueueFull
from sipdomains.stretch import Stretch

# "initiated" is only a word of callbacks: here such a call has left the queue and rings.
_SHOWN_STATUS = {CallStatus.INITIATED.value: CallStatus.RINGING.value}
_STATUSES = {
    status: (status,)
    for status in CallStatus.values
    if status not in (CallStatus.INITIATED, CallStatus.RINGING)
} | {"ringing": ("ringing", "initiated")}
_SUBRESOURCES = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
    "user_defined_messages": "UserDefinedMessages",
}


class CallOutput(Output):
    sid = serializers.CharField()
    date_created = Time("started_at")
    date_updated = Time("updated_at")
    parent_call_sid = Text("parent_id")
    account_sid = serializers.SerializerMethodField()
    to = Text("to_uri")
    to_formatted = Text("to_uri")
    from_formatted = Text("from_uri")
    phone_number_sid = Constant()
    status = serializers.SerializerMethodField()
    start_time = serializers.SerializerMethodField()
    end_time = Time("ended_at")
    duration = Text()
    price = Constant()
    price_unit = Constant("USD")
    direction = serializers.CharField()
    answered_by = Constant()
    api_version = Constant(vendor.API_VERSION)
    forwarded_from = Constant()
    group_sid = Constant()
    caller_name = Constant()
    queue_time = Text("queue_ms")
    trunk_sid = Constant()
    uri = serializers.SerializerMethodField()
    subresource_uris = serializers.SerializerMethodField()

    def get_fields(self) -> Any:
        """With ``from``, which Python takes for a word of its own."""
        fields = super().get_fields()
        fields["from"] = Text("from_uri")
        return fields

    def get_account_sid(self, row: Call) -> str:
        return self.account_of(row)

    def get_status(self, row: Call) -> str:
        return _SHOWN_STATUS.get(row.status, row.status)

    def get_start_time(self, row: Call) -> str | None:
        """When it came in, or went out of the queue."""
        if row.status == CallStatus.QUEUED:
            return None
        return rfc2822(row.started_at + timedelta(milliseconds=row.queue_ms))

    def get_uri(self, row: Call) -> str:
        return self.address(row, "Calls", row.sid)

    def get_subresource_uris(self, row: Call) -> dict[str, str]:
        here = self.get_uri(row).removesuffix(".json")
        return {name: f"{here}/{path}.json" for name, path in _SUBRESOURCES.items()}


class Calls(Resource):
    """Calls, newest first"""

    KEY = "calls"
    ORDER = account_calls.ORDER
    output = CallOutput
    create_input = CallInput
    update_input = CallUpdate
    filters = (
        "To",
        "From",
        "ParentCallSid",
        "Status",
        *dates.names("StartTime"),
        *dates.names("EndTime"),
    )

    def rows(self) -> QuerySet[Call]:
        return account_calls.of_account(self.account)

    def sought(self) -> tuple[Stretch, Q | None]:
        query = self.request.query_params
        return account_calls.sought(
            self.account,
            to=text(query, "To"),
            from_=text(query, "From"),
            parent=text(query, "ParentCallSid"),
            statuses=_statuses(text(query, "Status")),
            started=dates.span(query, "StartTime"),
            ended=dates.span(query, "EndTime"),
        )

    def make(self, request: Request) -> Response:
        wanted = call_plans.wanted(self.account, self.checked(CallInput))
        try:
            call = orders.create_call(
                self.account,
                wanted.plan,
                callback=wanted.callback,
                sip_username=wanted.username,
                sip_password=wanted.password,
                requested_by=self.client.credential,
                warnings=[*wanted.warnings, *self.ignored(CallInput)],
            )
        except QueueFull as error:
            raise ApiError(error.code, f"Too many calls in the queue: {error}", 429) from error
        return Response(self.shown(call), status=201)

    def update(self, request: Request, **_: str) -> Response:
        return idempotency.asked_once(request, self.account, self._ask, self._respond)

    def _ask(self) -> CallCommand | None:
        call = self.row()
        change = call_plans.change(self.checked(CallUpdate, partial=True))
        return change and commands.submit(call, *change, self.client.credential)

    def _respond(self, command: CallCommand | None) -> Response:
        given = self.checked(CallUpdate, partial=True)
        warnings = self.ignored(CallUpdate)
        if command is not None:
            commands.outcome(command)
            if given.get("Url") and given.get("Twiml"):
                warnings.append(call_plans.URL_WINS)
        call = self.row()
        apilog.warn(self.account.sid, warnings, call_sid=call.sid)
        return Response(self.shown(call))

    def remove(self, row: Call) -> None:
        try:
            call_deletion.delete(row, self.client.credential)
        except NotOver:
            text = "The call is in progress: it can be deleted when it and its recordings are over"
            raise ApiError(vendor.NOT_COMPLETE, text) from None


def _statuses(wanted: str) -> tuple[str, ...]:
    if not wanted:
        return ()
    if wanted not in _STATUSES:
        raise ApiError(vendor.INVALID_PARAMETER, f"Status must be one of {', '.join(_STATUSES)}")
    return _STATUSES[wanted]
