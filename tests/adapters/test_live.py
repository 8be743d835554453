"""Orders and commands on their way from the real database to a node's calls, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from sipdomains.contracts import (
    HANGUP,
    RECORDING_START,
    RECORDING_UPDATE,
    REDIRECT,
    UPDATE,
    OriginatePlan,
)
from sipdomains.live import Command, Order, Outcome, rejected
from sipdomains.models import Account, Call, CallCommand, CallOrder, OutboxMessage
from sipdomains.services import calls, commands, nodes, orders, registrations
from sipdomains.services.provisioning import DomainPlan, provision
from sipserver.adapters import live
from sipserver.adapters.dbpool import DatabasePool
from sipserver.adapters.live import LiveWork
from tests.sipdomains.records import call_sid, opened
from tests.sipdomains.test_registrations import contact

pytestmark = pytest.mark.django_db(transaction=True)

PLAN = OriginatePlan(to="sip:bob@far.example", from_="+4930123", url="http://app.example/voice")


class FakeCalls:
    """Keeps what it was asked; ``gate`` holds what ``apply`` is asked until it is set."""

    def __init__(self) -> None:
        self.accepting = True
        self.sids: set[str] = set()
        self.placed: list[Order] = []
        self.done: list[Command] = []
        self.outcome = Outcome({"it": "worked"})
        self.gate = asyncio.Event()
        self.gate.set()

    def originate(self, order: Order) -> None:
        self.placed.append(order)

    async def apply(self, command: Command) -> Outcome:
        self.done.append(command)
        await self.gate.wait()
        if command.payload.get("fail"):
            raise RuntimeError("a fault of ours")
        return self.outcome


class World:
    def __init__(self) -> None:
        self.pool = DatabasePool()
        self.calls = FakeCalls()
        self.work = LiveWork(self.pool, "boot", self.calls)

    async def db(self, function: Callable[[], Any]) -> Any:
        return await self.pool.run(function)

    async def submit(self, kind: str = HANGUP, name: str = "a", **payload: Any) -> int:
        call = await self.db(lambda: Call.objects.get(pk=call_sid(name)))
        command = await self.db(lambda: commands.submit(call, kind, payload, "SK1"))
        return int(command.pk)

    async def settled(self, pk: int) -> CallCommand:
        row = await self.db(lambda: commands.wait(pk, 60))
        assert row.state != "pending"
        return row

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.002)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(live, "POLL_SECONDS", 60.0)  # only what wakes it counts
    world = World()

    def prepare() -> None:
        nodes.register("boot", "here")
        account = Account.objects.create(friendly_name="Alice")
        calls.apply([opened(name, account=account.sid) for name in "ab"])

    await world.db(prepare)
    task = asyncio.create_task(world.work.run())
    yield world
    world.calls.gate.set()
    task.cancel()
    await asyncio.wait({task})
    world.pool.close()


async def test_a_command_is_done_and_settled(world: World) -> None:
    pk = await world.submit(REDIRECT, url="http://b/")
    world.work.wake()
    row = await world.settled(pk)
    assert (row.state, row.result) == ("applied", {"it": "worked"})
    [command] = world.calls.done
    assert (command.kind, command.payload, command.requested_by) == (
        REDIRECT, {"url": "http://b/"}, "SK1",
    )  # fmt: skip


async def test_a_recording_that_begins_too_late_is_stopped_again(world: World) -> None:
    world.calls.gate.clear()
    world.calls.outcome = Outcome({"recording_sid": "RE1", "status": "in-progress"})
    pk = await world.submit(RECORDING_START)
    world.work.wake()
    await world.until(lambda: len(world.calls.done) == 1)
    await world.db(lambda: commands.settle(pk, rejected("Nobody waited for it any more.")))
    world.calls.gate.set()
    await world.until(lambda: len(world.calls.done) == 2)
    stop = world.calls.done[1]
    assert (stop.call_sid, stop.kind, stop.payload) == (
        call_sid("a"), RECORDING_UPDATE, {"recording_sid": "RE1", "status": "stopped"},
    )  # fmt: skip


async def test_a_settlement_whose_commit_was_not_heard_of_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = commands.settle
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.0)
    world.calls.outcome = Outcome({"recording_sid": "RE1", "status": "in-progress"})

    def unheard(command_id: int, outcome: Outcome) -> bool:
        monkeypatch.setattr(commands, "settle", settle)
        settle(command_id, outcome)
        raise OperationalError("the connection is gone")

    monkeypatch.setattr(commands, "settle", unheard)
    pk = await world.submit(RECORDING_START)
    world.work.wake()
    assert (await world.settled(pk)).state == "applied"
    await world.until(lambda: not world.work._taken)
    assert len(world.calls.done) == 1


async def test_a_refusal_is_settled_too(world: World) -> None:
    world.calls.outcome = rejected("The call is ending.")
    pk = await world.submit()
    world.work.wake()
    row = await world.settled(pk)
    assert (row.state, row.error_code, row.reason) == ("rejected", 21220, "The call is ending.")


async def test_a_fault_of_ours_rejects_it_and_the_next_is_done(world: World) -> None:
    failing, next_one = await world.submit(fail=1), await world.submit(UPDATE)
    world.work.wake()
    assert (await world.settled(failing)).error_code == 20500
    assert (await world.settled(next_one)).state == "applied"


async def test_a_command_is_done_once_however_often_it_is_heard_of(world: World) -> None:
    world.calls.gate.clear()
    pk = await world.submit()
    for _ in range(5):
        world.work.wake()
        await world.db(lambda: None)
    await world.until(lambda: bool(world.calls.done))
    world.calls.gate.set()
    await world.settled(pk)
    for _ in range(5):
        world.work.wake()
        await world.db(lambda: None)
    assert len(world.calls.done) == 1


async def test_those_of_one_call_wait_for_each_other_and_not_for_other_calls(world: World) -> None:
    world.calls.gate.clear()
    first, second = await world.submit(REDIRECT), await world.submit(HANGUP)
    await world.submit(UPDATE, "b")
    world.work.wake()
    await world.until(lambda: len(world.calls.done) == 2)
    assert {command.kind for command in world.calls.done} == {REDIRECT, UPDATE}
    world.calls.gate.set()
    await world.settled(second)
    assert [one.id for one in world.calls.done if one.call_sid == call_sid("a")] == [first, second]


async def test_one_that_was_withdrawn_while_it_waited_is_not_done(world: World) -> None:
    world.calls.gate.clear()
    first, second = await world.submit(REDIRECT), await world.submit(HANGUP)
    world.work.wake()
    await world.until(lambda: bool(world.calls.done))
    assert await world.db(lambda: commands.settle(second, rejected("withdrawn", 20500)))
    world.calls.gate.set()
    await world.settled(first)
    third = await world.submit(UPDATE)
    world.work.wake()
    await world.settled(third)
    assert [command.id for command in world.calls.done] == [first, third]


async def test_what_is_done_is_settled_when_the_database_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.01)
    settle, failures = commands.settle, [1, 1]

    def flaky(pk: int, outcome: Outcome) -> bool:
        if failures:
            failures.pop()
            raise OperationalError("away")
        return settle(pk, outcome)

    monkeypatch.setattr(live.commands, "settle", flaky)
    pk = await world.submit()
    world.work.wake()
    await world.settled(pk)
    assert len(world.calls.done) == 1


async def test_a_command_that_no_message_told_of_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    world.work.wake()  # so that the new pause holds
    await world.db(lambda: None)
    assert (await world.settled(await world.submit())).state == "applied"


async def test_a_fault_of_ours_does_not_end_the_node(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    pending, faults = commands.pending, [1, 1]

    def faulty(node: str) -> list[Command]:
        if faults:
            faults.pop()
            raise KeyError("a fault")
        return pending(node)

    monkeypatch.setattr(live.commands, "pending", faulty)
    pk = await world.submit()
    world.work.wake()
    assert (await world.settled(pk)).state == "applied"


async def test_the_database_may_go_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    pending, failures = commands.pending, [1, 1, 1]

    def flaky(node: str) -> list[Command]:
        if failures:
            failures.pop()
            raise OperationalError("away")
        return pending(node)

    monkeypatch.setattr(live.commands, "pending", flaky)
    pk = await world.submit()
    world.work.wake()
    await world.settled(pk)
    assert not failures


# --- orders ---------------------------------------------------------------------------------------


async def create(world: World, **changes: Any) -> Call:
    given = {"callback": {}, "requested_by": "SK1", **changes}

    def insert() -> Call:
        plan = given.pop("plan", PLAN)
        return orders.create_call(Account.objects.get(), plan, **given)

    return await world.db(insert)


async def test_an_order_is_placed(world: World) -> None:
    call = await create(world)
    world.work.wake()
    await world.until(lambda: bool(world.calls.placed))
    [order] = world.calls.placed
    assert (order.call_sid, order.plan) == (call.sid, PLAN)


async def test_an_order_is_left_to_the_node_that_its_phone_registered_with(world: World) -> None:
    def register() -> None:
        nodes.register("other", "elsewhere")
        nodes.heartbeat("other", timezone.now() + timedelta(hours=1))  # as long as the test lasts
        plan = DomainPlan("pbx.example.net", account_sid=Account.objects.get().sid)
        phone = contact(provision(plan).sid, node="other", transport="tcp", connection=3)
        registrations.change(phone.domain_sid, "bob", lambda _: [(None, phone)])

    await world.db(register)
    left = await create(world, plan=replace(PLAN, to="sip:bob@pbx.example.net"))
    placed = await create(world)
    world.work.wake()
    await world.until(lambda: bool(world.calls.placed))
    assert [order.call_sid for order in world.calls.placed] == [placed.sid]
    [order] = await world.db(lambda: orders.claim("other"))
    assert order.call_sid == left.sid


async def test_orders_go_out_at_their_turns_without_being_told(world: World) -> None:
    await world.db(lambda: Account.objects.update(calls_per_second=5))
    sids = [(await create(world)).sid for _ in range(3)]
    world.work.wake()
    await world.until(lambda: len(world.calls.placed) == 3)
    assert [order.call_sid for order in world.calls.placed] == sids
    rows = await world.db(lambda: Call.objects.in_bulk(sids))
    # A late one is no reason for the next to wait: each has its turn from the start.
    first, last = rows[sids[0]], rows[sids[-1]]
    taken = last.started_at + timedelta(milliseconds=last.queue_ms)
    assert taken - first.started_at >= timedelta(milliseconds=380)  # 400 less what is rounded


async def test_a_node_that_takes_no_calls_leaves_orders_to_others(world: World) -> None:
    world.calls.accepting = False
    await create(world)
    world.work.wake()
    await world.settled(await _told(world))
    assert not world.calls.placed
    assert await world.db(lambda: CallOrder.objects.count()) == 1


async def _told(world: World) -> int:
    """A command that is settled says that the loop has been round."""
    pk = await world.submit()
    world.work.wake()
    return pk


async def test_a_call_that_was_taken_without_a_word_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke in the commit of the claim."""
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    claim = orders.claim
    broken = []

    def breaks(node: str, registered_at: orders.RegisteredAt) -> list[Order]:
        taken = claim(node, registered_at=registered_at)
        if taken and not broken:
            broken.append(taken)
            raise OperationalError("the connection broke")
        return taken

    monkeypatch.setattr(live.orders, "claim", breaks)
    wanted = {"url": "http://app.example/status", "method": "POST", "events": ["completed"]}
    call = await create(world, callback=wanted)
    world.work.wake()
    await world.settled(await _told(world))
    row = await world.db(lambda: Call.objects.get(pk=call.pk))
    assert (row.status, row.cause) == ("failed", "internal-error")
    assert await world.db(lambda: OutboxMessage.objects.count()) == 1
    assert not world.calls.placed
    other = await world.db(lambda: Call.objects.get(pk=call_sid("a")))
    assert other.ended_at is None
    assert row.ended_at < timezone.now() + timedelta(seconds=1)


async def test_one_call_that_cannot_be_placed_takes_nobody_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    await world.db(lambda: Account.objects.update(calls_per_second=1000))
    bad = await create(world)
    place = world.calls.originate

    def originate(order: Order) -> None:
        if order.call_sid == bad.sid:
            raise RuntimeError("a fault of ours")
        world.calls.sids.add(order.call_sid)
        place(order)

    monkeypatch.setattr(world.calls, "originate", originate)
    good = await create(world)
    world.work.wake()
    await world.until(lambda: bool(world.calls.placed))
    await world.settled(await _told(world))
    rows = await world.db(lambda: Call.objects.in_bulk([bad.sid, good.sid]))
    assert (rows[bad.sid].status, rows[bad.sid].cause) == ("failed", "internal-error")
    assert rows[good.sid].ended_at is None
    assert [order.call_sid for order in world.calls.placed] == [good.sid]
