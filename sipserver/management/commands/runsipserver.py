"""``manage.py runsipserver``: one SIP node; with ``--embedded`` the whole product at once."""

from __future__ import annotations

import asyncio
import gc
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from sipdomains.bus import default_bus
from sipdomains.celery import publish_fetches
from sipdomains.settings.env import EnvError
from sipserver.config import SipServerConfig
from sipserver.embedded import EmbeddedServices
from sipserver.node import Node


class Command(BaseCommand):
    help = (
        "Run a SIP node: it answers calls to the configured SIP domains. With --embedded it also "
        "migrates the database, makes a demo domain, and runs the web pages and the webhook worker."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--embedded",
            action="store_true",
            help="Run the web pages and the webhook worker in this process too.",
        )
        parser.add_argument(
            "--drain",
            type=float,
            default=None,
            metavar="SECONDS",
            help="How long running calls may go on after the first Ctrl-C or SIGTERM "
            "(default 0 with --embedded, else 30). A second signal stops at once.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = SipServerConfig.from_settings(settings)
        except EnvError as error:
            raise CommandError(str(error)) from None
        embedded = EmbeddedServices(self.stdout.write) if options["embedded"] else None
        drain = options["drain"]
        if drain is None:
            drain = 0.0 if embedded else config.drain_seconds
        if embedded is not None:
            embedded.prepare()
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._main(config, embedded, drain))
        except OSError as error:
            raise CommandError(f"cannot start: {error}") from None
        except DatabaseError as error:
            raise CommandError(f"the database does not answer: {error}") from None

    async def _main(
        self, config: SipServerConfig, embedded: EmbeddedServices | None, drain: float
    ) -> None:
        loop = asyncio.get_running_loop()
        first, second = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (second if first.is_set() else first).set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        node = Node(config, default_bus(), publish_fetches)
        try:
            if embedded is not None:
                await asyncio.to_thread(embedded.start)
            await node.start()
            if embedded is not None:
                embedded.announce(node.listening)
            else:
                for transport, host, port in node.listening:
                    self.stdout.write(f"listening on {transport}:{host}:{port}")
            _calm_collector()
            self.stdout.write("ready")
            self.stdout.flush()
            await _either(first, node.lease_lost)
            if node.lease_lost.is_set():
                drain = 0.0
        finally:
            await _stop(node, drain, second)
            if embedded is not None:
                await asyncio.to_thread(embedded.stop)
        if node.lease_lost.is_set():
            raise CommandError(
                "this node lost its lease: it was cut off from the database for too long, or its "
                "heartbeat failed (see the log). It has ended its calls and must be started again"
            )


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def _stop(node: Node, drain: float, second: asyncio.Event) -> None:
    stopping = asyncio.create_task(node.stop(drain))
    hurry = asyncio.create_task(second.wait())
    await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not stopping.done():
        node.hurry()
    await stopping


def _calm_collector() -> None:
    """What exists now stays: the collector need not walk it again. Calls free their objects by
    reference counts, so young generations may grow larger too. It takes pauses out of the loop
    (docs/bench.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
