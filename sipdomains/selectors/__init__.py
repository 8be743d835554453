"""Read queries behind lists and pages. No writes, no formatting."""

from sipdomains.selectors.callfilter import LIVE, LIVE_STATUSES, ORDINARY_CAUSES, CallFilter
from sipdomains.selectors.calllog import (
    SCAN_LIMIT,
    CallPage,
    CallStory,
    Cursor,
    RecordingPage,
    call,
    call_event,
    call_story,
    calls_by_sid,
    calls_page,
    domain_names,
    matching,
    recording,
    recordings_page,
    webhook_attempts,
    webhook_request,
)
from sipdomains.selectors.people import saved_filters

__all__ = [
    "LIVE",
    "LIVE_STATUSES",
    "ORDINARY_CAUSES",
    "SCAN_LIMIT",
    "CallFilter",
    "CallPage",
    "CallStory",
    "Cursor",
    "RecordingPage",
    "call",
    "call_event",
    "call_story",
    "calls_by_sid",
    "calls_page",
    "domain_names",
    "matching",
    "recording",
    "recordings_page",
    "saved_filters",
    "webhook_attempts",
    "webhook_request",
]
