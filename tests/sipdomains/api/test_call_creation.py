"""POST Calls: each parameter by the real client or as a form, and the code of each mistake."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from sipdomains import audit
from sipdomains.api import calls as calls_api
from sipdomains.contracts import OriginatePlan, RecordingWish
from sipdomains.models import Application, Call, CallOrder, IdempotentRequest, Notification
from sipdomains.services import apilog, idempotency, orders
from tests.sipdomains.api.conftest import refused
from tests.sipdomains.conftest import saved

pytestmark = pytest.mark.usefixtures("trunk")

URL = "https://app.example/voice"
GOOD = {"To": "+4930123456", "From": "+4930999", "Url": URL}


@pytest.fixture
def application(alice) -> Application:
    return saved(
        Application(
            account=alice,
            friendly_name="IVR",
            voice_url="https://app.example/ivr",
            voice_method="GET",
            voice_fallback_url="https://app.example/fallback",
            status_callback="https://app.example/status",
            status_callback_method="GET",
        )
    )


def planned() -> OriginatePlan:
    return OriginatePlan.from_json(CallOrder.objects.get().plan)


# --- what is made of it ---------------------------------------------------------------------------


def test_the_client_creates_a_call(rest, alice) -> None:
    call = rest.calls.create(to="+4930123456", from_="+4930999", url=URL)
    assert (call.status, call.direction, call.to) == ("queued", "outbound-api", "+4930123456")
    assert (call.start_time, call.duration, call.queue_time) == (None, None, "0")
    row = Call.objects.get()
    assert (row.sid, row.account_id, row.callback) == (call.sid, alice.sid, {})
    assert planned() == OriginatePlan(to="+4930123456", from_="+4930999", url=URL)


def test_every_parameter_reaches_the_plan(rest) -> None:
    call = rest.calls.create(
        to="sip:bob@pbx.example.net?X-Order=7&X-Name=a%20b",
        from_="client:shop",
        url=URL,
        method="GET",
        fallback_url="https://app.example/fallback",
        fallback_method="GET",
        status_callback="https://app.example/status",
        status_callback_method="GET",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
        send_digits="1234#wW",
        timeout=17,
        time_limit=3600,
        record=True,
        recording_channels="dual",
        recording_track="inbound",
        recording_status_callback="https://app.example/recording",
        recording_status_callback_method="GET",
        recording_status_callback_event=["in-progress", "completed"],
        trim="do-not-trim",
        sip_auth_username="shop",
        sip_auth_password="geheim",
        caller_id="+4930555",
        call_reason="Your order",
        call_token="x",
        byoc="BY1",
    )
    assert planned() == OriginatePlan(
        to="sip:bob@pbx.example.net?X-Order=7&X-Name=a%20b",
        from_="client:shop",
        url=URL,
        method="GET",
        fallback_url="https://app.example/fallback",
        fallback_method="GET",
        caller_id="+4930555",
        timeout=17,
        time_limit=3600,
        send_digits="1234#wW",
        recording=RecordingWish(
            channels=2,
            track="inbound",
            trim=False,
            callback={
                "url": "https://app.example/recording",
                "method": "GET",
                "events": ["in-progress", "completed"],
            },
        ),
    )
    order = CallOrder.objects.get()
    assert (order.sip_username, order.sip_password) == ("shop", "geheim")
    assert Call.objects.get(pk=call.sid).callback == {
        "url": "https://app.example/status",
        "method": "GET",
        "events": ["initiated", "ringing", "answered", "completed"],
    }
    assert not Notification.objects.exists()


def test_a_call_runs_twiml_that_is_handed_over(rest) -> None:
    rest.calls.create(to="+1", from_="+1", twiml="<Response><Say>Hi</Say></Response>", record=True)
    plan = planned()
    assert (plan.url, plan.twiml) == ("", "<Response><Say>Hi</Say></Response>")
    assert plan.recording == RecordingWish()


def test_a_call_runs_an_application(rest, application) -> None:
    rest.calls.create(
        to="+1",
        from_="+1",
        application_sid=application.sid,
        status_callback="https://other.example",
    )
    plan = planned()
    assert (plan.url, plan.method) == ("https://app.example/ivr", "GET")
    assert (plan.fallback_url, plan.fallback_method) == ("https://app.example/fallback", "POST")
    assert Call.objects.get().callback == {
        "url": "https://app.example/status", "method": "GET", "events": ["completed"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "to",
    [
        "+4930123456", "030 12-34 (56)", "*100#", "sip:bob@pbx.example.net",
        "SIPS:bob@[2001:db8::1]", "sip:pbx.example.net:5070;transport=tcp",
        "client:bob", "client:bob@pbx.example.net",
        "sip:bob@host?X-A=" + "b" * 900,
    ],
)  # fmt: skip
def test_whom_one_can_call(raw, to) -> None:
    assert raw("post", "/Calls.json", GOOD | {"To": to}).status_code == 201
    assert planned().to == to


@pytest.mark.parametrize(
    "caller", ["+4930999", "client:shop", "sip:shop@pbx.example.net", "Shop_1"]
)
def test_as_whom_one_can_call(raw, caller) -> None:
    assert raw("post", "/Calls.json", GOOD | {"From": caller}).status_code == 201


# --- mistakes -------------------------------------------------------------------------------------

LONG = "x" * 4001
MISTAKES = [
    ({"To": None}, 21201),
    ({"To": ""}, 21201),
    ({"To": None, "From": None, "Url": None}, 21201),
    ({"From": None}, 21213),
    ({"From": "", "Url": "nonsense"}, 21213),
    ({"To": "bob"}, 21211),
    ({"To": "bob@pbx.example.net"}, 21211),
    ({"To": "+"}, 21211),
    ({"To": "sip:"}, 21211),
    ({"To": "sip:bob @host"}, 21211),
    ({"To": "client:"}, 21211),
    ({"To": "tel:+4930"}, 21211),
    ({"To": "+49\n30"}, 21211),
    ({"To": "sip:" + "b" * 252}, 21211),
    ({"To": "9" * 5000}, 21211),
    ({"From": "a b\tc"}, 21212),
    ({"From": "sip:"}, 21212),
    ({"From": "x" * 255}, 21212),
    ({"Url": None}, 21205),
    ({"Url": ""}, 21205),
    ({"Url": "app.example/voice"}, 21205),
    ({"Url": "ftp://app.example/"}, 21205),
    ({"Url": "https://" + "h" * 2100}, 21205),
    ({"Url": "nonsense", "Twiml": "<Response/>"}, 21205),
    ({"Url": None, "Twiml": LONG}, 32018),
    ({"Twiml": LONG}, 32018),
    ({"Url": None, "ApplicationSid": "AP" + "0" * 32}, 21218),
    ({"Url": None, "ApplicationSid": "nonsense"}, 21218),
    ({"Method": "PUT"}, 21209),
    ({"FallbackUrl": "nonsense"}, 21205),
    ({"FallbackUrl": URL, "FallbackMethod": "HEAD"}, 21209),
    ({"StatusCallback": "nonsense"}, 20422),
    ({"StatusCallback": URL, "StatusCallbackMethod": "x"}, 21209),
    ({"StatusCallback": URL, "StatusCallbackEvent": "finished"}, 20422),
    ({"SendDigits": "12a"}, 21206),
    ({"SendDigits": "1" * 33}, 21206),
    ({"Timeout": "601"}, 21208),
    ({"Timeout": "0"}, 21208),
    ({"Timeout": "soon"}, 21208),
    ({"TimeLimit": "0"}, 20422),
    ({"TimeLimit": "86401"}, 20422),
    ({"Record": "perhaps"}, 20422),
    ({"RecordingChannels": "stereo"}, 20422),
    ({"RecordingTrack": "left"}, 20422),
    ({"RecordingStatusCallback": "nonsense"}, 20422),
    ({"RecordingStatusCallbackEvent": "begun"}, 20422),
    ({"Trim": "all"}, 20422),
    ({"MachineDetection": "Maybe"}, 21234),
    ({"MachineDetection": "Enable", "MachineDetectionTimeout": "2"}, 21234),
    ({"MachineDetectionSpeechThreshold": "999"}, 21234),
    ({"MachineDetectionSpeechEndThreshold": "5001"}, 21234),
    ({"MachineDetectionSilenceTimeout": "x"}, 21234),
    ({"AsyncAmdStatusCallback": "nonsense"}, 20422),
    ({"CallReason": "x" * 51}, 20422),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code"), MISTAKES)
def test_each_mistake_has_its_code(raw, changes, code) -> None:
    form = {name: value for name, value in (GOOD | changes).items() if value is not None}
    answer = raw("post", "/Calls.json", form)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not Call.objects.exists()


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({}, 21215),
        ({"+1": True}, 21215),
        ({"+49": False}, 21216),
        ({"+49": True, "+4930": False}, 21216),
        ({"": False, "+49": True}, 0),
    ],
)
def test_a_number_that_no_trunk_may_dial_is_refused(raw, trunk, rules, code) -> None:
    trunk.rules.all().delete()
    for prefix, allow in rules.items():
        trunk.rules.create(prefix=prefix, allow=allow)
    answer = raw("post", "/Calls.json", GOOD | {"To": "+49 (30) 12-34"})
    assert (answer.status_code, answer.json().get("code", 0)) == (400 if code else 201, code)
    assert Call.objects.exists() == (not code)


def test_without_a_trunk_no_number_can_be_called_but_others_can(raw, trunk) -> None:
    trunk.delete()
    assert raw("post", "/Calls.json", GOOD).json()["code"] == 21215
    for to in ("sip:49@pbx.example.net", "client:49"):
        assert raw("post", "/Calls.json", GOOD | {"To": to}).status_code == 201


def test_an_application_of_another_account_is_none(rest, application, bob) -> None:
    Application.objects.update(account=bob)
    work = lambda: rest.calls.create(to="+1", from_="+1", application_sid=application.sid)  # noqa: E731
    assert refused(work) == (400, 21218)


def test_an_application_without_a_url_has_nothing_to_run(rest, application) -> None:
    Application.objects.update(voice_url="", voice_fallback_url="")
    work = lambda: rest.calls.create(to="+1", from_="+1", application_sid=application.sid)  # noqa: E731
    assert refused(work) == (400, 21205)


# --- what is merely odd ---------------------------------------------------------------------------

ODD = [
    ({"Twiml": "<Response/>"}, [32019]),
    ({"SipAuthUsername": "u" * 256, "SipAuthPassword": "p"}, [21221]),
    ({"SipAuthUsername": "u\x01", "SipAuthPassword": "p"}, [21222]),
    ({"SipAuthUsername": "u", "SipAuthPassword": "p" * 256}, [21223]),
    ({"SipAuthUsername": "u", "SipAuthPassword": "p\x7f"}, [21224]),
    ({"SipAuthUsername": "u"}, [21225]),
    ({"To": "sip:bob@host?X-A=" + "b" * 1024}, [21227]),
    ({"To": "sip:bob@host?X%20A=b&X-B=c"}, [21228]),
    ({"To": "sip:bob@host?X-A=b%0d%0aVia:x&X-B=c"}, [21229]),
    ({"MachineDetection": "Enable"}, [21234]),
    ({"MachineDetection": "Enable", "AsyncAmd": "true"}, [21234, 21262]),
    ({"Unknown": "x"}, [20001]),
    ({"to": "x", "statusCallback": "x"}, [20001]),
    ({"CallToken": "x", "Byoc": "BY1", "ClientNotificationUrl": "x"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "codes"), ODD)
def test_what_is_merely_odd_is_noted_and_the_call_is_placed(raw, rest, changes, codes) -> None:
    answer = raw("post", "/Calls.json", GOOD | changes)
    assert answer.status_code == 201
    notes = rest.calls(answer.json()["sid"]).notifications.list()
    assert sorted(int(note.error_code) for note in notes) == codes
    assert {note.log for note in notes} <= {"1"}
    order, plan = CallOrder.objects.get(), planned()
    assert plan.url == URL
    assert plan.twiml == ""
    if "SipAuthUsername" in changes:
        assert (order.sip_username, order.sip_password) == ("", "")
    if "?" in changes.get("To", ""):
        assert plan.to == ("sip:bob@host" if 21227 in codes else "sip:bob@host?X-B=c")
    for note in Notification.objects.all():
        assert "p" * 256 not in note.message


def test_the_warnings_are_part_of_the_creation(raw, monkeypatch) -> None:
    def broken(*_, **__):
        raise DatabaseError

    monkeypatch.setattr(apilog, "warn", broken)
    assert raw("post", "/Calls.json", GOOD | {"Unknown": "x"}).status_code == 500
    assert not Call.objects.exists()
    assert not CallOrder.objects.exists()


def test_no_password_of_a_caller_is_kept(rest) -> None:
    call = rest.calls.create(
        to="+4930123456", from_="sip:bob:hidden1@x.example", url=URL, caller_id="sip:b:hidden2@x"
    )
    row, plan = Call.objects.get(), planned()
    assert "hidden" not in f"{call.from_formatted} {row.from_uri} {plan}"
    assert plan.from_.startswith("sip:bob")


def test_a_full_queue_is_told(rest, monkeypatch) -> None:
    monkeypatch.setattr(orders, "MAX_QUEUED", 1)
    create = lambda: rest.calls.create(to="+1", from_="+1", url=URL)  # noqa: E731
    create()
    assert refused(create) == (429, 22005)


def test_a_repeated_request_creates_one_call(rest) -> None:
    rest.http_client.headers["Idempotency-Key"] = "order-7"
    first = rest.calls.create(to="+1", from_="+1", url=URL)
    again = rest.calls.create(to="+1", from_="+1", url=URL)
    assert first.sid == again.sid
    assert Call.objects.count() == IdempotentRequest.objects.count() == 1


# --- a process that dies --------------------------------------------------------------------------


class Death(BaseException):
    """Of the web process: nothing runs after it but what another process does later."""


@pytest.mark.django_db(transaction=True)
def test_a_call_is_created_once_though_the_process_dies_after_the_commit(rest, monkeypatch) -> None:
    def dies(*_: object) -> None:
        raise Death

    rest.http_client.headers = {"Idempotency-Key": "order-1"}
    with monkeypatch.context() as patch:
        patch.setattr(orders, "_push", dies)  # the first thing after the commit
        patch.setattr(idempotency, "forget", lambda *_: None)
        with pytest.raises(Death):
            rest.calls.create(to="+4930123456", from_="+4930999", url=URL)
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    again = rest.calls.create(to="+4930123456", from_="+4930999", url=URL)
    assert [call.sid for call in Call.objects.all()] == [again.sid]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_of_a_call_whose_process_dies_before_the_commit(rest, monkeypatch) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Death

    rest.http_client.headers = {"Idempotency-Key": "order-1"}
    with monkeypatch.context() as patch:
        patch.setattr(calls_api.CallOutput, "get_status", dies)  # the last thing before it
        patch.setattr(idempotency, "forget", lambda *_: None)
        with pytest.raises(Death) as death:
            rest.calls.create(to="+4930123456", from_="+4930999", url=URL)
    assert not Call.objects.exists()
    # Later changes are not those of who asked, though the frames of the request are still there.
    assert death.tb is not None
    assert audit.additional_data() is None
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    again = rest.calls.create(to="+4930123456", from_="+4930999", url=URL)
    assert [call.sid for call in Call.objects.all()] == [again.sid]
