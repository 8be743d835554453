"""What all resources have in common: who may ask, errors, pages, repeats, the audit."""

from __future__ import annotations

from base64 import b64encode

import pytest
from auditlog.models import LogEntry
from django.core.cache import cache
from django.db import DataError, connection
from django.test import Client as Browser

from sipdomains.models import Account, ApiKey, Application, IdempotentRequest
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import apikeys, idempotency
from tests.sipdomains.api.conftest import BASE, basic, client_of, refused
from tests.sipdomains.conftest import saved

# --- who may ask ----------------------------------------------------------------------------------


def test_nothing_is_answered_without_credentials(alice, db) -> None:
    for path in (f"{BASE}.json", f"{BASE}/{alice.sid}/Calls.json", "/2010-04-01/whatever"):
        answer = Browser().get(path)
        assert answer.status_code == 401
        assert answer.json()["code"] == 20003
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"'


def test_unknown_parameters_are_ignored_and_noted_once_a_minute(
    raw, rest, alice, monkeypatch
) -> None:
    monkeypatch.setattr("sipdomains.throttling.time.time", lambda: 1_800_000_000.0)
    form = {"FriendlyName": "IVR", "friendlyName": "x", "Password": "geheim", "\n": "x"}
    for _ in range(3):
        assert raw("post", "/Applications.json", form).status_code == 201
    (note,) = rest.notifications.list()
    assert (note.error_code, note.log, note.call_sid) == ("20001", "1", None)
    assert note.message_text.endswith("were ignored: friendlyName, Password")
    assert note.request_method == "POST"
    assert note.request_url.endswith(f"{alice.sid}/Applications.json")
    assert {row.friendly_name for row in Application.objects.all()} == {"IVR"}


def test_of_very_many_unknown_parameters_some_are_named(raw, rest) -> None:
    form = {f"{'x' * 100}{number:02}": "" for number in range(40)}
    assert raw("post", "/Applications.json", form).status_code == 201
    (note,) = rest.notifications.list()
    assert note.message_text.endswith(f"{'x' * 64} and 30 more")


def test_documented_parameters_that_mean_nothing_here_are_ignored_in_silence(rest) -> None:
    rest.sip.domains.create("pbx.example.net", emergency_calling_enabled=False, byoc_trunk_sid="BY")
    assert rest.notifications.list() == []


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + "A" * 2000,
        basic("AC" + "0" * 32, "x"),
        basic("SK" + "0" * 32, "x"),
        basic("alice", "x"),
        basic("", ""),
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic \xe9\xe9\xe9\xe9",
    ],
)
def test_wrong_credentials_are_refused(raw, header) -> None:
    assert raw("get", "/Applications.json", Authorization=header).status_code == 401


def test_both_tokens_open_and_a_rotated_one_does_not(alice, raw) -> None:
    old = alice.auth_token
    alice.secondary_auth_token = "5" * 32
    alice.save()
    for token, status in ((old, 200), ("5" * 32, 200), ("6" * 32, 401), ("", 401)):
        header = basic(alice.sid, token)
        assert raw("get", "/Applications.json", Authorization=header).status_code == status


def test_a_key_opens_until_it_is_revoked(alice) -> None:
    key, secret = apikeys.create(alice, "CI")
    client = client_of(alice, key.sid, secret)
    assert client.applications.list() == []
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert secret not in key.secret_hash
    apikeys.revoke(key, key.last_used_at)
    assert refused(client.applications.list) == (401, 20003)


def test_a_key_does_not_open_other_accounts_nor_change_its_own(alice, bob) -> None:
    key, secret = apikeys.create(alice, "CI")
    client = client_of(alice, key.sid, secret)
    assert refused(lambda: client.api.accounts(bob.sid).fetch()) == (404, 20404)
    assert client.api.accounts(alice.sid).fetch().auth_token is None
    assert refused(lambda: client.api.accounts(alice.sid).update(friendly_name="x")) == (
        403,
        20403,
    )


def test_a_stranger_sees_nothing(alice, bob, raw) -> None:
    made = saved(Application(account=alice, friendly_name="a"))
    his = client_of(bob)
    assert refused(lambda: his.applications(made.sid).fetch()) == (404, 20404)
    assert refused(lambda: his.applications(made.sid).update(friendly_name="b")) == (404, 20404)
    assert refused(lambda: his.applications(made.sid).delete()) == (404, 20404)
    assert his.applications.list() == []
    header = basic(bob.sid, bob.auth_token)
    assert raw("get", "/Applications.json", Authorization=header).status_code == 404


