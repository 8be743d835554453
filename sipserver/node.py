"""One SIP node: builds everything, starts it, drains and stops it. Composition only."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import Error as DatabaseFailure  # InterfaceError too

from sipdomains import sids
from sipdomains.bus import Bus
from sipdomains.celery import app as celery_app
from sipdomains.services import nodes as node_service
from sipserver.adapters.calllog import CallLogWriter
from sipserver.adapters.dbpool import DatabasePool
from sipserver.adapters.directory import CachedDirectory
from sipserver.adapters.live import LiveWork
from sipserver.adapters.nodebus import NodeBus
from sipserver.adapters.recordings import RecordingStore
from sipserver.adapters.registrations import RegistrationStore
from sipserver.adapters.tasks import TaskPublisher
from sipserver.adapters.webhook_gateway import CeleryWebhookGateway, PublishBatch
from sipserver.calls.admission import Limits
from sipserver.calls.environment import CallSettings, Environment
from sipserver.calls.intake import IntakeConfig
from sipserver.calls.manager import CallManager
from sipserver.calls.registrar import Registrar
from sipserver.config import SipServerConfig
from sipserver.media.protocol import WorkerConfig
from sipserver.mediapool.pool import MediaPool
from sipserver.net.commands import SipCommands
from sipserver.net.endpoint import AddressBook, SipEndpoint
from sipserver.net.locate import Locator
from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import Flow
from twimlrunner.speech.client import PromptService
from twimlrunner.speech.config import PromptConfig

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
STOP_SECONDS = 5.0
FAREWELL_SECONDS = 1.0
TRANSFER_WATCH_SECONDS = 60.0  # outcomes of transfers are waited for after their call


@dataclass(frozen=True, slots=True)
class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class RandomIds:
    """Branches, tags and Call-IDs of the engine (RFC 3261 8.1.1.7 and 19.3)."""

    def branch(self) -> str:
        return "z9hG4bK" + secrets.token_hex(10)

    def tag(self) -> str:
        return secrets.token_hex(6)

    def call_id(self) -> str:
        return secrets.token_hex(16)


def now() -> datetime:
    return datetime.now(UTC)


def new_call_sid() -> str:
    return sids.make(sids.CALL, secrets.token_bytes(16))


class Node:
    """``start`` returns when calls can come in; ``stop`` drains. One per process."""

    def __init__(self, config: SipServerConfig, bus: Bus, publish: PublishBatch) -> None:
        self.boot_id = secrets.token_hex(8)
        self._config = config
        loop = asyncio.get_running_loop()
        self._database = DatabasePool()
        self._directory = CachedDirectory(self._database)
        self._tasks_out = TaskPublisher(celery_app.send_task)
        self._log = CallLogWriter(
            loop, lambda owed: self._tasks_out.see_to(owed.callbacks, owed.transfers)
        )
        self._gateway = CeleryWebhookGateway(
            self.boot_id, bus, publish, total_seconds=config.webhook_total_seconds
        )
        self._inbox = NodeBus(
            bus,
            self.boot_id,
            on_reply=self._gateway.receive,
            on_directory_changed=lambda _domain: self._directory.changed(),
            on_work=lambda: self._live.wake(),
        )
        # Trimming and storing a long recording shall not keep look-ups waiting.
        self._recording_pool = DatabasePool(threads=2)
        self._registrations = RegistrationStore(self._database, self.boot_id)
        self._media = MediaPool(_worker_config(config), workers=config.media_workers)
        self._prompts = PromptService(_prompt_config(config))
        self._addresses = AddressBook(config.external_address or None)
        self._engine = SipEngine(self._engine_config(), RandomIds())
        self._endpoint = SipEndpoint(
            self._engine,
            lambda events: self.calls.on_events(events),
            self._registrations.connection_lost,
        )
        locator = Locator(
            config.dns_servers,
            allow_private=config.sip_egress_allow_private,
            allow_loopback=config.sip_egress_allow_loopback,
        )
        env = Environment(
            settings=self._call_settings(),
            sip=SipCommands(self._engine, self._endpoint, self._addresses, locator),
            directory=self._directory,
            log=self._log,
            webhooks=self._gateway,
            prompts=self._prompts,
            media=self._media,
            recordings=RecordingStore(
                self._recording_pool,
                config.recording_spool,
                config.public_url,
                lambda ids: self._tasks_out.see_to(ids, ()),
            ),
            clock=SystemClock(),
            new_call_sid=new_call_sid,
            new_id=lambda: secrets.token_hex(16),
            random=random.random,
        )
        self.calls = CallManager(env, Registrar(env, self._registrations))
        self._live = LiveWork(self._database, self.boot_id, self.calls)
        self._tasks: list[asyncio.Task[None]] = []
        # Set when this node was taken for dead (cut off from the database for too long): its calls
        # are closed in the log, so it has to stop and start anew.
        self.lease_lost = asyncio.Event()

    @property
    def listening(self) -> list[tuple[str, str, int]]:
        return self._endpoint.listening

    async def start(self) -> None:
        """Raises OSError when an address cannot be bound, DatabaseError without a database."""
        # A node that starts at the same place is taken for the successor of the one before it, so
        # the machine belongs to the name: many listen on 0.0.0.0:5060.
        where = ",".join(f"{t}:{h}:{p}" for t, h, p in self._config.listen)
        contact = f"{socket.gethostname()} {where}"[:255]
        await self._database.run(lambda: node_service.register(self.boot_id, contact, now()))
        self._log.start()
        await self._media.start()
        await self._prompts.start()
        await self._inbox.start()
        await self._directory.poll()
        for listen in self._config.listen:
            try:
                await self._endpoint.listen(*listen)
            except OSError as error:
                shown = f"{listen.transport}:{listen.host}:{listen.port}"
                raise OSError(f"{shown}: {error.strerror or error}") from error
        self._tasks = [
            asyncio.create_task(self._directory.poll_forever(), name="directory-poll"),
            asyncio.create_task(self._beat(), name="heartbeat"),
            asyncio.create_task(self._live.run(), name="live-work"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._service_ended)

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Refuse new calls, let calls end for a while, hang up the rest, write everything down."""
        seconds = self._config.drain_seconds if drain_seconds is None else drain_seconds
        self._engine.draining = True
        await self.calls.drain(seconds)
        await self._farewell()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inbox.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._gateway.close)
        self._endpoint.close()
        await self._prompts.stop()
        await self._media.stop()
        await self._log.stop(STOP_SECONDS)
        try:
            await self._database.run(lambda: node_service.stop(self.boot_id, now()))
        except DatabaseFailure as error:
            log.warning("the node's row could not be closed: %s", error)
        await asyncio.get_running_loop().run_in_executor(None, self._tasks_out.close)
        self._recording_pool.close()
        self._database.close()

    def _service_ended(self, task: asyncio.Task[None]) -> None:
        """Without its heartbeat the node's calls would be closed by others while they run."""
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed, the node stops", task.get_name(), exc_info=task.exception())
            self.lease_lost.set()

    def hurry(self) -> None:
        """Cut a ``stop`` under way short: running calls are hung up now."""
        self.calls.hurry()

    async def _farewell(self) -> None:
        """A BYE may still wait for an ACK or be repeated: give the last dialogs a moment."""
        for _ in range(int(FAREWELL_SECONDS / 0.05)):
            if not self._engine.sizes["usages"]:
                return
            await asyncio.sleep(0.05)

    async def _beat(self) -> None:
        """Renew the lease; close the calls of nodes that stopped renewing theirs."""
        while not self.lease_lost.is_set():
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                if not await self._database.run(self._beat_once):
                    self.lease_lost.set()
            except DatabaseFailure as error:
                log.warning("heartbeat: %s", error)

    def _beat_once(self) -> bool:
        alive = node_service.heartbeat(self.boot_id, now(), draining=self.calls.draining)
        swept = node_service.sweep(now())
        self._tasks_out.see_to(swept.callbacks, swept.transfers)
        return alive

    # --- pieces of configuration --------------------------------------------------------------

    def _engine_config(self) -> EngineConfig:
        return EngineConfig(
            user_agent=self._config.user_agent,
            contact_for=self._contact_for,
            sent_by=self._sent_by,
            out_of_dialog_methods=frozenset({"REGISTER"}),
            subscription_limit_after_call=TRANSFER_WATCH_SECONDS,
        )

    def _contact_for(self, flow: Flow, user: str) -> str:
        host, port = self._sent_by(flow)
        name = f"{user}@" if user else ""
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"sip:{name}{_bracketed(host)}:{port}{transport}"

    def _sent_by(self, flow: Flow) -> tuple[str, int]:
        port = flow.local[1]
        if not port:  # a flow that does not exist yet: our listening port of that transport
            port = next((p for t, _, p in self.listening if t == flow.transport), 5060)
        return self._addresses.host_for(flow), port

    def _call_settings(self) -> CallSettings:
        config = self._config
        own = {listen.host for listen in config.listen} | {"localhost", config.external_address}
        return CallSettings(
            node=self.boot_id,
            user_agent=config.user_agent,
            refer_seconds=config.refer_seconds,
            transfer_watch_seconds=TRANSFER_WATCH_SECONDS,
            sip_ports=frozenset(listen.port for listen in config.listen),
            intake=IntakeConfig(
                realm=config.realm,
                nonce_secret=config.nonce_secret,
                nonce_seconds=config.nonce_seconds,
                digest_algorithms=config.digest_algorithms,
                trusted_proxies=config.trusted_proxies,
                own_hosts=frozenset(host for host in own if host),
                limits=Limits(max_calls=config.max_calls),
            ),
        )


_STATS_SECONDS = 5.0  # how finely the quality of a call is drawn


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _worker_config(config: SipServerConfig) -> WorkerConfig:
    plain = WorkerConfig()
    bind, ip6 = config.rtp_bind, ":" in config.rtp_bind
    return WorkerConfig(
        port_min=config.rtp_ports[0],
        port_max=config.rtp_ports[1],
        rtp_timeout_s=config.rtp_silence_seconds,
        stats_interval_s=_STATS_SECONDS,
        bind_ip4=("" if ip6 else bind) if bind else plain.bind_ip4,
        bind_ip6=(bind if ip6 else "") if bind else plain.bind_ip6,
    )


def _prompt_config(config: SipServerConfig) -> PromptConfig:
    return PromptConfig(
        folder=str(config.audio_cache),
        allow_private=config.egress_allow_private,
        allow_loopback=config.egress_allow_loopback,
        ports=config.egress_ports,
        ca_file=config.ca_file,
        allow_networks=config.egress_allow_networks,
        deny_networks=config.egress_deny_networks,
    )
