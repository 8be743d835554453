"""All media workers of a node: spawn, place, restart."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from typing import Any

from sipserver.media.protocol import WorkerConfig
from sipserver.mediapool.session_proxy import Listener, NoMedia, SessionProxy
from sipserver.mediapool.worker_handle import CommandFailed, WorkerHandle, WorkerLost

logger = logging.getLogger(__name__)

_BACKOFF_FIRST = 0.1  # s
_BACKOFF_MOST = 10.0
_STABLE_AFTER = 30.0  # s of life after which a death is met without back-off


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Basis of admission. ``cpu`` 0..1 is that of the least busy worker (1.0 if there is none),
    where the next session would go; ``late`` the share of packets that the worst worker sent more
    than 5 ms late. Both of the last second."""

    workers: int
    sessions: int
    cpu: float
    late: float
    free_ports: int


class MediaPool:
    """Workers each with their slice of the RTP port range, owned by the loop of :meth:`start`.

    ``config`` holds the whole range; ``workers`` 0 means one for each core but one.
    """

    def __init__(self, config: WorkerConfig, *, workers: int = 0) -> None:
        """Raises ValueError if the port range does not hold a pair for each worker."""
        count = workers or max(1, (os.cpu_count() or 1) - 1)
        self._configs = slices(config, count)
        self._workers: list[WorkerHandle | None] = [None] * count
        self._sessions: dict[int, SessionProxy] = {}
        self._last_session = 0
        self._backoff = [0.0] * count
        self._restarts: set[asyncio.Task[None]] = set()
        self._dead: set[WorkerHandle] = set()  # not yet reaped
        self._stopping = False
        self.restarts = 0

    async def start(self) -> None:
        """Returns when all workers are up. Raises WorkerLost or OSError."""
        spawns = [self._spawn(index) for index in range(len(self._workers))]
        for result in await asyncio.gather(*spawns, return_exceptions=True):
            if isinstance(result, BaseException):
                await self.stop()
                raise result

    async def stop(self) -> None:
        """Ends all workers; sessions still open are lost. Close them first for a graceful end."""
        self._stopping = True
        restarts = list(self._restarts)
        for task in restarts:
            task.cancel()
        await asyncio.gather(*restarts, return_exceptions=True)
        workers = {worker for worker in self._workers if worker is not None} | self._dead
        self._workers = [None] * len(self._workers)
        await asyncio.gather(*(worker.stop() for worker in workers))
        for session in list(self._sessions.values()):
            session.lose()
        self._sessions.clear()

    async def open(
        self, family: str, listener: Listener, *, near: SessionProxy | None = None
    ) -> SessionProxy:
        """A session with its port bound, on the least busy worker that has one, or on the worker of
        ``near``: both sides of a bridge share one. ``family`` ip4 or ip6. Raises NoMedia."""
        error: Exception | None = None
        workers = sorted(self._alive(), key=_busyness)
        for worker in workers if near is None else [near.worker]:
            self._last_session += 1
            number = self._last_session
            worker.sessions += 1
            try:
                port = (await worker.call("open", session=number, family=family))["port"]
            except (WorkerLost, CommandFailed) as failure:
                worker.sessions -= 1
                error = failure
                continue
            except asyncio.CancelledError:
                worker.sessions -= 1
                worker.send("close", session=number).add_done_callback(_forget)
                raise
            if not worker.alive:
                continue
            session = SessionProxy(worker, number, port, listener, self._forget_session)
            self._sessions[number] = session
            return session
        raise NoMedia("no media worker" if error is None else str(error)) from error

    @property
    def load(self) -> PoolLoad:
        alive = self._alive()
        return PoolLoad(
            workers=len(alive),
            sessions=len(self._sessions),
            cpu=min((worker.load["cpu"] for worker in alive), default=1.0),
            late=max((worker.late_share for worker in alive), default=0.0),
            free_ports=sum(min(worker.load["free_ports"].values()) for worker in alive),
        )

    @property
    def details(self) -> list[dict[str, Any]]:
        """Last report of each living worker (``protocol.LOAD_FIELDS`` and pid)."""
        return [{"pid": worker.pid, **worker.load} for worker in self._alive()]

    # --- workers ----------------------------------------------------------------------------

    def _alive(self) -> list[WorkerHandle]:
        return [worker for worker in self._workers if worker is not None and worker.alive]

    async def _spawn(self, index: int) -> None:
        worker = WorkerHandle(
            self._configs[index], self._on_event, lambda lost: self._on_lost(index, lost)
        )
        await worker.start()
        self._workers[index] = worker
        logger.info("media worker %s started", worker.pid)

    def _on_event(self, message: dict[str, Any]) -> None:
        session = self._sessions.get(message["session"])
        if session is not None:
            session.on_event(message)

    def _on_lost(self, index: int, worker: WorkerHandle) -> None:
        lost = [session for session in self._sessions.values() if session.worker is worker]
        logger.error("media worker %s died with %d sessions", worker.pid, len(lost))
        self._workers[index] = None
        self._dead.add(worker)
        for session in lost:
            del self._sessions[session.number]
            session.lose()
        if not self._stopping:
            task = asyncio.get_running_loop().create_task(self._restart(index, worker))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)

    async def _restart(self, index: int, dead: WorkerHandle) -> None:
        await dead.stop()
        self._dead.discard(dead)
        if dead.lifetime > _STABLE_AFTER:
            self._backoff[index] = 0.0
        while True:
            await asyncio.sleep(self._backoff[index])
            self._backoff[index] = min(_BACKOFF_MOST, max(_BACKOFF_FIRST, self._backoff[index] * 2))
            try:
                await self._spawn(index)
            except (WorkerLost, OSError) as error:
                logger.error("media worker does not start: %s", error)
            else:
                self.restarts += 1
                return

    def _forget_session(self, session: SessionProxy) -> None:
        if self._sessions.pop(session.number, None) is not None:
            session.worker.sessions -= 1


def slices(config: WorkerConfig, count: int) -> list[WorkerConfig]:
    """The port range cut into ``count`` parts of whole pairs. Raises ValueError."""
    first = config.port_min + config.port_min % 2
    pairs = (config.port_max + 1 - first) // 2
    share = pairs // count
    if share < 1:
        raise ValueError(
            f"RTP ports {config.port_min}-{config.port_max} are too few for {count} workers"
        )
    return [
        replace(
            config,
            port_min=first + 2 * share * index,
            port_max=first + 2 * share * (index + 1) - 1,
        )
        for index in range(count)
    ]


def _busyness(worker: WorkerHandle) -> tuple[int, float]:
    return worker.sessions, worker.load["cpu"]


def _forget(reply: asyncio.Future[dict[str, Any]]) -> None:
    if not reply.cancelled():
        reply.exception()
