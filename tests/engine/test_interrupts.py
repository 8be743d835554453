"""Merge rules of interrupts (architecture section 7, choice 5), and the signal that waits."""

import asyncio

import pytest

from twimlrunner.engine.interrupts import (
    Cancelled,
    InterruptBox,
    MediaLost,
    NodeDraining,
    Redirected,
    RemoteHangup,
    TimeLimit,
    merge,
)
from twimlrunner.engine.ports import DocumentRequest
from twimlrunner.engine.scopes import InterruptSignal

BYE = RemoteHangup("bye")
NO_ACK = RemoteHangup("ack-timeout")
CANCEL = Cancelled()
LOST = MediaLost()
DRAIN = NodeDraining()
LIMIT = TimeLimit()
A = Redirected(DocumentRequest("http://a/", "POST", "live-update"))
B = Redirected(DocumentRequest("http://b/", "POST", "live-update"))

RULES = [
    *[(None, new, new) for new in (BYE, CANCEL, LOST, DRAIN, LIMIT, A)],
    *[(A, new, new) for new in (BYE, CANCEL, LOST, DRAIN, LIMIT)],  # an end beats a redirect
    (A, B, B),  # the last redirect wins
    *[(DRAIN, new, new) for new in (BYE, CANCEL, LOST)],  # a fact beats a decision
    *[(LIMIT, new, new) for new in (BYE, CANCEL, LOST)],
    (DRAIN, LIMIT, DRAIN),  # the first reason stays
    (LIMIT, DRAIN, LIMIT),
    (DRAIN, A, DRAIN),
    (LIMIT, A, LIMIT),
    *[(BYE, new, BYE) for new in (NO_ACK, CANCEL, LOST, DRAIN, LIMIT, A)],  # nothing after the end
    *[(CANCEL, new, CANCEL) for new in (BYE, LOST, DRAIN, LIMIT, A)],
    *[(LOST, new, LOST) for new in (BYE, CANCEL, DRAIN, LIMIT, A)],
]


@pytest.mark.parametrize(("pending", "new", "result"), RULES)
def test_merge(pending, new, result):
    assert merge(pending, new) is result


def test_box_keeps_what_ends_the_call_and_gives_a_redirect_once():
    box = InterruptBox()
    assert box.pending is None
    assert box.take_redirect() is None
    assert box.put(A)
    assert box.put(B)
    assert box.take_redirect() is B
    assert box.take_redirect() is None
    assert box.put(BYE)
    assert not box.put(A)
    assert box.take_redirect() is None
    assert box.pending is BYE


async def test_signal_returns_at_once_what_came_before():
    signal = InterruptSignal()
    signal.put(A)
    assert await signal.wait() is A
    assert await signal.wait() is A  # level, not edge
    assert signal.take_redirect() is A
    assert signal.pending is None


async def test_signal_wakes_the_waiter():
    signal = InterruptSignal()
    waiter = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    assert signal.put(BYE)
    assert await waiter is BYE


async def test_a_redirect_taken_before_the_waiter_ran_does_not_wake_it():
    signal = InterruptSignal()
    waiter = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    signal.put(A)
    assert signal.take_redirect() is A
    await asyncio.sleep(0)
    assert not waiter.done()
    signal.put(B)
    assert await waiter is B