def test_a_subaccount_has_the_limits_of_its_parent(alice) -> None:
    """Else making subaccounts were a way around what the operator allows."""
    limits = {
        "max_outgoing_calls": 2,
        "max_outgoing_per_minute": 6,
        "max_concurrent_calls": 9,
        "max_incoming_per_second": 4,
    }
    Account.objects.filter(sid=alice.sid).update(**limits)
    sub = client_of(alice).api.v2010.accounts.create(friendly_name="Branch")
    assert Account.objects.filter(sid=sub.sid, parent=alice, **limits).exists()


def test_a_subaccount_is_shut_with_its_parent(alice) -> None:
    sub = Account.objects.get(sid=client_of(alice).api.v2010.accounts.create().sid)
    assert client_of(sub).calls.list() == []
    Account.objects.filter(sid=alice.sid).update(status="suspended")
    assert refused(client_of(sub).calls.list) == (403, 20006)


def test_a_parent_reaches_its_subaccounts_and_not_the_other_way(alice) -> None:
    parent = client_of(alice)
    sub = parent.api.v2010.accounts.create(friendly_name="Branch")
    child = Account.objects.get(pk=sub.sid)
    assert child.parent == alice
    in_sub = parent.api.v2010.accounts(sub.sid).applications.create(friendly_name="x")
    assert Application.objects.get(pk=in_sub.sid).account == child
    assert len(client_of(child).applications.list()) == 1
    assert refused(lambda: client_of(child).api.accounts(alice.sid).fetch()) == (404, 20404)
    assert {row.sid for row in parent.api.v2010.accounts.list()} == {alice.sid, sub.sid}


def test_a_suspended_account_is_shut_and_its_parent_can_open_it(alice) -> None:
    parent = client_of(alice)
    sub = parent.api.v2010.accounts.create(friendly_name="Branch")
    child = Account.objects.get(pk=sub.sid)
    sub.update(status="suspended")
    assert refused(client_of(child).applications.list) == (403, 20006)
    assert refused(lambda: parent.api.v2010.accounts(sub.sid).applications.list()) == (403, 20006)
    assert parent.api.v2010.accounts(sub.sid).update(status="active").status == "active"
    assert client_of(child).applications.list() == []


def test_an_account_cannot_suspend_itself(rest, alice) -> None:
    assert refused(lambda: rest.api.accounts(alice.sid).update(status="suspended"))[0] == 400
    assert rest.api.accounts(alice.sid).update(friendly_name="New").friendly_name == "New"


def test_too_many_wrong_tokens_shut_the_door_for_a_while(settings, raw, alice, monkeypatch) -> None:
    monkeypatch.setattr("sipdomains.throttling.time.time", lambda: 1_800_000_000.0)
    cache.clear()
    settings.API_FAILED_LOGINS_PER_MINUTE = 3
    wrong = basic(alice.sid, "wrong")
    seen = [raw("get", "/Applications.json", Authorization=wrong).status_code for _ in range(5)]
    assert seen == [401, 401, 401, 429, 429]


def test_too_many_requests_are_told_when_to_come_back(settings, raw) -> None:
    settings.API_REQUESTS_PER_SECOND = 0
    answer = raw("get", "/Applications.json")
    assert (answer.status_code, answer.json()["code"]) == (429, 20429)
    assert int(answer.headers["Retry-After"]) >= 1


