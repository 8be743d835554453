"""The node's end of the bus: receives what workers and the web application send it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from sipdomains.bus import NODES, Bus, Subscription
from sipdomains.contracts import (
    CallDue,
    CommandSubmitted,
    ContractError,
    DirectoryChanged,
    FetchReply,
    from_wire,
)

log = logging.getLogger(__name__)


class NodeBus:
    """Consumes the inbox of ``node`` (its boot id) and calls back on the event loop.

    ``counters`` counts messages by kind; ``refused`` those of another version or kind.
    """

    def __init__(
        self,
        bus: Bus,
        node: str,
        *,
        on_reply: Callable[[FetchReply], None],
        on_directory_changed: Callable[[str], None],
        on_work: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_work``: a command or an order waits in the database."""
        self._bus = bus
        self._node = node
        self._on_reply = on_reply
        self._on_directory_changed = on_directory_changed
        self._on_work = on_work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscription: Subscription | None = None
        self.counters: Counter[str] = Counter()

    async def start(self) -> None:
        """Subscribe; never fails: with the broker down messages come when it is back."""
        self._loop = asyncio.get_running_loop()
        self._subscription = await asyncio.to_thread(
            self._bus.subscribe, self._node, self._deliver, group=NODES, on_gap=self._gap
        )

    async def stop(self) -> None:
        if self._subscription is not None:
            await asyncio.to_thread(self._subscription.close)
            self._subscription = None

    def _deliver(self, messages: list[dict[str, Any]]) -> None:
        self._call_soon(self.receive, messages)

    def _gap(self) -> None:
        self._call_soon(self._on_directory_changed, "*")
        self._call_soon(self._on_work)

    def _call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop closed between the check and the call: nobody is left to be told.
            log.debug("node bus: the loop is closed")

    def receive(self, messages: list[dict[str, Any]]) -> None:
        """Dispatch; runs on the loop."""
        for wire in messages:
            try:
                message = from_wire(wire)
            except ContractError as error:
                self.counters["refused"] += 1
                log.warning("node bus: %s", error)
                continue
            match message:
                case FetchReply():
                    self.counters["fetch_reply"] += 1
                    self._on_reply(message)
                case DirectoryChanged(domain):
                    self.counters["directory_changed"] += 1
                    self._on_directory_changed(domain)
                case CommandSubmitted() | CallDue():
                    self.counters[message.KIND] += 1
                    self._on_work()
                case _:
                    self.counters["refused"] += 1
                    log.warning("node bus: a %s is not for nodes", message.KIND)
