"""Errors and warnings, of the account and of a call (rest-api.md section 8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains import longlists
from sipdomains.api import dates, vendor
from sipdomains.api.errors import ApiError, not_found
from sipdomains.api.fields import Constant, Text, Time
from sipdomains.api.output import Output
from sipdomains.api.queries import text
from sipdomains.api.resources import Resource
from sipdomains.models import Notification
from sipdomains.redaction import masked, masked_pairs
from sipdomains.selectors import account_log
from sipdomains.stretch import ListName, Stretch

_LEVELS = {"0": "error", "1": "warning"}
_LOG = {level: number for number, level in _LEVELS.items()}


class NotificationOutput(Output):
    sid = serializers.CharField()
    account_sid = serializers.SerializerMethodField()
    api_version = Constant(vendor.API_VERSION)
    call_sid = Text("call_id")
    date_created = Time("at")
    date_updated = Time("at")
    error_code = Text("code")
    log = serializers.SerializerMethodField()
    message_date = Time("at")
    message_text = Text("message")
    more_info = serializers.SerializerMethodField()
    request_method = Text()
    request_url = serializers.SerializerMethodField()
    uri = serializers.SerializerMethodField()

    def get_account_sid(self, row: Notification) -> str:
        return self.account_of(row)

    def get_log(self, row: Notification) -> str:
        return _LOG.get(row.level, "0")

    def get_more_info(self, row: Notification) -> str:
        return vendor.ERROR_PAGE.format(code=row.code)

    def get_request_url(self, row: Notification) -> str | None:
        return masked(row.request_url) or None

    def get_uri(self, row: Notification) -> str:
        call = self.context["view"].kwargs.get("call_sid")
        path = ("Calls", call) if call else ()
        return self.address(row, *path, "Notifications", row.sid)


class FetchedNotificationOutput(NotificationOutput):
    """With the request that it is about, as far as that was stored."""

    request_variables = serializers.SerializerMethodField()
    response_headers = serializers.SerializerMethodField()
    response_body = serializers.SerializerMethodField()

    def get_request_variables(self, row: Notification) -> str | None:
        request = self.context["request_behind"]
        return urlencode(masked_pairs(request.parameters)) if request else None

    def get_response_headers(self, row: Notification) -> str | None:
        request = self.context["request_behind"]
        return urlencode(masked_pairs(request.response_headers)) if request else None

    def get_response_body(self, row: Notification) -> str | None:
        request = self.context["request_behind"]
        return masked(request.response_body) if request else None


class Notifications(Resource):
    """Errors and warnings, newest first"""

    KEY = "notifications"
    ORDER = account_log.NOTIFICATIONS
    output = NotificationOutput
    fetched_output = FetchedNotificationOutput
    filters = ("Log", *dates.names("MessageDate"))

    def rows(self) -> QuerySet[Notification]:
        return account_log.notifications(self.account)

    def _name(self) -> ListName | None:
        return ListName(self.account.sid, longlists.NOTIFICATIONS)

    def sought(self) -> tuple[Stretch, Q | None]:
        query = self.request.query_params
        rows = Stretch(self.rows(), self.ORDER, name=self._name())
        rows = dates.span(query, "MessageDate").of(rows)
        level = text(query, "Log")
        if level and level not in _LEVELS:
            raise ApiError(vendor.INVALID_PARAMETER, "Log must be 0 (errors) or 1 (warnings)")
        return rows, Q(level=_LEVELS[level]) if level else None

    def retrieve(self, request: Request, **_: str) -> Response:
        row = self.row()
        context = {"view": self, "request_behind": account_log.request_behind(row)}
        shown: Any = FetchedNotificationOutput(row, context=context).data
        return Response(shown)


class CallNotifications(Notifications):
    """Errors and warnings of a call"""

    def rows(self) -> QuerySet[Notification]:
        return account_log.notifications(self.account, self.kwargs["call_sid"])

    def _name(self) -> None:
        """They are few."""

    def sought(self) -> tuple[Stretch, Q | None]:
        if not account_log.is_known(self.account, self.kwargs["call_sid"]):
            raise not_found(self.request.path)
        return super().sought()
