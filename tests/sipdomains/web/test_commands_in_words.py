"""What REST asked for, in the words of a call's page."""

from __future__ import annotations

import pytest

from sipdomains.web.steps import documents
from sipdomains.web.timeline import describe
from tests.sipdomains.web.test_views_of_events import NOON, event

BY = {"by": "SK1"}
# fmt: off
WORDS = [
    ({"what": "create"}, "The REST API (SK1) asked for this call."),
    ({"what": "redirect", "url": "http://b/"},
     "The REST API (SK1) asked for another document: http://b/"),
    ({"what": "redirect", "inline": True},
     "The REST API (SK1) asked for another document: given with the request"),
    ({"what": "hangup"}, "The REST API (SK1) ended the call."),
    ({"what": "update", "changes": ["callback", "time_limit", "fallback_url"]},
     "The REST API (SK1) changed the call: new: status callback, time limit, fallback URL"),
    ({"what": "recording-update", "recording_sid": "RE1", "status": "paused"},
     "The REST API (SK1) changed a recording: RE1; paused"),
    ({"what": "newer"}, "The REST API (SK1) newer."),
]
# fmt: on


@pytest.mark.parametrize(("data", "words"), WORDS)
def test_commands(data, words):
    assert describe("command", data | BY) == words


def test_inline_documents_have_no_url():
    assert describe("document", {"url": "", "verbs": ["Say"]}) == "Say from REST"
    told = [
        event("webhook", reason="url", url="http://a/", method="POST"),
        event("document", url="http://a/", verbs=[], body=""),
        event("document", url="", verbs=["Say"], body="<Response/>"),
    ]
    assert [document.reason for document in documents(told, NOON)] == [
        "URL of the call that REST created", "given by REST, without a URL",
    ]  # fmt: skip
