"""The list of domains, a domain's page, "allow this address", and the pages of a test call."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from sipdomains import access
from sipdomains.contracts import TASK_TEST_CALL
from sipdomains.models import (
    Account,
    CallAclMapping,
    IpAccessControlList,
    IpAddress,
    Registration,
    SipDomain,
)
from sipdomains.selectors import domainpage
from sipdomains.services import testcalls
from sipdomains.web.domainwords import what_happens, who_may_call
from tests.sipdomains.web.conftest import NOON

STRANGER = "198.51.100.7"


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture
def administrator(make_user):
    return make_user("ada", access.ADMINISTRATOR, access.EVERY_ACCOUNT, is_staff=True)


@pytest.fixture
def admin_desk(client, administrator):
    client.force_login(administrator)
    return client


@pytest.fixture
def refused(make_call, domain):
    """One call that the address list refuses, seven minutes ago."""
    return make_call(
        timezone.now() - timedelta(minutes=7),
        domain=domain, account=domain.account, source_ip=STRANGER, username="",
        status="failed", cause="source-not-allowed", sip_status=403, answered_at=None,
        reason="The source address is in none of the domain's IP access control lists.",
    )  # fmt: skip


@pytest.fixture
def listed(domain):
    acl = IpAccessControlList.objects.create(account=domain.account, friendly_name="Office")
    IpAddress.objects.create(acl=acl, ip_address="192.0.2.0", cidr_prefix_length=24)
    CallAclMapping.objects.create(domain=domain, acl=acl)
    return acl


@pytest.fixture
def sent(monkeypatch):
    tasks = []
    monkeypatch.setattr(
        "celery.Celery.send_task", lambda app, name, args=(), **_: tasks.append((name, args))
    )
    return tasks


def page(name: str, *args: str) -> str:
    return reverse(f"web:{name}", args=args)


def text(response) -> str:
    return response.content.decode()


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "lists", "users", "user_lists", "tone", "words"),
    [
        ((), 0, 0, 0, "bad", "Nobody: no IP access control list and no credential list"),
        ((), 1, 0, 0, "bad", "the mapped access control lists are empty"),
        ((), 0, 0, 1, "bad", "hold no user"),
        (("192.0.2.0/24",), 1, 0, 0, "good", "from 1 listed network, without a password"),
        (("192.0.2.1/32",), 1, 0, 0, "good", "from 1 listed address, without a password"),
        (("0.0.0.0/0",), 1, 0, 0, "bad", "Everybody, without a password"),
        ((), 0, 3, 1, "good", "3 users with the right password, from any address"),
        (("192.0.2.1/32", "::/0"), 2, 1, 1, "good", "only from 2 listed addresses or networks"),
    ],
)
def test_who_may_call_is_said_in_words(networks, lists, users, user_lists, tone, words) -> None:
    domain = SipDomain(domain_name="pbx.example.net", account=Account())
    (said, *_) = who_may_call(domain, networks, lists, users, user_lists)
    assert said.tone == tone
    assert words in said.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"enabled": False}, "switched off"),
        ({"secure": True}, "TLS"),
        ({"drop_unlisted": True}, "no answer at all"),
        ({"match_from_user": True}, "must be the one who authenticates"),
        ({"max_concurrent_calls": 2}, "At most 2 calls"),
        ({"max_incoming_per_second": 1}, "At most 1 new call in a second"),
    ],
)
def test_what_narrows_it_is_said_too(fields, words) -> None:
    domain = SipDomain(domain_name="pbx.example.net", account=Account(), **fields)
    said = who_may_call(domain, ["192.0.2.1/32"], 1, 1, 1)
    assert words in " ".join(sentence.text for sentence in said)


def test_what_happens_then_shows_no_password_of_a_url() -> None:
    domain = SipDomain(
        domain_name="pbx.example.net", voice_url="https://me:secret@app.example/voice"
    )
    said = " ".join(sentence.text for sentence in what_happens(domain))
    assert "https://me:…@app.example/voice (POST)" in said
    assert "secret" not in said
    assert "no fallback URL" in said
    assert "no voice URL" in what_happens(SipDomain())[0].text


# --- selectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ordered", "p50", "p95"),
    [([], 0, 0), ([7.0], 7, 7), ([1.0, 2.0], 1, 2), ([float(n) for n in range(1, 101)], 50, 95)],
)
def test_percentiles(ordered, p50, p95) -> None:
    assert domainpage.percentile(ordered, 50) == p50
    assert domainpage.percentile(ordered, 95) == p95


def test_health_counts_the_newest_requests_of_the_domain_alone(
    domain, make_call, add_attempt
) -> None:
    call = make_call(NOON, domain=domain)
    other = make_call(NOON)
    for number in range(3):
        add_attempt(call, status=200, duration_ms=10.0 * (number + 1), request_id=f"r{number}")
    add_attempt(
        call, status=500, duration_ms=99.0, error_code=11200, request_id="bad",
        at=NOON + timedelta(seconds=5),
    )  # fmt: skip
    add_attempt(other, status=500, request_id="other")
    health = domainpage.webhook_health(domain)
    assert (health.requests, health.failed, health.success) == (4, 1, 75.0)
    assert (health.p50, health.p95) == (20.0, 99.0)
    assert health.last_failure.request_id == "bad"


def test_refusals_are_grouped_by_reason_and_source(domain, make_call) -> None:
    now = NOON + timedelta(hours=1)
    fields = {"domain": domain, "status": "failed", "answered_at": None, "sip_status": 403}
    for number in range(3):
        make_call(
            NOON + timedelta(minutes=number), cause="bad-credentials", source_ip="192.0.2.1",
            username="alice", **fields,
        )  # fmt: skip
    last = make_call(NOON, cause="source-not-allowed", source_ip=STRANGER, **fields)
    make_call(NOON, cause="source-not-allowed", source_ip=STRANGER, **fields | {"domain": None})
    make_call(NOON - timedelta(days=9), cause="source-not-allowed", source_ip="x", **fields)
    make_call(NOON, domain=domain)  # answered
    recent = domainpage.recent_calls(domain, now)
    assert (recent.complete, recent.day, recent.day_failed) == (True, 5, 4)
    shown = [
        (group.cause, group.source_ip, group.username, group.count) for group in recent.refusals
    ]
    assert shown == [
        ("bad-credentials", "192.0.2.1", "alice", 3),
        ("source-not-allowed", STRANGER, "", 1),
    ]
    assert recent.refusals[1].last_sid == last.sid


# --- pages ----------------------------------------------------------------------------------------


def test_the_list_shows_what_guards_each_domain(desk, domain, listed) -> None:
    open_one = SipDomain.objects.create(account=domain.account, domain_name="open.example.net")
    shown = text(desk.get(page("domains")))
    assert page("domain", domain.sid) in shown
    assert page("domain", open_one.sid) in shown
    assert "listed address" in shown
    assert "takes no calls" in shown
    found = text(desk.get(page("domains"), {"q": "OPEN"}))
    assert domain.sid not in found
    assert open_one.sid in found


def test_the_list_has_pages(desk, domain, monkeypatch) -> None:
    monkeypatch.setattr(domainpage, "PAGE_SIZE", 1)
    SipDomain.objects.create(account=domain.account, domain_name="zoo.example.net")
    first = text(desk.get(page("domains")))
    assert "after=pbx.example.net" in first
    assert "zoo.example.net" not in first
    assert "zoo.example.net" in text(desk.get(page("domains"), {"after": "pbx.example.net"}))


def test_a_domains_page_tells_all_of_it(
    admin_desk, domain, listed, refused, make_call, add_attempt
) -> None:
    call = make_call(timezone.now(), domain=domain, account=domain.account)
    add_attempt(call, status=503, duration_ms=12.0, error_code=11200, error_message="HTTP 503")
    now = timezone.now()
    Registration.objects.create(
        domain=domain, username="alice", contact_uri="sip:alice@192.0.2.9", sip_call_id="c", cseq=1,
        transport="udp", received_host="192.0.2.9", received_port=5062, local_host="192.0.2.1",
        local_port=5060, node="boot", registered_at=now, refreshed_at=now,
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip
    shown = text(admin_desk.get(page("domain", domain.sid)))
    for words in (
        "without a password", "192.0.2.0/24", "There is no voice URL", "0.0 %", "HTTP 503",
        "192.0.2.9:5062", refused.reason.replace("'", "&#x27;"), STRANGER,
        f"{page('allow-address', domain.sid)}?address={STRANGER}",
    ):  # fmt: skip
        assert words in shown


def test_the_check_is_on_the_page(desk, domain, listed) -> None:
    shown = text(desk.get(page("domain", domain.sid), {"source_ip": STRANGER}))
    assert "The call is refused:" in shown
    assert "403 Forbidden" in shown
    shown = text(desk.get(page("domain", domain.sid), {"source_ip": "192.0.2.4"}))
    assert "The call is let in:" in shown
    assert "valid IPv4" in text(desk.get(page("domain", domain.sid), {"source_ip": "x"}))


def test_a_page_takes_few_queries_however_much_there_is(
    desk, domain, listed, make_call, add_attempt, django_assert_max_num_queries
) -> None:
    for number in range(30):
        call = make_call(
            timezone.now(), domain=domain, account=domain.account, status="failed",
            answered_at=None, cause="bad-credentials", source_ip=f"192.0.2.{number}",
        )  # fmt: skip
        add_attempt(call, status=500, error_code=11200)
    with django_assert_max_num_queries(28):
        assert desk.get(page("domain", domain.sid)).status_code == 200


def test_another_accounts_domain_is_not_there(client, make_user, domain, listed) -> None:
    stranger = Account.objects.create(friendly_name="Other")
    user = make_user("bob", access.ADMINISTRATOR, accounts=[stranger])
    client.force_login(user)
    assert domain.sid not in text(client.get(page("domains")))
    for name in ("domain", "allow-address"):
        assert client.get(page(name, domain.sid), {"address": STRANGER}).status_code == 404
    answer = client.post(page("start-test-call", domain.sid), {"number": "1", "seconds": 5})
    assert answer.status_code == 404
    assert client.get(page("domain", "SD" + "0" * 32)).status_code == 404
    assert client.get(page("domain", "nonsense")).status_code == 404


def test_viewers_look_and_do_not_touch(client, make_user, domain, listed, refused) -> None:
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT))
    shown = text(client.get(page("domain", domain.sid)))
    assert "Allow this address" not in shown
    assert "Call this domain from here" not in shown
    assert client.get(page("allow-address", domain.sid), {"address": STRANGER}).status_code == 403
    assert client.post(page("start-test-call", domain.sid)).status_code == 403
    assert not IpAddress.objects.filter(ip_address=STRANGER).exists()


def test_an_operator_cannot_open_a_domain(desk, domain, listed) -> None:
    answer = desk.post(page("allow-address", domain.sid), {"address": STRANGER})
    assert answer.status_code == 403
    assert IpAddress.objects.count() == 1


# --- allow this address ---------------------------------------------------------------------------


def test_an_address_is_allowed_after_it_was_said_what_that_opens(
    admin_desk, domain, listed, refused
) -> None:
    url = page("allow-address", domain.sid)
    asked = text(admin_desk.get(url, {"address": STRANGER}))
    assert f"Let {STRANGER} call {domain}?" in asked
    assert "They need no password" in asked
    assert IpAddress.objects.count() == 1  # asking does nothing
    done = admin_desk.post(url, {"address": STRANGER, "acl": listed.sid}, follow=True)
    assert f"{STRANGER}/32 may call" in text(done)
    entry = listed.addresses.get(ip_address=STRANGER)
    assert entry.friendly_name == "allowed at the desk by ada"
    again = admin_desk.get(url, {"address": STRANGER})
    assert "is allowed already" in text(again)


def test_allowing_needs_the_token_of_the_form(domain, listed, administrator) -> None:
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(administrator)
    answer = strict.post(page("allow-address", domain.sid), {"address": STRANGER})
    assert answer.status_code == 403
    assert IpAddress.objects.count() == 1


@pytest.mark.parametrize("address", ["", "198.51.100.0/24", "<script>"])
def test_what_cannot_be_allowed_is_explained(admin_desk, domain, listed, address) -> None:
    answer = admin_desk.post(page("allow-address", domain.sid), {"address": address})
    assert answer.status_code == 400
    assert "Enter one IPv4 or IPv6 address." in text(answer)
    assert "<script>" not in text(answer)


# --- test calls -----------------------------------------------------------------------------------

FORM = {"number": "100", "username": "alice", "password": "Correct9HorseX", "digits": "1#",
        "seconds": "20"}  # fmt: skip


def test_a_test_call_is_handed_to_a_worker_without_its_secrets(desk, domain, sent) -> None:
    answer = desk.post(page("start-test-call", domain.sid), FORM)
    ((name, (order_id,)),) = sent
    assert name == TASK_TEST_CALL
    assert answer["Location"] == page("test-call", domain.sid, order_id)
    order = testcalls.take(order_id)
    assert (order.target, order.seconds) == ("sip:100@pbx.example.net", 20)
    assert order.password == FORM["password"]
    shown = text(desk.get(answer["Location"]))
    assert "The caller is about to dial." in shown
    assert FORM["password"] not in shown


@pytest.mark.parametrize(
    ("field", "value"),
    [("number", "1@evil.example"), ("number", ""), ("seconds", "121"), ("seconds", "0"),
     ("digits", "hello"), ("digits", "1" * 33)],
)  # fmt: skip
def test_what_cannot_be_called_is_told_at_its_field(desk, domain, sent, field, value) -> None:
    answer = desk.post(page("start-test-call", domain.sid), FORM | {field: value})
    assert answer.status_code == 400
    assert 'class="problem"' in text(answer)
    assert FORM["password"] not in text(answer)
    assert not sent


def test_more_test_calls_than_a_few_a_minute_are_refused(desk, domain, sent, monkeypatch) -> None:
    monkeypatch.setattr("sipdomains.services.deskcache.time.time", lambda: 2_000_000_000.0)
    for _ in range(testcalls.PER_MINUTE):
        desk.post(page("start-test-call", domain.sid), FORM)
    answer = desk.post(page("start-test-call", domain.sid), FORM, follow=True)
    assert "Wait a little" in text(answer)
    assert len(sent) == testcalls.PER_MINUTE


def test_a_refusal_is_shown_with_its_reason_and_the_way_to_mend_it(
    admin_desk, administrator, domain, listed, make_call, sent
) -> None:
    admin_desk.post(page("start-test-call", domain.sid), FORM)
    ((_, (id_,)),) = sent
    now = testcalls.progress(id_)
    make_call(
        timezone.now(), domain=domain, sip_call_id=now.call_id, source_ip=STRANGER, status="failed",
        cause="source-not-allowed", sip_status=403, answered_at=None, error_code=32201,
    )  # fmt: skip
    message = {
        "dir": "out",
        "summary": "INVITE",
        "text": "INVITE text",
        "peer": "",
        "transport": "",
    }
    outcome = {"status": 403, "reason": "Forbidden", "ended_by": "refused", "at": 0.0,
               "why": "32201 not listed"}  # fmt: skip
    values = {"user": now.user, "domain_sid": now.domain_sid, "target": now.target,
              "call_id": now.call_id, "asked_at": now.asked_at}  # fmt: skip
    testcalls.put(
        id_,
        testcalls.Progress(
            **values, state="over", messages=((now.asked_at, message),), outcome=outcome
        ),
    )
    shown = text(admin_desk.get(page("test-call", domain.sid, id_)))
    for words in ("403 Forbidden", "32201 not listed", "Refused with 403", f"Allow {STRANGER}",
                  "INVITE text", "Open the call"):  # fmt: skip
        assert words in shown
    assert "data-poll" not in shown  # it is over and in the log


def test_a_test_call_is_seen_by_who_asked_for_it_only(
    client, make_user, desk, domain, sent
) -> None:
    desk.post(page("start-test-call", domain.sid), FORM)
    ((_, (id_,)),) = sent
    assert desk.get(page("test-call", domain.sid, id_)).status_code == 200
    client.force_login(make_user("olga", access.OPERATOR, access.EVERY_ACCOUNT))
    assert client.get(page("test-call", domain.sid, id_)).status_code == 404


def test_a_refresh_without_news_is_empty(desk, domain, sent) -> None:
    desk.post(page("start-test-call", domain.sid), FORM)
    ((_, (id_,)),) = sent
    url = page("test-call", domain.sid, id_)
    known = text(desk.get(url)).partition("?version=")[2].partition('"')[0]
    answer = desk.get(f"{url}?version={known}", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    answer = desk.get(url, {"version": "old"}, headers={"HX-Request": "true"})
    assert "<html" not in text(answer)
