"""Session timers (RFC 4028), as the one who answers and as the one who calls."""

from __future__ import annotations

import pytest

from sipserver.sip.events import (
    Ended,
    IncomingInvite,
    OutgoingAnswered,
    OutgoingFailed,
    RequestFinal,
    RequestRefused,
    SessionOffer,
    SessionRefreshed,
)
from tests.fakes.virtual_wire import Faults, Wire
from tests.sip.client_node import Caller
from tests.sip.messages import SDP, parse, request, response
from tests.sip.server_node import Node

TIMER = ("Supported", "timer")


def asks(value: str, *more) -> list:
    return [("Session-Expires", value), *more]


def agreed(message) -> tuple:
    return message.headers.get("Session-Expires"), message.headers.get("Require")


# ---- what is agreed, as a server -------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "answer"),
    [
        ([], (None, None)),
        ([TIMER], (None, None)),
        (asks("600", TIMER), ("600;refresher=uac", "timer")),
        (asks("600;refresher=uac", TIMER), ("600;refresher=uac", "timer")),
        (asks("600;refresher=UAS", TIMER), ("600;refresher=uas", "timer")),
        (asks("600;refresher=uac", ("Require", "timer")), ("600;refresher=uac", "timer")),
        (asks("600"), ("600;refresher=uas", None)),  # a proxy wants it
        (asks("7200", TIMER), ("1800;refresher=uac", "timer")),
        (asks("7200", TIMER, ("Min-SE", "3600")), ("3600;refresher=uac", "timer")),
        (asks("90", TIMER), ("90;refresher=uac", "timer")),
        (asks("60"), (None, None)),  # would not understand 422
        ([("x", "600"), ("k", "timer")], ("600;refresher=uac", "timer")),
    ],
)
def test_the_answer_to_an_invite(extra, answer):
    node = Node()
    node.answered(extra=extra)
    assert agreed(node.last()) == answer


def test_too_short_an_interval_is_422():
    node = Node(min_se=120)
    assert node.put(request(body=SDP, extra=asks("90", TIMER))) == ["422 INVITE"]
    assert node.last().headers.get("Min-SE") == "120"
    (refused,) = node.told()
    assert isinstance(refused, RequestRefused)
    assert refused.status == 422


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_too_short_a_refresh_is_422_and_the_timer_runs_on(method):
    node = Node()
    usage = node.up(extra=asks("600", TIMER))
    refresh = node.send(method, 1.0, cseq=2, body=SDP, extra=asks("80", TIMER))
    assert refresh == [f"422 {method}"]
    node.wait(570.0)
    assert node.told() == [Ended(usage, "session-expired")]


@pytest.mark.parametrize("value", ["x", "", "-1", "1800 s"])
def test_a_malformed_interval_is_400(value):
    node = Node()
    assert node.put(request(body=SDP, extra=asks(value, TIMER))) == ["400 INVITE"]


def test_without_the_option_nothing_is_said_or_done():
    node = Node(supported=())
    node.up(extra=asks("60", TIMER))
    assert node.wait(100_000.0) == []
    caller = Caller(supported=())
    caller.call()
    assert "Session-Expires" not in caller.last().headers


# ---- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "moment"), [(600, 568.0), (90, 60.0)])
def test_no_refresh_ends_the_call(interval, moment):
    node = Node()
    usage = node.up(extra=asks(str(interval), TIMER))
    assert [each for each in node.wait(moment) if each[1] == "BYE"] == [(moment, "BYE")]
    assert node.told() == [Ended(usage, "session-expired")]
    node.wait(moment + 64.0)
    assert node.empty()


@pytest.mark.parametrize("body", [b"", SDP])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_of_the_peer_starts_the_timer_again(method, body):
    node = Node()
    usage = node.up(extra=asks("600", TIMER))
    node.send(method, 300.0, cseq=2, body=body, extra=asks("700;refresher=uac", TIMER))
    if any(isinstance(each, SessionOffer) for each in node.told()):
        node.engine.answer_offer(usage, SDP, 300.0)
        node.take()
    assert agreed(node.last()) == ("700;refresher=uac", "timer")
    node.send("ACK", 300.0, cseq=2, branch="z9hG4bKack2")
    node.told()
    assert node.wait(967.9) == []
    assert node.wait(968.0) == [(968.0, "BYE")]
    assert node.told() == [Ended(usage, "session-expired")]


def test_a_refresh_without_session_expires_ends_the_timer():
    node = Node()
    node.up(extra=asks("600", TIMER))
    assert node.send("UPDATE", 300.0, cseq=2) == ["200 UPDATE"]
    assert "Session-Expires" not in node.last().headers
    assert [each for each in node.wait(100_000.0) if each[1] == "BYE"] == []


def test_the_end_of_the_call_ends_its_timer():
    node = Node()
    node.up(extra=asks("600", TIMER))
    assert node.send("BYE", 1.0, cseq=2) == ["200 BYE"]
    node.wait(100.0)
    assert node.empty()


ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
OURS = asks("600;refresher=uas", TIMER)


