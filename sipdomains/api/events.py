"""Events of a call: the requests that were made to its applications (rest-api.md section 8)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sipdomains.api.errors import not_found
from sipdomains.api.fields import rfc2822
from sipdomains.api.output import Output
from sipdomains.api.resources import Resource
from sipdomains.models import WebhookRequest
from sipdomains.redaction import masked, masked_pairs
from sipdomains.selectors import account_log
from sipdomains.stretch import Stretch

_OBJECT = {"type": "object", "additionalProperties": True}


class EventOutput(Output):
    request = serializers.SerializerMethodField()
    response = serializers.SerializerMethodField()

    @extend_schema_field(_OBJECT)
    def get_request(self, row: WebhookRequest) -> dict[str, Any]:
        return {
            "method": row.method,
            "url": masked(row.url),
            "parameters": dict(masked_pairs(row.parameters)),
        }

    @extend_schema_field(_OBJECT)
    def get_response(self, row: WebhookRequest) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in masked_pairs(row.response_headers)}
        return {
            "response_code": row.status or None,
            "request_duration": round(row.duration_ms),
            "content_type": headers.get("content-type"),
            "response_body": masked(row.response_body),
            "date_created": rfc2822(row.at),
        }


class CallEvents(Resource):
    """Requests to the applications of a call, newest first"""

    KEY = "events"
    ORDER = account_log.REQUESTS
    output = EventOutput

    def rows(self) -> QuerySet[WebhookRequest]:
        return account_log.requests(self.account, self.kwargs["call_sid"]).defer("request_headers")

    def sought(self) -> tuple[Stretch, Q | None]:
        if not account_log.is_known(self.account, self.kwargs["call_sid"]):
            raise not_found(self.request.path)
        return super().sought()
