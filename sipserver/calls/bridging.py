"""Bridge: two legs that hear each other, and how a leg goes from one bridge to another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from sipserver.calls.outbound import OutboundSession
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import first
from sipserver.mediapool.session_proxy import NoMedia
from twimlrunner.engine.interrupts import MediaLost, NodeDraining, Released, TimeLimit
from twimlrunner.engine.ports import CallEnded

log = logging.getLogger(__name__)

Decided = NodeDraining | TimeLimit | Released


class Handover:
    """``keeps`` leaves the bridge for another one, ``leaves`` is not needed any more. ``parted`` is
    resolved when the old bridge is open no longer, ``over`` when the new one has ended or whoever
    kept the old one is gone."""

    def __init__(self, keeps: CallSession, leaves: CallSession) -> None:
        loop = asyncio.get_running_loop()
        self.keeps = keeps
        self.leaves = leaves
        self.parted: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Bridge:
    """``news`` is called when a handover is wanted: whoever keeps the bridge then closes it."""

    def __init__(
        self,
        left: CallSession,
        right: CallSession,
        news: Callable[[], None],
        swallow: str = "",
    ) -> None:
        self.left = left
        self.right = right
        self.handover: Handover | None = None
        self._news = news
        self._open = False
        self._swallow = swallow  # keys of the left leg that are not passed on
        self._relaying: set[asyncio.Task[str]] = set()

    def other(self, session: CallSession) -> CallSession:
        return self.right if session is self.left else self.left

    async def open(self, *, early: bool = False) -> None:
        """Relay both ways; ``early``: before the answer, which connects nobody. When media is lost
        both legs are told so, as by the worker's death."""
        left, right = self.left.media, self.right.media
        if left is None or right is None:
            raise RuntimeError("bridge before media")
        try:
            await left.bridge(right, swallow=self._swallow)
        except (NoMedia, ValueError) as error:
            if has_ended(self.left) or has_ended(self.right):
                return  # its port is closed: whoever keeps the bridge sees to the other
            for leg in (self.left, self.right):
                leg.interrupt(MediaLost("media-lost"), f"({error})")
            return
        self._open = True
        if early:
            return
        for leg in (self.left, self.right):
            leg.bridge = self
            leg.event("bridged", {"with": self.other(leg).call_sid})
            if leg.on_bridged is not None:
                leg.on_bridged()

    async def close(self, why: str) -> None:
        if not self._open:
            return
        self._open = False
        if self.left.media is not None:
            await self.left.media.unbridge()
        for leg in (self.left, self.right):
            if leg.bridge is not self:
                continue
            leg.bridge = None
            leg.event("unbridged", {"with": self.other(leg).call_sid, "why": why})

    def relay_key(self, sender: CallSession, key: str) -> None:
        """Pass on a key that did not come by RTP."""
        media = self.other(sender).media
        if media is None or (sender is self.left and key in self._swallow):
            return
        task = asyncio.create_task(media.send_digits(key))
        self._relaying.add(task)
        task.add_done_callback(self._relaying.discard)

    def hand_over(self, keeps: CallSession) -> Handover:
        self.handover = Handover(keeps, self.other(keeps))
        self._news()
        return self.handover


async def join(one: Handover, other: Handover) -> None:
    """Bridge what two handovers keep, until either is over (an attended transfer)."""
    left, right = one.keeps, other.keeps
    ends: list[asyncio.Future[Any]] = [one.over, other.over]
    for leg in (left, right):
        ends += [leg.over, _done(leg)]
        if isinstance(leg, OutboundSession) and not leg.own_way.done():
            ends.append(leg.own_way)  # a live update may take it away
    try:
        for handover in (one, other):
            await first(handover.parted, *ends)
        if any(end.done() for end in ends):
            return
        await same_worker(left, right)
        bridge = Bridge(left, right, lambda: None)
        await bridge.open()
        await first(*ends)
        await bridge.close("hangup")
    except CallEnded:
        pass  # one hung up while its media moved
    finally:
        for leg in (left, right):
            if isinstance(leg, OutboundSession):
                leg.dismiss("released")
        for handover in (one, other):
            handover.end()


async def same_worker(left: CallSession, right: CallSession) -> None:
    """Legs of different calls may be on different media workers: move one by a re-INVITE. Better
    one that is not recorded: what records a leg stays behind, and ends."""
    if right.recordings.under_way and not left.recordings.under_way:
        left, right = right, left
    near, media = left.media, right.leg_media
    if near is not None and media is not None:
        await media.move(near)


def has_ended(leg: CallSession) -> bool:
    """Whether the leg is over, for whatever reason, or will be at once."""
    pending = leg.signal.pending
    return _done(leg).done() or leg.over.done() or isinstance(pending, Decided)


def _done(leg: CallSession) -> asyncio.Future[object]:
    if isinstance(leg, OutboundSession):
        return leg.done  # type: ignore[return-value] # only waited for
    return leg.over  # type: ignore[return-value] # likewise
