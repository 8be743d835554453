"""Two engines on a wire that loses, repeats, delays and reorders; and hostile input."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipserver.sip.engine import SipEngine
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    Flow,
    IncomingInvite,
    InDialogRequest,
    OutgoingAnswered,
    OutgoingFailed,
    SessionOffer,
)
from tests.fakes.virtual_wire import Faults, Peer, SeededIds, Wire
from tests.sip.messages import SDP, UDP, request, response
from tests.sip.server_node import CONFIG

BYE, CANCEL, BUSY = "bye", "cancel", "busy"


class Call:
    """One call from alice to bob; each side follows a plan of (seconds after, what)."""

    def __init__(self, wire: Wire, transport: str = "udp") -> None:
        self.wire = wire
        self.alice = wire.add("alice", "192.0.2.1", transport=transport)
        self.bob = wire.add("bob", "192.0.2.2", transport=transport)
        self.alice.react = self._alice
        self.bob.react = self._bob
        self.answer_after: float | None = 1.0
        self.reject_after: float | None = None
        self.alice_bye_after: float | None = None  # after she was answered
        self.bob_bye_after: float | None = None  # after he answered
        self.usage = 0

    def dial(self, cancel_after: float | None = None) -> None:
        self.usage = self.alice.engine.invite(
            "sip:bob@192.0.2.2",
            "<sip:alice@192.0.2.1>",
            "<sip:bob@192.0.2.2>",
            SDP,
            self.wire.now,
            flow=self.wire.flow(self.alice, self.bob),
        )
        if cancel_after is not None:
            self._later(
                self.alice,
                cancel_after,
                lambda: self.alice.engine.cancel(self.usage, self.wire.now),
            )

    def _later(self, peer: Peer, seconds: float | None, action) -> None:
        if seconds is not None:
            self.wire.at(self.wire.now + seconds, action)

    def _alice(self, peer: Peer, event, now: float) -> None:
        engine, wire = peer.engine, self.wire
        if isinstance(event, OutgoingAnswered):
            engine.acknowledge(event.usage, now)
            self._later(peer, self.alice_bye_after, lambda: engine.bye(event.usage, wire.now))

    def _bob(self, peer: Peer, event, now: float) -> None:
        engine, wire = peer.engine, self.wire
        if isinstance(event, IncomingInvite):
            usage = event.usage
            engine.ring(usage, now)
            self._later(peer, self.answer_after, lambda: self._answer(usage))
            self._later(peer, self.reject_after, lambda: engine.reject(usage, 486, None, wire.now))

    def _answer(self, usage: int) -> None:
        if not self.bob.of(Cancelled):
            engine = self.bob.engine
            engine.answer(usage, SDP, self.wire.now)
            self._later(self.bob, self.bob_bye_after, lambda: engine.bye(usage, self.wire.now))

    def outcome(self) -> tuple[str, str]:
        """What each side thinks has become of the call: never, up, over."""
        caller = "calling"
        if self.alice.of(OutgoingFailed):
            caller = "never"
        elif self.alice.of(OutgoingAnswered):
            caller = "over" if self.alice.of(Ended) else "up"
        callee = "ringing"
        if self.bob.of(Cancelled) or not self.bob.engine.sizes["usages"]:
            callee = "never"
        if self.bob.of(Acknowledged) or self.bob.of(Ended):
            callee = "over" if self.bob.of(Ended) else "up"
        return caller, callee

    def assert_nothing_left(self) -> None:
        for peer in (self.alice, self.bob):
            assert not any(peer.engine.sizes.values()), (peer.name, peer.engine.sizes)


FAULTS = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplication=st.floats(0, 0.3),
    delay=st.tuples(st.floats(0, 0.2), st.floats(0.2, 2.0)),
)
WIRE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@WIRE
@given(
    seed=st.integers(0, 2**32),
    faults=FAULTS,
    hangs_up=st.sampled_from(["alice", "bob"]),
    after=st.floats(0, 10),
)
def test_an_answered_call_ends_on_both_sides_whatever_the_wire_does(seed, faults, hangs_up, after):
    call = Call(Wire(seed, faults))
    if hangs_up == "alice":
        call.alice_bye_after = after
    else:
        call.bob_bye_after = after
    call.dial()
    call.wire.run(250.0)
    assert len(call.bob.of(IncomingInvite)) <= 1
    assert len(call.alice.of(OutgoingAnswered)) <= 1
    for peer in (call.alice, call.bob):
        assert len(peer.of(Ended)) <= 1
    caller, callee = call.outcome()
    if caller == "over":
        assert callee == "over"
    else:  # so many losses that alice never heard anything in 32 s, and bob got no ACK
        assert caller == "never"
        assert callee in ("never", "over")
    call.assert_nothing_left()


@WIRE
@given(
    seed=st.integers(0, 2**32),
    faults=FAULTS,
    cancel_after=st.floats(0, 4),
    answer_after=st.floats(0, 4),
)
def test_cancel_and_answer_race_to_one_outcome(seed, faults, cancel_after, answer_after):
    call = Call(Wire(seed, faults))
    call.answer_after = answer_after
    call.alice_bye_after = 1.0
    call.dial(cancel_after)
    call.wire.run(250.0)
    assert len(call.bob.of(IncomingInvite)) <= 1
    assert not (call.bob.of(Cancelled) and call.bob.of(Ended))
    caller, callee = call.outcome()
    assert caller in ("never", "over")
    assert callee in ("never", "over")
    if call.bob.of(Cancelled):
        assert caller == "never"
    call.assert_nothing_left()


@WIRE
@given(seed=st.integers(0, 2**32), faults=FAULTS, reject_after=st.floats(0, 3))
def test_a_rejected_call_never_exists(seed, faults, reject_after):
    call = Call(Wire(seed, faults))
    call.answer_after, call.reject_after = None, reject_after
    call.dial()
    call.wire.run(250.0)
    assert call.outcome() == ("never", "never")
    assert len(call.bob.of(IncomingInvite)) <= 1
    call.assert_nothing_left()


@WIRE
@given(seed=st.integers(0, 2**32), faults=FAULTS, gap=st.floats(0, 1))
def test_both_hang_up_at_nearly_the_same_time(seed, faults, gap):
    call = Call(Wire(seed, faults))
    call.alice_bye_after, call.bob_bye_after = 2.0, 2.0 + gap
    call.dial()
    call.wire.run(250.0)
    assert call.outcome() in (("over", "over"), ("never", "over"), ("never", "never"))
    call.assert_nothing_left()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nothing_is_left_64_t1_after_the_end(transport):
    call = Call(Wire(0), transport)
    call.alice_bye_after = 5.0
    call.dial()
    call.wire.run(6.2)
    ended_at = 6.06
    assert call.outcome() == ("over", "over")
    call.wire.run(ended_at + 32.0)
    call.assert_nothing_left()
    assert all(peer.engine.next_deadline() is None for peer in (call.alice, call.bob))


def drop(call: Call, sender: str, what: bytes, times: int) -> list[bytes]:
    """Lose the first ``times`` messages of a sender that begin with ``what``."""
    lost: list[bytes] = []

    def keep(name: str, data: bytes) -> bool:
        if name == sender and data.startswith(what) and len(lost) < times:
            lost.append(data)
            return False
        return True

    call.wire.filter = keep
    return lost


@pytest.mark.parametrize(
    ("sender", "what", "times"),
    [
        ("alice", b"INVITE", 3),
        ("bob", b"SIP/2.0 1", 5),
        ("bob", b"SIP/2.0 200", 3),
        ("alice", b"ACK", 3),
        ("alice", b"BYE", 3),
    ],
)
def test_a_call_survives_the_loss_of(sender, what, times):
    call = Call(Wire(0))
    call.alice_bye_after = 40.0
    lost = drop(call, sender, what, times)
    call.dial()
    call.wire.run(30.0)
    assert len(lost) >= min(times, 2) or what == b"BYE"
    assert call.outcome() == ("up", "up")
    call.wire.run(150.0)
    assert call.outcome() == ("over", "over")
    assert len(call.bob.of(IncomingInvite)) == 1
    assert [each.cause for each in call.bob.of(Ended)] == ["bye"]
    call.assert_nothing_left()


def test_a_call_whose_ack_never_arrives_is_ended_by_the_callee():
    call = Call(Wire(0))
    drop(call, "alice", b"ACK", 10_000)
    call.dial()
    call.wire.run(200.0)
    assert [each.cause for each in call.bob.of(Ended)] == ["ack-timeout"]
    assert [each.cause for each in call.alice.of(Ended)] == ["bye"]
    call.assert_nothing_left()


def test_a_bye_that_overtakes_the_ack():
    call = Call(Wire(0))
    call.alice_bye_after = 0.1
    drop(call, "alice", b"ACK", 10_000)
    call.dial()
    call.wire.run(200.0)
    assert [each.cause for each in call.bob.of(Ended)] == ["bye"]
    assert call.bob.of(Acknowledged) == []
    call.assert_nothing_left()


def test_simultaneous_reinvites_are_both_491():
    call = Call(Wire(0))
    call.dial()
    call.wire.run(5.0)
    bobs = call.bob.of(IncomingInvite)[0].usage
    call.alice.engine.reinvite(call.usage, SDP, 5.0)
    call.bob.engine.reinvite(bobs, SDP, 5.0)
    call.wire.run(10.0)
    assert call.outcome() == ("up", "up")
    assert call.bob.of(SessionOffer) == call.alice.of(SessionOffer) == []
    assert {line for line in call.alice.ladder(call.usage) if "491" in line} == {
        "> 491 INVITE",
        "< 491 INVITE",
    }


@WIRE
@given(seed=st.integers(0, 2**32), faults=FAULTS)
def test_each_request_in_the_dialog_is_delivered_once(seed, faults):
    call = Call(Wire(seed, Faults(faults.loss / 2, faults.duplication, faults.delay)))
    call.dial()
    call.wire.run(60.0)
    if call.outcome() != ("up", "up"):
        return
    for number in range(3):
        call.alice.engine.request(call.usage, "INFO", 60.0 + 5 * number)
        call.wire.run(65.0 + 5 * number)
    numbers = [event.request.cseq.number for event in call.bob.of(InDialogRequest)]
    assert len(numbers) == len(set(numbers))
    assert numbers == sorted(numbers)


# ---- hostile input -------------------------------------------------------------------------


SUBSCRIBED = [("Event", "refer;id=1"), ("Subscription-State", "active;expires=60")]
EXTENDED = [("Require", "100rel, timer"), ("Session-Expires", "90;refresher=uas"), ("Min-SE", "90")]


def engine_in_a_call() -> tuple[SipEngine, list[bytes]]:
    """An engine with an incoming call that is up, one that rings and an outgoing one."""
    engine = SipEngine(CONFIG, SeededIds(3))
    engine.receive(request(body=SDP), UDP, 0.0)
    usage = engine.take_events()[0].usage
    engine.answer(usage, SDP, 0.0)
    tag = engine.take_outgoing()[-1].data.split(b"To: ")[1].split(b"tag=")[1].split(b"\r\n")[0]
    to = f"<sip:100@192.0.2.9>;tag={tag.decode()}"
    ringing = request(branch="z9hG4bKr", call_id="ringing", body=SDP)
    engine.receive(ringing, UDP, 0.0)
    engine.invite("sip:b@192.0.2.1", "<sip:a@h>", "<sip:b@h>", SDP, 0.0, flow=UDP)
    invite = engine.take_outgoing()[-1].data
    engine.take_events()
    good = [
        request(body=SDP),
        ringing,
        request("CANCEL", branch="z9hG4bKr", call_id="ringing"),
        request("ACK", to=to),
        request("BYE", to=to, cseq=2, branch="z9hG4bK2"),
        request("INVITE", to=to, cseq=3, branch="z9hG4bK3", body=SDP),
        request("UPDATE", to=to, cseq=4, branch="z9hG4bK4", body=SDP),
        request("INFO", to=to, cseq=5, branch="z9hG4bK5"),
        request("OPTIONS", branch="z9hG4bK6", call_id="o"),
        request("REFER", to=to, cseq=6, branch="z9hG4bK7", extra=[("Refer-To", "<sip:c@h>")]),
        request("NOTIFY", to=to, cseq=7, branch="z9hG4bK8", extra=SUBSCRIBED, body=b"SIP/2.0 200"),
        request("INVITE", branch="z9hG4bK9", call_id="r", extra=EXTENDED, body=SDP),
        request("PRACK", to=to, cseq=8, branch="z9hG4bK10", extra=[("RAck", "1 1 INVITE")]),
        request("REGISTER", branch="old", call_id="p"),
        *(response(invite, status, body=SDP) for status in (100, 180, 200, 407, 486)),
        response(invite, 183, extra=[("Require", "100rel"), ("RSeq", "1")]),
        response(invite, 200, extra=[("Session-Expires", "90;refresher=uac")], body=SDP),
        response(invite, 422, extra=[("Min-SE", "9000")]),
    ]
    return engine, good


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_raise(data):
    engine, _ = engine_in_a_call()
    engine.receive(data, UDP, 1.0)


TOKENS = [b"\r\n", b"\r", b"\n", b":", b";", b",", b"<", b">", b'"', b"\x00", b"\xff", b"z9hG4bK"]
TOKENS += [b"tag=", b"Via:", b"Require: x\r\n", b"Contact: *\r\n", b"%", b"[", b"]", b"99999999999"]
EDIT = st.tuples(
    st.integers(0, 1200),
    st.integers(0, 12),
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
)


def react(engine: SipEngine, now: float) -> None:
    """Do what a call layer does: a mutated message must not hurt us later either."""
    for event in engine.take_events():
        match event:
            case IncomingInvite(usage=usage):
                engine.ring(usage, now)
                engine.answer(usage, SDP, now)
            case SessionOffer(usage=usage):
                engine.answer_offer(usage, SDP, now)
            case Acknowledged(usage=usage):
                engine.request(usage, "INFO", now)
                engine.refer(usage, "sip:c@h", now)
                engine.bye(usage, now)
            case OutgoingAnswered(usage=usage):
                engine.acknowledge(usage, now)
                engine.bye(usage, now)
            case OutgoingFailed(usage=usage, status=407):
                engine.retry_invite(usage, [("Proxy-Authorization", "Digest a")], now)
            case InDialogRequest(usage=usage, transaction=transaction, request=asked):
                engine.respond(transaction, 200, now)
                if asked.method == "REFER":
                    number = asked.cseq.number
                    engine.notify(usage, b"SIP/2.0 100", now, state="active", event_id=number)


@settings(max_examples=400, deadline=None)
@given(
    picks=st.lists(
        st.tuples(st.integers(0, 100), st.lists(EDIT, max_size=3)), min_size=1, max_size=4
    )
)
def test_mutated_messages_never_raise_and_leave_nothing_for_ever(picks):
    engine, good = engine_in_a_call()
    flow = Flow("udp", UDP.local, UDP.remote)
    for index, edits in picks:
        data = good[index % len(good)]
        for at, length, piece in edits:
            at %= len(data)
            data = data[:at] + piece + data[at + length :]
        engine.receive(data, flow, 1.0)
        react(engine, 1.0)
    while (when := engine.next_deadline()) is not None and when < 500.0:
        engine.handle_deadline(when)
    engine.take_outgoing()
