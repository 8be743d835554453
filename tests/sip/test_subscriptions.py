"""REFER in both directions, its NOTIFYs, and the dialog that outlives its call."""

from __future__ import annotations

import pytest

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Ended,
    IncomingInvite,
    InDialogRequest,
    Notified,
    OutgoingAnswered,
    RequestFinal,
    SubscriptionExpired,
)
from sipserver.sip.invite_usage import UsageEnded
from tests.fakes.virtual_wire import Faults, Wire
from tests.sip.client_node import Caller
from tests.sip.messages import SDP, parse, request, response
from tests.sip.server_node import Node

FRAG = b"SIP/2.0 200 OK\r\n"
ACTIVE, OVER = "active;expires=60", "terminated;reason=noresource"


def notify(node, cseq, now=0.0, *, event="refer", state=ACTIVE, body=FRAG) -> list[str]:
    extra = [("Event", event), ("Subscription-State", state)]
    parts = {"extra": extra, "body": body, "content_type": "message/sipfrag;version=2.0"}
    return node.send("NOTIFY", now, cseq=cseq, **parts)


class Referrer(Node):
    """A call that is up, in which we have sent REFER."""

    def __init__(self, **config) -> None:
        super().__init__(**config)
        self.usage = self.up()
        self.refers = []
        self.token = self.refer()

    def refer(self, now=0.0, **parts) -> int:
        token = self.engine.refer(self.usage, "sip:bob@example.com", now, **parts)
        assert self.take() == ["REFER"]
        self.refers.append(self.outgoing[0].data)
        return token

    def final(self, status: int, now=0.0, which=-1) -> list[str]:
        return self.put(response(self.refers[which], status), now)

    def heard(self) -> list[tuple]:
        return [(e.token, e.request.body, e.over) for e in self.told() if isinstance(e, Notified)]


# ---- sent ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refer_to", "header"),
    [
        ("sip:b@example.com", "<sip:b@example.com>"),
        ("tel:+4930123456", "<tel:+4930123456>"),
        ("<sip:b@example.com;x=1?Replaces=a%3Bto-tag%3Db>", None),
        ('"B" <sips:b@example.com>', None),
        ("sip:b@example.com?X-A=1&User-to-User=2", "<sip:b@example.com?X-A=1&User-to-User=2>"),
    ],
)
def test_the_refer_that_goes_out(refer_to, header):
    node = Node()
    usage = node.up()
    node.engine.refer(usage, refer_to, 0.0, referred_by="sip:me@h", headers=[("X-A", "1")])
    assert node.take() == ["REFER"]
    refer = node.last()
    assert refer.headers.get("Refer-To") == (header or refer_to)
    assert refer.headers.get("Referred-By") == "<sip:me@h>"
    assert refer.headers.get("X-A") == "1"
    assert refer.uri_text == "sip:alice@192.0.2.1:5060"
    assert refer.to.tag == "from1"
    assert refer.contact is not None


def test_the_outcome_and_the_notifies():
    node = Referrer()
    assert node.final(202) == []
    (final,) = node.told()
    assert (type(final), final.token, final.status) == (RequestFinal, node.token, 202)
    assert notify(node, 2, body=b"SIP/2.0 100 Trying\r\n") == ["200 NOTIFY"]
    assert notify(node, 3, state=OVER) == ["200 NOTIFY"]
    assert node.heard() == [
        (node.token, b"SIP/2.0 100 Trying\r\n", False),
        (node.token, FRAG, True),
    ]
    assert notify(node, 4, state=OVER) == ["481 NOTIFY"]
    assert node.wait(1000.0) == []
    assert node.told() == []


def test_a_notify_before_the_202():
    node = Referrer()
    assert notify(node, 2) == ["200 NOTIFY"]
    node.final(202)
    assert [type(each) for each in node.told()] == [Notified, RequestFinal]


def test_a_notify_that_comes_twice_is_told_once():
    node = Referrer()
    assert notify(node, 2) == ["200 NOTIFY"]
    assert notify(node, 2) == ["200 NOTIFY"]
    assert len(node.heard()) == 1


