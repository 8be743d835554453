"""Applications (rest-api.md section 8)."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from sipdomains.api import vendor
from sipdomains.api.fields import Flag, Input, Text, method, url
from sipdomains.api.queries import text
from sipdomains.api.resources import Resource
from sipdomains.api.voice import VoiceInput, VoiceOutput
from sipdomains.models import Application

# Stored as they are given, for nothing here sends text messages.
_MESSAGING = {
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
    "SmsFallbackUrl": "sms_fallback_url",
    "SmsFallbackMethod": "sms_fallback_method",
    "SmsStatusCallback": "sms_status_callback",
    "MessageStatusCallback": "message_status_callback",
    "VoiceCallerIdLookup": "voice_caller_id_lookup",
    "PublicApplicationConnectEnabled": "public_application_connect_enabled",
}


class ApplicationInput(VoiceInput):
    CODES = {
        **VoiceInput.CODES,
        "FriendlyName": vendor.BAD_NAME,
        "StatusCallback": vendor.BAD_URL,
        "StatusCallbackMethod": vendor.BAD_METHOD,
    }

    StatusCallback = url("status_callback")
    StatusCallbackMethod = method("status_callback_method")
    VoiceCallerIdLookup = Flag(required=False)
    PublicApplicationConnectEnabled = Flag(required=False)
    SmsUrl = url()
    SmsMethod = method()
    SmsFallbackUrl = url()
    SmsFallbackMethod = method()
    SmsStatusCallback = url()
    MessageStatusCallback = url()


class ApplicationOutput(VoiceOutput):
    status_callback = Text()
    status_callback_method = serializers.CharField()
    voice_caller_id_lookup = serializers.SerializerMethodField()
    public_application_connect_enabled = serializers.SerializerMethodField()
    sms_url = Text("messaging.sms_url")
    sms_method = Text("messaging.sms_method")
    sms_fallback_url = Text("messaging.sms_fallback_url")
    sms_fallback_method = Text("messaging.sms_fallback_method")
    sms_status_callback = Text("messaging.sms_status_callback")
    message_status_callback = Text("messaging.message_status_callback")
    uri = serializers.SerializerMethodField()

    def get_voice_caller_id_lookup(self, row: Application) -> bool:
        return bool(row.messaging.get("voice_caller_id_lookup"))

    def get_public_application_connect_enabled(self, row: Application) -> bool:
        return bool(row.messaging.get("public_application_connect_enabled"))

    def get_uri(self, row: Application) -> str:
        return self.address(row, "Applications", row.sid)


class Applications(Resource):
    """Voice settings under one SID"""

    KEY = "applications"
    output = ApplicationOutput
    create_input = update_input = ApplicationInput
    filters = ("FriendlyName",)

    def rows(self) -> QuerySet[Application]:
        return Application.objects.filter(account=self.account)

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        name = text(self.request.query_params, "FriendlyName")
        return rows.filter(friendly_name=name) if name else rows

    def new(self) -> Application:
        return Application(account=self.account, friendly_name="Application")

    def write(self, row: Application, values: dict[str, Any], kind: type[Input]) -> Any:
        other = {name: values.pop(given) for given, name in _MESSAGING.items() if given in values}
        values["messaging"] = {**row.messaging, **other}
        return super().write(row, values, kind)
