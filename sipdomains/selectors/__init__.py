"""Read queries behind lists and pages. No writes, no formatting."""

from sipdomains.selectors.calllog import (
    LIVE,
    LIVE_STATUSES,
    ORDINARY_CAUSES,
    SCAN_LIMIT,
    CallFilter,
    CallPage,
    CallStory,
    Cursor,
    RecordingPage,
    call_story,
    calls_page,
    domain_names,
    recording,
    recordings_page,
)

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
    "call_story",
    "calls_page",
    "domain_names",
    "recording",
    "recordings_page",
]
