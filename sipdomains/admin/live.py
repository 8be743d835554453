"""What REST has asked of the live side: calls in the queue, changes of calls. To look at only, and
without what may hold secrets: documents, plans, passwords, digits."""

from __future__ import annotations

from django.contrib import admin

from sipdomains.admin.base import ReadOnlyAdmin
from sipdomains.admin.log import LinksToCall
from sipdomains.admin.loglist import LogAdmin
from sipdomains.models import CallCommand, CallOrder


@admin.register(CallCommand)
class CallCommandAdmin(LinksToCall, LogAdmin):
    account_path = "call__account_id"
    list_display = (
        "requested_at", "kind", "state", "reason", "call_link", "requested_by",
    )  # fmt: skip
    list_display_links = ("requested_at",)
    list_filter = ("state", "kind")
    search_fields = ("=call__sid", "requested_by", "reason")
    fields = (
        "call_link", "kind", "requested_by", "requested_at", "state", "settled_at", "error_code",
        "reason",
    )  # fmt: skip
    readonly_fields = ("call_link",)
    hidden_fields = ("payload", "result")


@admin.register(CallOrder)
class CallOrderAdmin(LinksToCall, ReadOnlyAdmin):
    account_path = "account_id"
    list_display = ("due_at", "created_at", "account", "call_link")
    list_select_related = ("account",)
    search_fields = ("=call__sid", "=account__sid", "account__friendly_name")
    fields = ("call_link", "account", "created_at", "due_at")
    readonly_fields = ("call_link",)
    hidden_fields = ("plan", "sip_username", "sip_password")