@pytest.mark.parametrize("status", [403, 405, 603, 401])
def test_a_refused_refer_has_no_subscription(status):
    node = Referrer()
    node.final(status)
    assert [each.status for each in node.told()] == [status]
    assert notify(node, 2) == ["481 NOTIFY"]
    assert node.send("BYE", cseq=3) == ["200 BYE"]


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        ("refer", "200"),
        ("Refer ; id=1", "200"),
        ("refer;id=7", "481"),
        ('refer;id="', "481"),
        ("presence", "489"),
        ("", "489"),
    ],
)
def test_the_event_of_a_notify(event, answer):
    node = Referrer()
    assert notify(node, 2, event=event) == [f"{answer} NOTIFY"]
    if answer == "489":
        assert node.last().headers.get("Allow-Events") == "refer"


def test_notify_without_any_subscription():
    node = Node()
    node.up()
    assert notify(node, 2) == ["481 NOTIFY"]
    assert notify(node, 3, event="message-summary") == ["489 NOTIFY"]
    assert node.told() == []


@pytest.mark.parametrize(("event", "answer"), [("refer", 481), ("keep-alive", 489)])
def test_notify_outside_dialogs(event, answer):
    node = Node()
    assert node.put(request("NOTIFY", extra=[("Event", event)])) == [f"{answer} NOTIFY"]


def test_two_refers_are_told_apart_by_their_id():
    node = Referrer()
    second = node.refer()
    node.final(202, which=0)
    node.final(202, which=1)
    node.told()
    number = parse(node.refers[1]).cseq.number
    notify(node, 2, event=f"refer;id={number}", state=OVER)
    notify(node, 3, state=OVER)
    assert [token for token, _, _ in node.heard()] == [second, node.token]


def test_refer_needs_a_call_that_is_up():
    node = Node()
    usage = node.ringing()
    with pytest.raises(LocalProtocolError):
        node.engine.refer(usage, "sip:b@example.com", 0.0)
    with pytest.raises(UsageEnded):
        node.engine.refer(99, "sip:b@example.com", 0.0)


def test_a_refer_that_cannot_be_written_leaves_nothing():
    node = Node()
    usage = node.up()
    with pytest.raises(LocalProtocolError):
        node.engine.refer(usage, "sip:b@h>\r\nX: 1", 0.0)
    assert notify(node, 2) == ["481 NOTIFY"]


# ---- the dialog that lives on ----------------------------------------------------------------


def test_notifies_after_the_bye_of_the_peer():
    node = Referrer()
    node.final(202)
    assert node.send("BYE", 1.0, cseq=2) == ["200 BYE"]
    assert isinstance(node.told()[-1], Ended)
    assert notify(node, 3, 2.0) == ["200 NOTIFY"]
    assert notify(node, 4, 3.0, state=OVER) == ["200 NOTIFY"]
    assert [over for _, _, over in node.heard()] == [False, True]
    assert notify(node, 5, 4.0) == ["481 NOTIFY"]
    node.wait(100.0)
    assert node.empty()


def test_notifies_while_and_after_our_bye():
    node = Referrer()
    node.final(202)
    node.engine.bye(node.usage, 1.0)
    assert node.take() == ["BYE"]
    bye = node.outgoing[0].data
    assert notify(node, 2, 1.1) == ["200 NOTIFY"]
    node.put(response(bye, 200), 1.2)
    assert notify(node, 3, 2.0, state=OVER) == ["200 NOTIFY"]
    assert [type(each) for each in node.told()] == [RequestFinal, Notified, Ended, Notified]
    node.wait(100.0)
    assert node.empty()


@pytest.mark.parametrize("method", ["INFO", "BYE", "INVITE", "UPDATE", "REFER", "OPTIONS", "PRACK"])
def test_nothing_but_notify_reaches_a_dialog_without_call(method):
    node = Referrer()
    node.final(202)
    node.send("BYE", 1.0, cseq=2)
    node.told()
    body = SDP if method == "INVITE" else b""
    parts = {"cseq": 3, "branch": "z9hG4bKlate", "body": body}
    sent = node.send(method, 2.0, **parts)
    assert sent == [f"481 {method}"]
    assert node.told() == []
    with pytest.raises(UsageEnded):
        node.engine.request(node.usage, "INFO", 2.0)
    assert node.engine.find_dialog("call-1@192.0.2.1", node.tag, "from1") is None


def test_a_refer_refused_after_the_bye_releases_the_dialog():
    node = Referrer()
    node.send("BYE", 1.0, cseq=2)
    assert node.engine.sizes["dialogs"] == 1
    node.final(603, 2.0)
    assert node.engine.sizes["dialogs"] == 0
    assert node.told()[-1].status == 603


