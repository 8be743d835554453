"""URLs of a page and the pace of a program."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twimlrunner.engine.outcomes import Fetch
from twimlrunner.engine.ports import DocumentRequest, VerbFailed
from twimlrunner.engine.program import Pace, Page, ProgramLimits
from twimlrunner.twiml.document import Document

URL = "https://app.example:8443/a/b?c=d#rc=3"
PAGE = Page(Document(), None, URL)
INLINE = Page(Document(), None, "")


@pytest.mark.parametrize(
    ("fetch", "request_"),
    [
        (
            Fetch("/x", "GET", "redirect"),
            DocumentRequest("https://app.example:8443/x", "GET", "redirect"),
        ),
        (Fetch(None, "POST", "gather-action"), DocumentRequest(URL, "POST", "gather-action")),
        (Fetch("", "POST", "redirect"), DocumentRequest(URL, "POST", "redirect")),
        (
            Fetch("http://[::1]/", "POST", "record-action", (("Digits", "hangup"),), True),
            DocumentRequest(
                "http://[::1]/", "POST", "record-action", (("Digits", "hangup"),), True
            ),
        ),
    ],
)  # fmt: skip
def test_request_of_an_outcome(fetch, request_):
    assert PAGE.request_for(fetch) == request_


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.text("htps:/[]@?#%.1a ", max_size=20)))
def test_any_text_is_an_absolute_http_url_or_a_failure(text):
    for page in (PAGE, INLINE):
        try:
            url = page.resolve(text)
        except VerbFailed as error:
            code = error.code
        else:
            code = 0
            assert url.lower().startswith(("http://", "https://"))
        assert code in (0, 11100, 15004)


def test_pace_keeps_to_so_many_fetches_a_second():
    pace = Pace(ProgramLimits(fetches_per_second=3))
    for now in (0.0, 0.1, 0.2):
        assert pace.delay(now) == 0.0
        pace.fetch_started(now)
    assert pace.delay(0.25) == pytest.approx(0.75)
    assert pace.delay(1.0) == 0.0
    pace.fetch_started(1.0)
    assert pace.delay(1.0) == pytest.approx(0.1)


def test_pace_counts_idle_documents_in_a_row():
    pace = Pace(ProgramLimits(idle_documents=2, idle_seconds=1.0))
    lasted = [0.0, 0.9, 1.0, 0.0, 0.0, 0.0]
    goes_on = []
    for seconds in lasted:
        pace.document_started(10.0)
        goes_on.append(pace.document_left(10.0 + seconds))
    assert goes_on == [True, True, True, True, True, False]