# --- addresses and methods ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/Queues.json", "/Messages.json", "/Applications", "/Applications/AP1.json", "/"]
)
def test_what_does_not_exist_is_told_in_the_right_shape(raw, path, alice) -> None:
    answer = raw("get", path)
    assert answer.status_code == 404
    assert answer.json() == {
        "code": 20404,
        "message": f"The requested resource {BASE}/{alice.sid}{path} was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }


@pytest.mark.parametrize("method", ["put", "patch", "options"])
def test_other_methods_are_refused(raw, method) -> None:
    answer = raw(method, "/Applications.json")
    assert (answer.status_code, answer.json()["code"]) == (405, 20004)
    assert "GET" in answer.headers["Allow"]


def test_a_body_that_is_no_form_is_refused(alice) -> None:
    answer = Browser().post(
        f"{BASE}/{alice.sid}/Applications.json",
        '{"FriendlyName": "x"}',
        content_type="application/json",
        headers={"Authorization": basic(alice.sid, alice.auth_token)},
    )
    assert answer.status_code == 415


def test_a_fault_of_ours_is_told_without_its_details(rest, raw, monkeypatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr("sipdomains.services.configuration.write", broken)
    answer = raw("post", "/Applications.json", {"FriendlyName": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, 20500)
    assert "secret" not in answer.content.decode()


def as_postgresql(execute, sql, params, many, context):
    """Refuses texts with a NUL in them."""
    if any("\x00" in value for value in params or () if isinstance(value, str)):
        raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return execute(sql, params, many, context)


@pytest.mark.parametrize(
    "path",
    [
        "/Calls/CA%00.json",
        "/Calls/%00/Events.json",
        "/Calls/%00/Recordings.json",
        "/SIP/CredentialLists/%00/Credentials.json",
        "/Recordings/%00.json",
    ],
)
def test_a_nul_in_an_address_is_not_found(raw, path) -> None:
    with connection.execute_wrapper(as_postgresql):
        answer = raw("get", path)
    assert (answer.status_code, answer.json()["code"]) == (404, 20404)


@pytest.mark.parametrize("path", ["AC%00/Calls.json", "AC%00.json", f"AC%00/Recordings/RE{0:032}"])
def test_a_nul_in_an_account_is_not_found(alice, path) -> None:
    header = basic(alice.sid, alice.auth_token)
    browser = Browser(raise_request_exception=False)
    with connection.execute_wrapper(as_postgresql):
        answer = browser.get(f"{BASE}/{path}", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (404, 20404)


@pytest.mark.parametrize(
    "path",
    [
        f"{BASE}.json?FriendlyName=%00",
        f"{BASE}.json?Status=%00",
        "/Applications.json?FriendlyName=%00",
    ],
)
def test_a_nul_in_a_filter_is_refused(raw, alice, path) -> None:
    path = path if path.startswith(BASE) else f"{BASE}/{alice.sid}{path}"
    header = basic(alice.sid, alice.auth_token)
    answer = Browser().get(path, headers={"Authorization": header})
    told = answer.json()
    assert (answer.status_code, told["code"], told["status"]) == (400, 20422, 400)
    assert answer["X-Twilio-Error-Code"] == "20422"


@pytest.mark.parametrize("name", ["FriendlyName", "VoiceUrl"])
def test_a_nul_in_a_parameter_is_refused_with_its_name(raw, name) -> None:
    with connection.execute_wrapper(as_postgresql):
        answer = raw("post", "/Applications.json", {"FriendlyName": "x", name: "a\0b"})
    assert answer.status_code == 400
    assert name in answer.json()["message"]


def test_too_many_parameters_are_too_large(raw, rest, settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 5
    many = "&".join(f"a{number}=1" for number in range(6))
    assert raw("get", f"/Calls.json?{many}").status_code == 413
    assert refused(lambda: rest.applications.create(
        friendly_name="a", voice_url="http://a/", voice_method="GET", sms_url="http://a/",
        sms_method="GET", status_callback="http://a/",
    )) == (413, 20413)  # fmt: skip


# --- pages ----------------------------------------------------------------------------------------


def test_pages_lead_to_each_other(rest, alice, raw) -> None:
    made = [rest.applications.create(friendly_name=f"a{i}").sid for i in range(7)]
    newest_first = made[::-1]
    first = raw("get", "/Applications.json?PageSize=3").json()
    assert [row["sid"] for row in first["applications"]] == newest_first[:3]
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 3, 0, 2)
    assert first["previous_page_uri"] is None
    follow = first["next_page_uri"].removeprefix(f"{BASE}/{alice.sid}")
    second = raw("get", follow).json()
    assert [row["sid"] for row in second["applications"]] == newest_first[3:6]
    assert (second["page"], second["start"], second["end"]) == (1, 3, 5)
    back = raw("get", second["previous_page_uri"].removeprefix(f"{BASE}/{alice.sid}")).json()
    assert [row["sid"] for row in back["applications"]] == newest_first[:3]
    third = raw("get", second["next_page_uri"].removeprefix(f"{BASE}/{alice.sid}")).json()
    assert third["next_page_uri"] is None
    by_number = raw("get", "/Applications.json?PageSize=3&Page=2").json()
    assert [row["sid"] for row in by_number["applications"]] == newest_first[6:]


def test_the_client_walks_all_pages(rest) -> None:
    made = {rest.applications.create(friendly_name=f"a{i}").sid for i in range(7)}
    assert {row.sid for row in rest.applications.list(page_size=2)} == made
    assert len(rest.applications.list(limit=3)) == 3
    page = rest.applications.page(page_size=4)
    assert len(list(page)) == 4
    assert len(list(page.next_page())) == 3


def test_filters_stay_in_the_addresses_of_pages(rest, raw) -> None:
    for _ in range(3):
        rest.applications.create(friendly_name="same")
    rest.applications.create(friendly_name="other")
    body = raw("get", "/Applications.json?FriendlyName=same&PageSize=2").json()
    assert "FriendlyName=same" in body["next_page_uri"]
    assert len(rest.applications.list(friendly_name="same", page_size=2)) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=0", 20007),
        ("PageSize=1001", 20007),
        ("PageSize=many", 20007),
        ("Page=-1", 20422),
        ("PageToken=PA1", 20422),
        ("PageToken=XX" + "AP" + "0" * 32 + "1", 20422),
        ("PageToken=PA" + "AP" + "0" * 32 + "9" * 30, 20422),
    ],
)
def test_bad_pages_are_refused(raw, query, code) -> None:
    answer = raw("get", f"/Applications.json?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


# --- repeats --------------------------------------------------------------------------------------


def test_a_repeated_request_makes_one_thing(rest) -> None:
    rest.http_client.headers = {"Idempotency-Key": "order-1"}
    first = rest.applications.create(friendly_name="once")
    again = rest.applications.create(friendly_name="once")
    assert first.sid == again.sid
    assert Application.objects.count() == 1


def test_a_key_is_for_one_request_only(rest) -> None:
    rest.http_client.headers = {"Idempotency-Key": "order-1"}
    rest.applications.create(friendly_name="once")
    assert refused(lambda: rest.applications.create(friendly_name="other")) == (409, 20409)


def test_what_failed_may_be_tried_again_under_its_key(rest) -> None:
    rest.http_client.headers = {"Idempotency-Key": "order-1"}
    assert refused(lambda: rest.applications.create(friendly_name="n" * 65)) == (400, 20002)
    rest.applications.create(friendly_name="short")
    assert IdempotentRequest.objects.get().status == 201


def test_keys_of_accounts_do_not_meet(rest, bob) -> None:
    his = client_of(bob)
    rest.http_client.headers = his.http_client.headers = {"Idempotency-Key": "order-1"}
    assert rest.applications.create(friendly_name="a").sid != (
        his.applications.create(friendly_name="b").sid
    )


def test_an_answer_whose_encryption_key_is_gone_is_not_given_again(rest, monkeypatch) -> None:
    def opened(body: str) -> str:
        raise DecryptionFailed

    rest.http_client.headers["Idempotency-Key"] = "k"
    rest.applications.create(friendly_name="once")
    monkeypatch.setattr(idempotency, "_opened", opened)
    assert refused(lambda: rest.applications.create(friendly_name="once")) == (409, 20409)


# --- the audit ------------------------------------------------------------------------------------


def test_changes_are_on_record_with_their_credential(rest, alice) -> None:
    key, secret = apikeys.create(alice, "CI")
    LogEntry.objects.all().delete()
    made = client_of(alice, key.sid, secret).applications.create(friendly_name="a")
    rest.applications(made.sid).update(friendly_name="b")
    rest.applications(made.sid).delete()
    entries = list(LogEntry.objects.order_by("id"))
    assert [entry.get_action_display() for entry in entries] == ["create", "update", "delete"]
    assert [entry.additional_data["credential"] for entry in entries] == [
        key.sid,
        alice.sid,
        alice.sid,
    ]
    assert entries[1].changes["friendly_name"] == ["a", "b"]


def test_no_secret_is_on_record(rest, alice) -> None:
    users = rest.sip.credential_lists.create(friendly_name="Phones")
    rest.sip.credential_lists(users.sid).credentials.create("alice", "Correct9HorseX")
    apikeys.create(alice, "CI")
    alice.secondary_auth_token = "5" * 32
    alice.save()
    text = str([entry.changes for entry in LogEntry.objects.all()])
    assert "(hidden)" in text
    for secret in (alice.auth_token, "5" * 32, "Correct9HorseX", ApiKey.objects.get().secret_hash):
        assert secret not in text


def test_nothing_is_said_of_the_credential_once_the_request_is_over(rest, alice) -> None:
    rest.applications.create(friendly_name="a")
    saved(Application(account=alice, friendly_name="by hand"))
    assert LogEntry.objects.latest("id").additional_data is None


# --- applications ---------------------------------------------------------------------------------


def test_an_application_keeps_what_it_was_given(rest) -> None:
    made = rest.applications.create(
        friendly_name="App",
        voice_url="https://app.example/voice",
        voice_fallback_url="https://app.example/oops",
        status_callback="https://app.example/ended",
        status_callback_method="get",
        sms_url="https://app.example/sms",
        voice_caller_id_lookup=True,
    )
    fetched = rest.applications(made.sid).fetch()
    assert fetched.voice_url == "https://app.example/voice"
    assert fetched.status_callback_method == "GET"
    assert fetched.sms_url == "https://app.example/sms"
    assert fetched.voice_caller_id_lookup is True
    assert fetched.sms_fallback_url is None
