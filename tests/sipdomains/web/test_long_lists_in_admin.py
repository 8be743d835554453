"""Lists of the admin that grow without end look at the newest rows; a SID finds the others."""

from datetime import timedelta

import pytest
from django.urls import reverse

from sipdomains import access, sids
from sipdomains.admin import loglist
from sipdomains.models import Notification, OutboxMessage
from sipdomains.models.fields import new_sid
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
CALLS = reverse("admin:sipdomains_call_changelist")
NOTIFICATIONS = reverse("admin:sipdomains_notification_changelist")


@pytest.fixture
def admin(client, make_user):
    client.force_login(make_user("vera", access.ADMINISTRATOR, access.EVERY_ACCOUNT, is_staff=True))
    return client


@pytest.fixture
def calls(make_call, domain, monkeypatch):
    """Newest first; the list reaches to the third."""
    monkeypatch.setattr(loglist, "NEWEST", 3)
    return [
        make_call(NOON - timedelta(minutes=number), domain=domain, account=domain.account,
                  to_uri=f"sip:{number}@pbx.example.net", duration=number)
        for number in range(6)
    ]  # fmt: skip


def shown(answer):
    return [row.pk for row in answer.context["cl"].result_list]


def test_the_newest_are_listed_and_it_says_so(admin, calls):
    page = admin.get(CALLS)
    assert shown(page) == [call.sid for call in calls[:3]]
    assert "among the newest" in page.content.decode()


def test_a_list_that_is_whole_says_nothing(admin, calls, monkeypatch):
    monkeypatch.setattr(loglist, "NEWEST", 7)
    page = admin.get(CALLS)
    assert len(shown(page)) == 6
    assert "among the newest" not in page.content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?q=sip:1@pbx", [1]),
        ("?q=sip:5@pbx", []),  # beyond
        ("?o=5", [0, 1, 2]),  # by duration
        ("?o=-5", [2, 1, 0]),
        ("?status__exact=completed", [0, 1, 2]),
        ("?status__exact=failed", []),
    ],
)
def test_among_them_is_searched_sorted_and_filtered(admin, calls, query, expected):
    assert shown(admin.get(CALLS + query)) == [calls[number].sid for number in expected]


def test_a_sid_finds_an_old_row_and_the_rows_of_an_old_call(admin, calls):
    note = Notification.objects.create(
        sid=new_sid(sids.NOTIFICATION), account=calls[5].account, call=calls[5],
        at=NOON - timedelta(days=1), code=11200, level="error", message="HTTP 500",
    )  # fmt: skip
    for minutes in range(4):
        Notification.objects.create(
            sid=new_sid(sids.NOTIFICATION),
            at=NOON - timedelta(minutes=minutes),
            code=1,
            level="error",
        )
    assert shown(admin.get(f"{CALLS}?q={calls[5].sid}")) == [calls[5].sid]
    assert note.pk not in shown(admin.get(NOTIFICATIONS))
    for sid in (note.sid, calls[5].sid):
        assert shown(admin.get(f"{NOTIFICATIONS}?q={sid}")) == [note.pk]
    assert shown(admin.get(f"{CALLS}?q=CA{'0' * 32}")) == []
    assert (
        admin.get(reverse("admin:sipdomains_call_change", args=[calls[5].sid])).status_code == 200
    )


def test_a_sid_of_another_account_finds_nothing(client, make_user, calls, make_call):
    other = make_call(NOON)
    member = make_user("member", access.VIEWER, accounts=[calls[0].account], is_staff=True)
    client.force_login(member)
    assert shown(client.get(f"{CALLS}?q={other.sid}")) == []
    assert other.sid not in shown(client.get(CALLS))


def test_callbacks_are_found_by_the_sid_of_their_call(admin, calls):
    for number, call in enumerate(calls):
        OutboxMessage.objects.create(
            id=f"m{number}", stream=call.sid, position=0, purpose="status-callback", call=call,
            created_at=call.started_at, next_at=call.started_at, method="POST", url="http://a/",
        )  # fmt: skip
    listed = reverse("admin:sipdomains_outboxmessage_changelist")
    assert shown(admin.get(listed)) == ["m0", "m1", "m2"]
    assert shown(admin.get(f"{listed}?q={calls[4].sid}")) == ["m4"]
