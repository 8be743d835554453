"""Recordings: to look at only, with a link to the sound. The operators' pages play them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sipdomains.admin.log import LinksToCall
from sipdomains.admin.loglist import LogAdmin
from sipdomains.models import Recording


@admin.register(Recording)
class RecordingAdmin(LinksToCall, LogAdmin):
    account_path = "account_id"
    newest_by = "started_at"
    list_display = (
        "started_at", "status", "source", "duration", "channels", "sound", "call_link", "sid",
    )  # fmt: skip
    list_filter = ("status", "source")
    search_fields = ("=sid", "=call__sid")
    exclude = ("file",)
    readonly_fields = ("sound",)

    @admin.display(description="sound")
    def sound(self, row: Any) -> SafeString | str:
        if not row.file or not row.account_id:
            return "-"
        return format_html(
            '<a href="{}">play</a>', reverse("recording-file", args=(row.account_id, row.sid))
        )
