"""Numbers to trunks, deny by default, and the limits on outgoing calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipdomains.policy import (
    OutgoingLimit,
    RegisteredContact,
    TrunkPolicy,
    TrunkRulePolicy,
    phone_number,
)
from sipserver.calls.destinations import Destinations, Undialable, destinations
from sipserver.calls.fraud import OutgoingGuard
from sipserver.calls.trunks import NoRoute, routes, weighted
from sipserver.sip.events import Ended
from tests.calls.scenes import all_ended, answers, parameters, refuses
from tests.fakes.calls import POLICY, World, answered
from twimlrunner.engine.ports import DialTarget, DialUri


def rule(prefix: str, allow: bool = True, strip: int = 0, prepend: str = "") -> TrunkRulePolicy:
    return TrunkRulePolicy(prefix, allow, strip, prepend)


def trunk(name: str, *rules: TrunkRulePolicy, priority: int = 10, weight: int = 1) -> TrunkPolicy:
    return TrunkPolicy(
        sid="TK" + name,
        name=name,
        host=f"{name}.example",
        port=None,
        transport="",
        username="u",
        password="p",
        from_host="",
        caller_id="+49300",
        priority=priority,
        weight=weight,
        rules=rules,
    )


@pytest.mark.parametrize(
    ("number", "plain"),
    [
        ("+49 30 (123) 45-6", "+4930123456"), ("*98#", "*98#"), ("0800.123", "0800123"),
        ("", None), ("+", None), ("abc", None), ("12+3", None), ("1" * 40, None),
    ],
)  # fmt: skip
def test_numbers_are_normalised(number: str, plain: str | None) -> None:
    assert phone_number(number) == plain


def numbers(number: str, *trunks: TrunkPolicy) -> list[tuple[str, str]] | int:
    found = routes(number, trunks, lambda: 0.0)
    if isinstance(found, NoRoute):
        return found.code
    return [(route.trunk.name, route.number) for route in found]


@pytest.mark.parametrize(
    ("number", "trunks", "expected"),
    [
        ("+4930", [], 13227),
        ("+4930", [trunk("a")], 13227),
        ("+4930", [trunk("a", rule("+1"))], 13227),
        ("+4930", [trunk("a", rule("+49"))], [("a", "+4930")]),
        ("+4930", [trunk("a", rule(""))], [("a", "+4930")]),
        ("+49900", [trunk("a", rule("+49"), rule("+49900", allow=False))], 13227),
        ("+4930", [trunk("a", rule("+49", strip=3, prepend="0"))], [("a", "030")]),
        ("+4930", [trunk("b", rule("+49"), priority=20), trunk("a", rule("+4"), priority=5)],
         [("a", "+4930"), ("b", "+4930")]),
        ("nonsense", [trunk("a", rule(""))], 13223),
    ],
)  # fmt: skip
def test_longest_prefix_decides_and_nothing_is_allowed_by_default(
    number: str, trunks: list[TrunkPolicy], expected: object
) -> None:
    assert numbers(number, *trunks) == expected


def test_weight_shares_the_calls() -> None:
    items = [("light", 1), ("heavy", 3), ("spare", 0)]
    firsts = [
        weighted(items, lambda item: item[1], lambda at=at: at / 100)[0][0] for at in range(100)
    ]
    assert firsts.count("light") == 25
    assert firsts.count("heavy") == 75
    assert sorted(weighted(items, lambda item: item[1], lambda: 0.99)) == sorted(items)


def test_guard_counts_live_calls_and_those_of_the_last_minute() -> None:
    guard = OutgoingGuard()
    one, other = [OutgoingLimit("a", 2, 3)], [OutgoingLimit("b", 2, 3)]
    assert guard.claim(one, now=0.0) is None
    assert guard.claim(one, now=1.0) is None
    denied = guard.claim(one, now=2.0)
    assert denied is not None
    assert denied.message.startswith("The account has 2 outgoing calls")
    assert guard.claim(other, now=2.0) is None
    guard.release(one)
    assert guard.claim(one, now=3.0) is None
    guard.release(one)
    guard.release(one)
    denied = guard.claim(one, now=4.0)
    assert denied is not None
    assert "a minute" in denied.message
    assert guard.claim(one, now=61.5) is None
    assert guard.denied == 2


def test_subaccounts_share_the_limits_of_their_parent() -> None:
    guard = OutgoingGuard()
    parent = OutgoingLimit("parent", 2, 3)
    subs = [(OutgoingLimit(name, 50, 120), parent) for name in ("x", "y", "z")]
    assert guard.claim(subs[0], now=0.0) is None
    assert guard.claim(subs[1], now=0.0) is None
    denied = guard.claim(subs[2], now=0.0)
    assert denied is not None
    assert denied.message.startswith("The parent account, with its subaccounts, has 2 outgoing")
    assert guard.claim([parent], now=0.0) is not None
    guard.release(subs[0])
    assert guard.claim([parent], now=1.0) is None
    guard.release(subs[1])
    denied = guard.claim(subs[2], now=2.0)
    assert denied is not None
    assert "3 calls in a minute" in denied.message
    # What was denied took nothing from the subaccount's own share.
    assert guard.claim(subs[2], now=60.5) is None


# --- destinations -------------------------------------------------------------------------------


def contact(
    user: str, port: int = 5060, transport: str = "udp", node: str = "node1"
) -> RegisteredContact:
    return RegisteredContact(
        domain_sid=POLICY.domain_sid,
        username=user,
        contact_uri=f"sip:{user}@10.0.0.9:{port}",
        q=1.0,
        transport=transport,
        received=("203.0.113.7", port),
        local=("192.0.2.1", 5060),
        connection=0 if transport == "udp" else 4,
        node=node,
        expires_at=2e9,
    )


async def lead(world: World, target: DialTarget) -> Destinations | Undialable:
    return await destinations(
        target,
        policy=POLICY,
        caller_id="alice",
        directory=world.directory,
        sip=world.sip,
        node="node1",
        sip_ports={5060},
        random=lambda: 0.0,
    )


def sip(uri: str, **fields: object) -> DialTarget:
    return DialTarget("sip", "", (DialUri(uri),), **fields)  # type: ignore[arg-type]


async def test_a_registered_user_rings_at_all_contacts_over_their_flows() -> None:
    world = World()
    tcp = contact("bob", 7000, "tcp")
    elsewhere = contact("bob", 7001, "tcp", "node2")
    world.directory.registered["bob"] = (contact("bob"), tcp, elsewhere)
    found = await lead(world, sip("bob@pbx.example.net"))
    assert isinstance(found, Destinations)
    attempts = [branch.attempts[0] for branch in found.branches]
    assert [attempt.flow.remote for attempt in attempts if attempt.flow] == [
        ("203.0.113.7", 5060), ("203.0.113.7", 7000),
    ]  # fmt: skip
    assert attempts[0].request_uri == "sip:bob@10.0.0.9:5060"
    assert attempts[0].to == "sip:bob@pbx.example.net"
    assert not attempts[0].follow


OTHER = replace(POLICY, account_sid="AC" + "2" * 32, domain_name="other.example")


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        (sip("bob@pbx.example.net"), 32009, 480),
        (sip("sip:pbx.example.net"), 32223, 404),
        (sip("bob@other.example"), 32214, 403),
        (sip("bob@pbx.example.net;secure=true"), 32009, 480),
        (sip("http://far.example"), 32110, 0),
        (sip("bob@nowhere.example"), 13254, 0),
        (DialTarget("sip", ""), 13243, 0),
        (DialTarget("client", "bob"), 32009, 480),
        (DialTarget("client", "bob@far.example"), 32002, 404),
        (DialTarget("number", "+4930"), 13227, 0),
        (DialTarget("number", "call me"), 13223, 0),
    ],
)
async def test_what_cannot_be_dialled_says_why(target: DialTarget, code: int, status: int) -> None:
    world = World(POLICY, OTHER)
    world.sip.unresolvable.add("nowhere.example")
    found = await lead(world, target)
    assert isinstance(found, Undialable)
    assert (found.code, found.sip_status) == (code, status)


async def test_secure_wants_a_phone_on_tls() -> None:
    world = World()
    world.directory.registered["bob"] = (contact("bob"),)
    found = await lead(world, sip("bob@pbx.example.net;secure=true"))
    assert isinstance(found, Undialable)
    assert found.code == 32209


async def test_headers_of_the_uri_and_of_the_document_are_vetted() -> None:
    world = World()
    target = sip("bob@far.example?X-A=1&Subject=no", headers=(("X-B", "2"), ("Via", "evil")))
    found = await lead(world, target)
    assert isinstance(found, Destinations)
    [attempt] = found.branches[0].attempts
    assert attempt.headers == (("X-A", "1"), ("X-B", "2"))
    assert sorted(code for code, _ in found.issues) == [32113, 32113]


async def test_several_uris_are_tried_by_priority() -> None:
    world = World()
    target = DialTarget(
        "sip", "", (DialUri("sip:b@two.example", priority=2), DialUri("sip:a@one.example"))
    )
    found = await lead(world, target)
    assert isinstance(found, Destinations)
    assert [each.request_uri for each in found.branches[0].attempts] == [
        "sip:a@one.example", "sip:b@two.example",
    ]  # fmt: skip


# --- through Dial -------------------------------------------------------------------------------

NUMBER = '<Response><Dial timeout="5" action="/done">+49 30 123</Dial></Response>'


async def dial_number(*trunks: TrunkPolicy, **limits: int) -> World:
    world = World(replace(POLICY, **limits)) if limits else World()
    world.directory.trunk_list = trunks
    world.document("<Response/>", "done")
    await answered(world, NUMBER)
    return world


async def test_number_fails_over_to_the_next_trunk_but_not_after_busy() -> None:
    first = trunk("one", rule("+49"), priority=1)
    second = trunk("two", rule("+49", strip=1, prepend="00"), priority=2)
    world = await dial_number(first, second)
    await world.until(lambda: len(world.sip.invites) == 1)
    assert world.sip.invites[101]["target_uri"] == "sip:+4930123@one.example"
    assert world.sip.invites[101]["from_"] == "<sip:+49300@one.example>"
    world.events(refuses(101, 503))
    await world.until(lambda: len(world.sip.invites) == 2)
    assert world.sip.invites[102]["target_uri"] == "sip:004930123@two.example"
    world.events(refuses(102, 486))
    await all_ended(world)
    assert parameters(world)["DialCallStatus"] == "busy"
    assert len(world.sip.invites) == 2


async def test_denied_number_is_explained_and_never_sent() -> None:
    world = await dial_number(trunk("one", rule("+1")))
    await all_ended(world)
    assert not world.sip.invites
    assert parameters(world)["DialCallStatus"] == "failed"
    assert 13227 in world.log.notified()


async def test_limit_on_outgoing_calls() -> None:
    limit = OutgoingLimit(POLICY.account_sid, 0, 1)
    world = await dial_number(trunk("one", rule("+49")), outgoing_limits=(limit,))
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(refuses(101, 404))
    await all_ended(world)
    assert world.manager.guard.claim([OutgoingLimit("x", 0, 0)], now=0.0) is None
    assert world.manager.guard.claim([limit], now=world.clock.now) is not None


async def test_trunk_that_never_responds_is_left_for_the_next() -> None:
    one, two = trunk("one", rule(""), priority=1), trunk("two", rule(""), priority=2)
    world = World(first_response_seconds=0.02)
    world.directory.trunk_list = (one, two)
    await answered(world, NUMBER)
    await world.until(lambda: len(world.sip.invites) == 2)
    assert "CANCEL 101" in world.ladder
    world.events(answers(102))
    await world.ladder_has("bridged")
    world.events(Ended(102, "bye"))
    await all_ended(world)
