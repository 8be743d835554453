"""The call log, what it owes to applications, and the nodes: to look at only, but for callbacks
that shall go out again. The operators' pages show calls better."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sipdomains.admin.base import ReadOnlyAdmin, ReadOnlyInline
from sipdomains.admin.loglist import LogAdmin
from sipdomains.models import (
    Call,
    CallEvent,
    Notification,
    OutboxMessage,
    SipNode,
    Transfer,
    WebhookRequest,
)
from sipdomains.services import outbox


class EventInline(ReadOnlyInline):
    model = CallEvent
    fields = ("seq", "at", "kind", "status", "data")


class WebhookInline(ReadOnlyInline):
    model = WebhookRequest
    fields = ("at", "attempt", "method", "url", "status", "duration_ms", "error_message")
    show_change_link = True


class NotificationInline(ReadOnlyInline):
    model = Notification
    fields = ("at", "level", "code", "message")


class TransferInline(ReadOnlyInline):
    model = Transfer
    fields = ("number", "direction", "target", "state", "refer_status", "notify_status", "reason")


class OutboxInline(ReadOnlyInline):
    model = OutboxMessage
    fields = ("purpose", "position", "url", "state", "attempts", "error_message")
    show_change_link = True


class LinksToCall:
    @admin.display(description="call")
    def call_link(self, row: Any) -> SafeString | str:
        if not row.call_id:
            return "-"
        return format_html('<a href="../call/{}/change/">{}</a>', row.call_id, row.call_id)


@admin.register(Call)
class CallAdmin(LogAdmin):
    account_path = "account_id"
    newest_by = "started_at"
    list_display = (
        "started_at", "from_uri", "to_uri", "domain_name", "status", "duration", "reason", "sid",
    )  # fmt: skip
    list_filter = ("status", "direction")
    search_fields = ("=sid", "from_uri", "to_uri", "=sip_call_id", "=source_ip")
    inlines = (EventInline, WebhookInline, OutboxInline, TransferInline, NotificationInline)


@admin.register(WebhookRequest)
class WebhookRequestAdmin(LinksToCall, LogAdmin):
    account_path = "account_id"
    list_display = (
        "at", "method", "url", "status", "attempt", "duration_ms", "error_message", "call_link",
    )  # fmt: skip
    search_fields = ("=request_id", "=purpose", "=status", "=call__sid", "url__in_url")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A page of attempts does not need their bodies.
        return super().get_queryset(request).defer("response_body", "request_headers")


@admin.register(Notification)
class NotificationAdmin(LinksToCall, LogAdmin):
    account_path = "account_id"
    newest_by = "at"
    list_display = ("at", "level", "code", "message", "call_link")
    list_filter = ("level",)
    search_fields = ("=sid", "=call__sid", "=code", "message")


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LinksToCall, LogAdmin):
    account_path = "account_id"
    newest_by = "created_at"
    list_display = (
        "created_at", "purpose", "url", "position", "state", "tries", "next_at", "error_message",
        "call_link",
    )  # fmt: skip
    list_filter = ("state",)
    search_fields = ("=id", "=purpose", "=stream", "=call__sid", "url__in_url")
    actions = ("deliver_again",)

    @admin.display(description="deliveries", ordering="attempts")
    def tries(self, row: OutboxMessage) -> int:
        return row.attempts

    def has_deliver_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sipdomains.change_outboxmessage")

    @admin.action(description="Deliver again what was given up", permissions=["deliver"])
    def deliver_again(self, request: HttpRequest, chosen: QuerySet[OutboxMessage]) -> None:
        count = outbox.deliver_again(list(chosen.values_list("pk", flat=True)))
        self.message_user(request, f"{count} of the chosen callbacks go out in a few seconds.")


@admin.register(Transfer)
class TransferAdmin(LinksToCall, LogAdmin):
    account_path = "call__account_id"
    list_display = (
        "requested_at", "direction", "target", "state", "refer_status", "notify_status", "reason",
        "call_link",
    )  # fmt: skip
    list_filter = ("state", "direction")
    search_fields = ("=call__sid", "target")


@admin.register(SipNode)
class SipNodeAdmin(ReadOnlyAdmin):
    list_display = ("contact", "boot_id", "started_at", "heartbeat_at", "draining", "stopped_at")
    list_filter = ("draining",)
