"""What nobody types but somebody sends: pages answer it, and none of it is an error of ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db.backends.utils import CursorWrapper

from sipdomains.models import SavedFilter
from sipdomains.web.overview import hour_link

pytestmark = pytest.mark.django_db
SID = "0" * 32


@pytest.fixture
def strict_about_nul(monkeypatch):
    """As PostgreSQL, which takes no text with a NUL; SQLite does."""
    execute = CursorWrapper.execute

    def refuse(self, sql, params=None):
        values = params.values() if isinstance(params, dict) else params or ()
        if any(isinstance(value, str) and "\0" in value for value in values):
            raise ValueError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", refuse)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/calls/?q=a%00b", 400),
        ("/calls/?domain=a%00&user=%00&header=%00&number=%00&cause=%00", 400),
        ("/calls/?%00", 400),
        ("/calls/?q=%2500", 200),  # of which the text is %00
        ("/calls/?before=%00", 400),
        ("/domains/?after=a%00b", 400),
        (f"/recordings/AC%00/RE{SID}/waveform/", 404),
        (f"/2010-04-01/Accounts/AC%00/Recordings/RE{SID}", 404),
        (f"/2010-04-01/Accounts/AC{SID}/Recordings/RE{SID}?RequestedChannels=%00", 400),
        ("/calls/%00/", 404),
        ("/domains/%00/", 404),
        ("/bench/%00/", 404),
        ("/bench/?domain=%00", 400),
        ("/nowhere/%00", 404),
        ("/admin/sipdomains/call/?status__exact=%00", 400),
        ("/admin/sipdomains/call/%00/change/", 404),
        ("/admin/login/?next=%00", 400),
        ("/login/?next=%00", 400),
    ],
)
def test_nul_bytes_are_no_error_of_the_server(desk, strict_about_nul, path, status):
    assert desk.get(path).status_code == status


def test_nul_bytes_in_the_name_of_a_repeated_request_are_not_found(
    desk, make_call, strict_about_nul
):
    call = make_call()
    assert desk.get(f"/calls/{call.sid}/repeats/repeat-%00/").status_code == 404


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/calls/filters/", {"name": "a\0b", "query": "q=1"}),
        ("/calls/filters/", {"name": "a", "query": "q=1", "x\0": "y"}),
        ("/admin/sipdomains/account/", {"action": "delete_selected", "_selected_action": "\0"}),
        ("/login/", {"username": "\0", "password": "x"}),
    ],
)
def test_nul_bytes_in_a_form_are_refused(admin_client, strict_about_nul, path, form):
    answer = admin_client.post(path, form)
    assert answer.status_code == 400
    body = answer.content.decode()
    assert "holds a NUL character" in body
    assert "Sign out" in body  # it is a page as any other
    assert not SavedFilter.objects.exists()


def test_strangers_are_told_no_more_than_that(client, strict_about_nul):
    answer = client.get("/calls/?q=%00")
    assert answer.status_code == 400
    assert "Sign out" not in answer.content.decode()
    assert answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("moment", "zone"),
    [
        ("0001-01-01T00:00", "Pacific/Kiritimati"),
        ("0001-01-01T00:00", ""),
        ("9999-12-31T23:59:59", "Pacific/Pago_Pago"),
    ],
)
def test_times_at_the_end_of_the_calendar_are_told_at_their_field(desk, moment, zone):
    for name in ("since", "until"):
        answer = desk.get("/calls/", {"range": "exact", name: moment, "tz": zone})
        assert answer.status_code == 200


def test_who_is_signed_in_is_not_led_from_the_login_to_the_login(desk):
    answer = desk.get("/login/?next=/login/")
    assert (answer.status_code, answer.url) == (302, "/")


# --- the hours of a chart -------------------------------------------------------------------------


@pytest.mark.parametrize("hour", range(22, 28))
def test_each_hour_of_the_day_that_has_25_can_be_followed(desk, hour):
    """In Berlin 2026-10-25 has two hours that begin at 2:00."""
    begin = datetime(2026, 10, 24 + hour // 24, hour % 24, tzinfo=UTC)
    link = hour_link(begin, ZoneInfo("Europe/Berlin"))
    form = desk.get(link).context["form"]
    assert not form.errors
    wanted = form.wanted(datetime(2026, 10, 26, tzinfo=UTC))
    assert wanted.since == begin
    assert (wanted.until - wanted.since).total_seconds() == 3600


def test_hours_are_linked_in_the_readers_zone():
    link = hour_link(datetime(2026, 7, 1, 10, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    assert re.search(r"since=2026-07-01T12%3A00%3A00.*tz=Europe", link)