def test_we_refresh_by_update_where_the_peer_allows_it():
    node = Node()
    usage = node.up(extra=[*OURS, ALLOW])
    assert node.wait(300.0) == [(300.0, "UPDATE")]
    update = node.last()
    assert update.body == b""
    assert update.headers.get("Session-Expires") == "600;refresher=uac"
    assert "timer" in update.supported
    node.put(response(node.outgoing[0].data, 200, extra=asks("600;refresher=uac")), 300.1)
    assert node.wait(600.0) == []
    assert node.wait(600.2)[0][1] == "UPDATE"
    assert node.told() == []
    node.put(response(node.outgoing[0].data, 200), 600.3)  # agrees no more
    assert node.wait(100_000.0) == []
    node.engine.bye(usage, 100_000.0)
    assert node.take() == ["BYE"]


def test_we_refresh_by_reinvite_with_our_last_sdp_where_it_does_not():
    node = Node()
    usage = node.up(extra=OURS)
    assert node.wait(300.0) == [(300.0, "INVITE")]
    invite = node.last()
    assert invite.body == SDP
    assert invite.headers.get("Session-Expires") == "600;refresher=uac"
    final = response(node.outgoing[0].data, 200, extra=asks("600"), body=b"v=0\r\n")
    assert node.put(final, 300.0) == ["ACK"]
    assert node.told() == [SessionRefreshed(usage, b"v=0\r\n")]
    assert node.wait(599.9) == []
    assert node.wait(600.0) == [(600.0, "INVITE")]


def test_an_update_that_is_not_allowed_after_all_becomes_a_reinvite():
    node = Node()
    node.up(extra=[*OURS, ALLOW])
    node.wait(300.0)
    node.put(response(node.outgoing[0].data, 405), 300.0)
    assert node.wait(300.0) == [(300.0, "INVITE")]


@pytest.mark.parametrize(("incoming", "earliest", "latest"), [(True, 0.0, 2.0), (False, 2.1, 4.0)])
def test_glare_is_retried_as_14_1_says(incoming, earliest, latest):
    if incoming:
        peer = Node()
        peer.up(extra=OURS)
    else:
        peer = Caller()
        peer.call()
        peer.reply(200, body=SDP, extra=asks("600;refresher=uac"))
        peer.engine.acknowledge(1, 0.0)
    peer.wait(300.0)
    assert peer.put(response(peer.outgoing[-1].data, 491), 300.0) == ["ACK"]
    sent = peer.wait(305.0)
    assert sent[0][1] == "INVITE"
    assert earliest <= sent[0][0] - 300.0 <= latest


def test_a_refresh_waits_for_an_exchange_that_is_open():
    node = Node()
    usage = node.up(extra=[*OURS, ALLOW])
    node.send("UPDATE", 299.0, cseq=2, body=SDP, extra=OURS)
    assert node.wait(301.0) == []
    node.engine.answer_offer(usage, SDP, 301.0)
    node.take()
    assert agreed(node.last()) == ("600;refresher=uas", "timer")
    assert [when for when, what in node.wait(601.0) if what == "UPDATE"] == [601.0]


def test_a_refresh_refused_for_a_longer_interval_is_sent_with_it():
    node = Node()
    node.up(extra=[*OURS, ALLOW])
    node.wait(300.0)
    node.put(response(node.outgoing[0].data, 422, extra=[("Min-SE", "900")]), 300.0)
    assert node.wait(300.0) == [(300.0, "UPDATE")]
    assert node.last().headers.get("Session-Expires") == "900;refresher=uac"
    assert node.last().headers.get("Min-SE") == "900"


def test_refreshes_that_fail_are_repeated_until_the_session_expires():
    node = Node()
    usage = node.up(extra=[*OURS, ALLOW])
    sent = []
    while not (ended := node.told()):
        when = node.engine.next_deadline()
        node.engine.handle_deadline(when)
        if node.take() == ["UPDATE"]:
            sent.append(when)
            node.put(response(node.outgoing[0].data, 500), when)
    assert ended == [Ended(usage, "session-expired")]
    assert when == 568.0
    assert sent[0] == 300.0
    assert 2 < len(sent) < 20


@pytest.mark.parametrize("status", [481, 408])
def test_a_refresh_that_nobody_answers_ends_the_call(status):
    node = Node()
    usage = node.up(extra=[*OURS, ALLOW])
    node.wait(300.0)
    node.put(response(node.outgoing[0].data, status), 300.0)
    assert node.told() == [Ended(usage, "gone")]


# ---- as a client -----------------------------------------------------------------------------


def test_our_invite_asks_for_a_timer():
    caller = Caller(session_expires=900, min_se=100)
    caller.call()
    assert caller.last().headers.get("Session-Expires") == "900"
    assert caller.last().headers.get("Min-SE") == "100"
    assert "timer" in caller.last().supported


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, []),
        ("x", []),
        ("600;refresher=uac", [(300.0, "INVITE")]),
        ("600", [(300.0, "INVITE")]),
        ("600;refresher=uas", []),
        ("1;refresher=uac", [(45.0, "INVITE")]),  # no less than RFC 4028 allows
    ],
)
def test_what_the_callee_answers(value, what):
    caller = Caller()
    usage = caller.call()
    caller.reply(200, body=SDP, extra=asks(value) if value else [])
    caller.engine.acknowledge(usage, 0.0)
    caller.take()
    assert caller.wait(300.0)[:1] == what