@pytest.mark.parametrize(
    ("config", "expires"), [({}, 33.0), ({"subscription_limit_after_call": 100.0}, 101.0)]
)
def test_a_subscription_expires_after_the_call(config, expires):
    node = Referrer(**config)
    node.final(202)
    node.send("BYE", 1.0, cseq=2)
    node.told()
    notify(node, 3, 20.0)  # prolongs nothing
    node.told()
    node.wait(expires - 0.1)
    assert node.told() == []
    node.wait(expires)
    assert node.told() == [SubscriptionExpired(node.usage, node.token)]
    node.wait(expires + 64.0)
    assert node.empty()


def test_a_subscription_expires_during_the_call():
    node = Referrer()
    node.final(202)
    notify(node, 2, 100.0)
    node.told()
    node.wait(279.9)
    assert node.told() == []
    node.wait(280.0)
    assert node.told() == [SubscriptionExpired(node.usage, node.token)]
    assert notify(node, 3, 281.0) == ["481 NOTIFY"]
    assert node.send("INFO", 282.0, cseq=4) == []  # the call is up


def test_a_refer_that_is_never_answered_ends_the_call():
    node = Referrer()
    node.wait(32.0)
    told = node.told()
    assert [type(each) for each in told] == [RequestFinal, Ended]
    assert told[0].status == 408
    assert notify(node, 2, 33.0) == ["481 NOTIFY"]


# ---- received --------------------------------------------------------------------------------


class Referee(Node):
    """A call that is up, in which the peer has sent REFER."""

    def __init__(self, **config) -> None:
        super().__init__(**config)
        self.usage = self.up()

    def referred(self, cseq=2, status=202, now=0.0) -> int:
        extra = [("Refer-To", "<sip:c@example.com>")]
        assert self.send("REFER", now, cseq=cseq, extra=extra) == []
        (told,) = self.told()
        assert isinstance(told, InDialogRequest)
        self.engine.respond(told.transaction, status, now)
        assert self.take() == [f"{status} REFER"]
        return told.request.cseq.number

    def notify(self, number, state=ACTIVE, now=0.0) -> int:
        token = self.engine.notify(self.usage, FRAG, now, state=state, event_id=number)
        assert self.take() == ["NOTIFY"]
        return token


def test_the_notify_that_goes_out():
    node = Referee()
    number = node.referred()
    token = node.notify(number)
    sent = node.last()
    assert sent.headers.get("Event") == "refer"
    assert sent.headers.get("Subscription-State") == ACTIVE
    assert sent.headers.get("Content-Type") == "message/sipfrag;version=2.0"
    assert sent.body == FRAG
    assert sent.contact is not None
    node.put(response(node.outgoing[0].data, 200))
    (final,) = node.told()
    assert (final.token, final.status) == (token, 200)
    node.notify(number, OVER)
    with pytest.raises(UsageEnded):
        node.engine.notify(node.usage, FRAG, 0.0, state=OVER, event_id=number)
    assert node.send("INFO", cseq=3) == []  # the call is up


def test_the_second_refer_of_a_dialog_has_an_id():
    node = Referee()
    first = node.referred(2)
    node.notify(first, OVER)
    second = node.referred(3)
    node.notify(second)
    assert node.last().headers.get("Event") == "refer;id=3"


@pytest.mark.parametrize("status", [405, 603])
def test_a_refer_that_we_refuse_is_owed_nothing(status):
    node = Referee()
    number = node.referred(status=status)
    with pytest.raises(UsageEnded):
        node.engine.notify(node.usage, FRAG, 0.0, state=ACTIVE, event_id=number)


def test_notify_and_bye_after_its_outcome():
    node = Referee()
    node.notify(node.referred(), OVER)
    node.put(response(node.outgoing[0].data, 200))
    node.told()
    node.engine.bye(node.usage, 32.0)
    assert node.take() == ["BYE"]


def test_bye_after_a_notify_that_nobody_answers():
    node = Referee()
    number = node.referred()
    token = node.notify(number)
    node.wait(32.0)
    (final,) = node.told()
    assert (final.token, final.status) == (token, 408)
    with pytest.raises(UsageEnded):
        node.engine.notify(node.usage, FRAG, 32.0, state=OVER, event_id=number)
    node.engine.bye(node.usage, 32.0)
    assert node.take() == ["BYE"]