def test_a_callee_that_should_refresh_and_does_not_is_hung_up():
    caller = Caller()
    usage = caller.call()
    caller.reply(200, body=SDP, extra=asks("600;refresher=uas"))
    caller.engine.acknowledge(usage, 0.0)
    caller.take()
    caller.told()
    assert caller.send("UPDATE", 300.0, cseq=1, extra=asks("600;refresher=uac", TIMER)) == [
        "200 UPDATE"
    ]
    assert agreed(caller.last()) == ("600;refresher=uac", "timer")
    assert caller.wait(867.9) == []
    assert caller.wait(868.0) == [(868.0, "BYE")]
    assert caller.told() == [Ended(usage, "session-expired")]


def test_422_is_tried_again_with_the_longer_interval():
    caller = Caller(session_expires=300)
    usage = caller.call()
    first = caller.last()
    assert caller.reply(422, extra=[("Min-SE", "600")]) == ["ACK", "INVITE"]
    second = caller.last()
    assert second.headers.get_all("Session-Expires") == ["600"]
    assert second.headers.get_all("Min-SE") == ["600"]
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == 2
    assert second.body == SDP
    assert caller.told() == []
    caller.invite = caller.outgoing[-1].data
    caller.reply(200, body=SDP, extra=asks("600"))
    assert isinstance(caller.told()[0], OutgoingAnswered)
    caller.engine.acknowledge(usage, 0.0)
    assert caller.take() == ["ACK"]


@pytest.mark.parametrize("extra", [[], [("Min-SE", "x")], [("Min-SE", "1800")], [("Min-SE", "9")]])
def test_422_that_helps_nobody_is_the_end(extra):
    caller = Caller()
    caller.call()
    assert caller.reply(422, extra=extra) == ["ACK"]
    (failed,) = caller.told()
    assert isinstance(failed, OutgoingFailed)
    assert failed.status == 422


def test_422_for_ever_is_given_up():
    caller = Caller()
    caller.call()
    for number in range(2000, 2100):
        if len(caller.reply(422, extra=[("Min-SE", str(number))])) == 1:
            break
        caller.invite = caller.outgoing[-1].data
    assert parse(caller.invite).cseq.number == 10
    assert caller.told()[0].status == 422


def test_422_after_cancel_is_not_tried_again():
    caller = Caller()
    usage = caller.call()
    caller.reply(180)
    caller.engine.cancel(usage, 0.0)
    caller.take()
    assert caller.reply(422, extra=[("Min-SE", "9000")]) == ["ACK"]


def test_a_reinvite_or_update_of_ours_keeps_the_timer():
    caller = Caller()
    usage = caller.call()
    caller.reply(200, body=SDP, extra=asks("600;refresher=uas"))
    caller.engine.acknowledge(usage, 0.0)
    caller.take()
    token = caller.engine.reinvite(usage, SDP, 100.0)
    caller.take()
    assert caller.last().headers.get("Session-Expires") == "600;refresher=uas"
    caller.told()
    final = response(caller.outgoing[0].data, 200, body=SDP, extra=asks("600;refresher=uas"))
    assert caller.put(final, 100.0) == ["ACK"]
    (told,) = caller.told()
    assert isinstance(told, RequestFinal)
    assert told.token == token
    assert caller.wait(667.0) == []
    assert caller.wait(668.0) == [(668.0, "BYE")]


# ---- both, with losses -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_call_lives_for_hours_over_a_wire_that_loses(seed):
    wire = Wire(seed, Faults(loss=0.2, duplication=0.1, delay=(0.01, 0.3)))
    alice, bob = wire.add("alice", "192.0.2.1"), wire.add("bob", "192.0.2.2")

    def bobs(peer, event, now):
        if isinstance(event, IncomingInvite):
            peer.engine.answer(event.usage, SDP, now)

    def alices(peer, event, now):
        if isinstance(event, OutgoingAnswered):
            peer.engine.acknowledge(event.usage, now)

    alice.react, bob.react = alices, bobs
    usage = alice.engine.invite(
        "sip:bob@192.0.2.2",
        "<sip:alice@192.0.2.1>",
        "<sip:bob@192.0.2.2>",
        SDP,
        0.0,
        flow=wire.flow(alice, bob),
    )
    wire.run(4 * 3600.0)
    assert alice.of(Ended) == bob.of(Ended) == []
    assert alice.ladder(usage).count("> UPDATE") == 15  # every 900 s, and a little late each time
    wire.filter = lambda sender, data: sender != "alice"  # alice is gone
    wire.run(5 * 3600.0)
    assert [each.cause for each in bob.of(Ended)] == ["session-expired"]
    assert not any(bob.engine.sizes.values())