@pytest.mark.parametrize(("status", "lives"), [(481, False), (500, True)])
def test_a_refused_notify_ends_its_subscription_at_most(status, lives):
    node = Referee()
    number = node.referred()
    node.notify(number)
    node.put(response(node.outgoing[0].data, status))
    assert [each.status for each in node.told()] == [status]
    if lives:
        node.notify(number)
    else:
        with pytest.raises(UsageEnded):
            node.engine.notify(node.usage, FRAG, 0.0, state=OVER, event_id=number)
    assert node.send("INFO", cseq=3) == []


def test_the_peer_hangs_up_after_its_refer_and_is_still_notified():
    node = Referee()
    number = node.referred()
    node.send("BYE", 1.0, cseq=3)
    assert [type(each) for each in node.told()] == [Ended]
    node.notify(number, now=5.0)
    node.put(response(node.outgoing[0].data, 200), 5.0)
    node.notify(number, OVER, now=10.0)
    node.put(response(node.outgoing[0].data, 200), 10.0)
    node.wait(100.0)
    assert node.empty()


def test_a_peer_that_is_never_notified_is_forgotten():
    node = Referee()
    node.referred()
    node.send("BYE", 1.0, cseq=3)
    node.told()
    node.wait(100.0)
    assert node.told() == []
    assert node.empty()


# ---- both, with losses -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("hangs_up", ["alice", "bob"])
def test_the_final_notify_arrives_over_a_bad_wire_after_the_bye(seed, hangs_up):
    """Alice refers bob, who takes five seconds to tell that it worked."""
    wire = Wire(seed, Faults(loss=0.2, duplication=0.2, delay=(0.01, 0.3)))
    alice, bob = wire.add("alice", "192.0.2.1"), wire.add("bob", "192.0.2.2")
    at_alice, at_bob = alice.engine, bob.engine

    def alices(peer, event, now):
        if isinstance(event, OutgoingAnswered):
            at_alice.acknowledge(event.usage, now)
            at_alice.refer(event.usage, "sip:carol@192.0.2.3", now)
        elif isinstance(event, RequestFinal) and hangs_up == "alice":
            at_alice.bye(usage, now)

    def bobs(peer, event, now):
        if isinstance(event, IncomingInvite):
            at_bob.answer(event.usage, SDP, now)
        elif isinstance(event, InDialogRequest):
            number = event.request.cseq.number
            at_bob.respond(event.transaction, 202, now)
            at_bob.notify(event.usage, b"SIP/2.0 100 T", now, state=ACTIVE, event_id=number)
            if hangs_up == "bob":
                wire.at(now + 2.0, lambda: at_bob.bye(event.usage, wire.now))
            wire.at(now + 5.0, lambda: last(event.usage, number))

    def last(bobs_usage, number):
        at_bob.notify(bobs_usage, FRAG, wire.now, state=OVER, event_id=number)

    alice.react, bob.react = alices, bobs
    usage = at_alice.invite(
        "sip:bob@192.0.2.2",
        "<sip:alice@192.0.2.1>",
        "<sip:bob@192.0.2.2>",
        SDP,
        0.0,
        flow=wire.flow(alice, bob),
    )
    wire.run(200.0)
    assert [each.request.body for each in alice.of(Notified)][-1] == FRAG
    assert len(alice.of(Ended)) == len(bob.of(Ended)) == 1
    for peer in (alice, bob):
        assert not any(peer.engine.sizes.values()), (peer.name, peer.engine.sizes)


# ---- finding dialogs -------------------------------------------------------------------------


def test_a_replaces_finds_its_dialog_in_either_order():
    node = Node()
    usage = node.up()
    find = node.engine.find_dialog
    assert find("call-1@192.0.2.1", node.tag, "from1") == usage
    assert find("call-1@192.0.2.1", "from1", node.tag) == usage
    assert find("call-1@192.0.2.1", node.tag, "other") is None
    assert find("call-2@192.0.2.1", node.tag, "from1") is None
    assert node.engine.call_id(usage) == "call-1@192.0.2.1"
    assert node.engine.tags(usage) == (node.tag, "from1")
    node.engine.bye(usage, 0.0)
    assert find("call-1@192.0.2.1", node.tag, "from1") is None


def test_the_dialog_of_a_call_of_ours():
    caller = Caller()
    usage = caller.call()
    invite = caller.last()
    assert caller.engine.call_id(usage) == invite.call_id
    assert caller.engine.tags(usage) == (invite.from_.tag, "")
    caller.reply(180)
    assert caller.engine.find_dialog(invite.call_id, invite.from_.tag, "to1") == usage
    caller.reply(200, body=SDP)
    assert caller.engine.tags(usage) == (invite.from_.tag, "to1")
