"""The node's view of one session in a media worker (``MediaSession`` and ``PlayOperation`` of the
call layer's ports, implemented structurally)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sipserver.mediapool.recording import RecordOperation, RecordSpec
from sipserver.mediapool.worker_handle import CommandFailed, WorkerHandle, WorkerLost

logger = logging.getLogger(__name__)

_NOTHING: Mapping[str, Any] = {}

Listener = Callable[[str, dict[str, Any]], None]
"""(event, data): ``first_packet``, ``digit``, ``rtp_timeout``, ``stats``, ``lost``."""


class NoMedia(Exception):
    """No worker, no port, or the worker died under the session."""


class Parameters(Protocol):
    """What was negotiated; attributes ``rtcp_mux`` (RFC 5761) and ``inband_dtmf`` (listen for
    tones) are heeded too if there are such."""

    @property
    def remote(self) -> tuple[str, int]: ...
    @property
    def codec(self) -> str: ...
    @property
    def payload_type(self) -> int: ...
    @property
    def dtmf_payload(self) -> int | None: ...
    @property
    def ptime_ms(self) -> int: ...
    @property
    def direction(self) -> str: ...


class Operation:
    """A prompt, ring tone or digits on their way. Ends exactly once."""

    def __init__(self, session: SessionProxy, number: int) -> None:
        self._session = session
        self._number = number
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def extend(self, files: Sequence[str], *, more: bool) -> None:
        """Append files; ``more`` False says that no further ones come. Nothing happens if the
        operation has ended."""
        if not self._ended.done():
            self._session.send("extend", op=self._number, files=list(files), more=more)

    def stop(self) -> None:
        if not self._ended.done():
            self._session.send("stop", op=self._number)

    async def wait(self) -> str:
        """``end``, ``stopped``, ``failed`` or ``lost``."""
        return await asyncio.shield(self._ended)

    def settle(self, cause: str, data: Mapping[str, Any]) -> None:
        if not self._ended.done():
            self._ended.set_result(cause)


_AnyOperation = TypeVar("_AnyOperation", Operation, RecordOperation)


class SessionProxy:
    def __init__(
        self,
        worker: WorkerHandle,
        number: int,
        port: int,
        listener: Listener,
        on_closed: Callable[[SessionProxy], None],
    ) -> None:
        self.worker = worker
        self.number = number
        self._port = port
        self._listener = listener
        self._on_closed = on_closed
        self._operations: dict[int, Operation | RecordOperation] = {}
        self._last_operation = 0
        self._state = "open"  # then closed or lost
        self._closing: asyncio.Future[dict[str, Any]] | None = None
        self._stats: dict[str, Any] = {}

    @property
    def port(self) -> int:
        """Where we receive RTP; RTCP is one above."""
        return self._port

    async def connect(self, parameters: Parameters) -> None:
        """First or renewed parameters. Raises NoMedia if the worker is gone, ValueError if it
        refuses them (address of another family, unknown codec)."""
        host, port = parameters.remote
        try:
            await self.worker.call(
                "connect",
                session=self.number,
                host=host,
                port=port,
                codec=parameters.codec,
                payload_type=parameters.payload_type,
                dtmf_payload=parameters.dtmf_payload,
                ptime_ms=parameters.ptime_ms,
                direction=parameters.direction,
                rtcp_mux=bool(getattr(parameters, "rtcp_mux", False)),
                inband_dtmf=bool(getattr(parameters, "inband_dtmf", False)),
            )
        except WorkerLost as error:
            raise NoMedia(str(error)) from error
        except CommandFailed as error:
            raise ValueError(f"media parameters refused: {error.error}") from error

    def play(self, files: Sequence[str], *, more: bool = False) -> Operation:
        """Queue a prompt; the command is written at once."""
        return self._begin("play", Operation, files=list(files), more=more)

    def ringback(self, country: str) -> Operation:
        """Queue the ring tone of a country (``rtp.ringing.RINGING``; ``failed`` for another one),
        which ends only by :meth:`Operation.stop`."""
        return self._begin("ringback", Operation, country=country)

    def record(self, spec: RecordSpec) -> RecordOperation:
        """Begin at once (after the beep). It outlives :meth:`close` until its file is written.
        Raises ValueError if ``spec.other`` is a session of another worker."""
        other = spec.other
        if other is not None and other.worker is not self.worker:
            raise ValueError("both legs of a recording belong to one worker")
        return self._begin(
            "record",
            RecordOperation,
            path=spec.path,
            channels=spec.channels,
            track=spec.track,
            other=None if other is None else other.number,
            max_s=spec.max_seconds,
            silence_s=spec.silence_seconds,
            finish_on=spec.finish_on,
            beep=spec.beep,
        )

    async def send_digits(self, digits: str) -> str:
        """Queue digits (0-9 A-D # * w W) and wait for their end. Cause as
        :meth:`Operation.wait`; stopped if cancelled."""
        operation = self._begin("send_digits", Operation, digits=digits)
        try:
            return await operation.wait()
        finally:
            operation.stop()

    async def bridge(self, other: SessionProxy, *, swallow: str = "") -> None:
        """Relay audio and digits both ways until :meth:`unbridge` or the close of either. Digits
        are told to the listener all the same; those in ``swallow`` are not passed on from this
        side. A bridge with a third session ends. Raises ValueError for sessions of different
        workers, NoMedia if either is closed or lost."""
        if other.worker is not self.worker or other is self:
            raise ValueError("a bridge joins two sessions of one worker")
        if not (self._usable and other._usable):
            raise NoMedia("session is over")
        try:
            await self.worker.call(
                "bridge", session=self.number, other=other.number, swallow=swallow
            )
        except (WorkerLost, CommandFailed) as error:
            raise NoMedia(str(error)) from error

    async def unbridge(self) -> None:
        """From either side; nothing happens without a bridge, or after close or loss."""
        if self._usable:
            try:
                await self.worker.call("unbridge", session=self.number)
            except (WorkerLost, CommandFailed):
                pass  # closed or lost meanwhile: no bridge is left

    @property
    def _usable(self) -> bool:
        return self._state == "open" and self._closing is None

    async def close(self) -> dict[str, Any]:
        """Frees the port; final statistics as ``protocol.STATS_FIELDS``, empty if the worker died.
        Safe to call twice and after loss."""
        if self._closing is None:
            if self._state != "open":
                return self._stats
            self._closing = self.worker.send("close", session=self.number)
            self._closing.add_done_callback(self._closed)
        try:
            await asyncio.shield(self._closing)
        except (WorkerLost, CommandFailed):
            pass  # _closed has seen to it
        return self._stats

    def _closed(self, reply: asyncio.Future[dict[str, Any]]) -> None:
        if self._state == "open":
            self._state = "closed"
            if not reply.cancelled() and reply.exception() is None:
                self._stats = reply.result()["stats"]
                self._settle_all("stopped", Operation)
            else:
                self._settle_all("stopped")
            self._release()

    def _release(self) -> None:
        """Be forgotten, once closed and told of the end of every recording."""
        if self._state == "closed" and not self._operations:
            self._on_closed(self)

    # --- for operations and the pool --------------------------------------------------------

    def send(self, command: str, **arguments: Any) -> asyncio.Future[dict[str, Any]]:
        """Fire a command of this session; a refusal of a late one is no news."""
        future = self.worker.send(command, session=self.number, **arguments)
        future.add_done_callback(_observe)
        return future

    async def accepts(self, command: str, **arguments: Any) -> bool:
        """Whether it was carried out: False if it came too late."""
        try:
            await self.worker.call(command, session=self.number, **arguments)
        except (WorkerLost, CommandFailed):
            return False
        return True

    def _begin(
        self, command: str, kind: Callable[[SessionProxy, int], _AnyOperation], **arguments: Any
    ) -> _AnyOperation:
        self._last_operation += 1
        number = self._last_operation
        operation = kind(self, number)
        if not self._usable:
            operation.settle("lost" if self._state == "lost" else "stopped", _NOTHING)
            return operation
        self._operations[number] = operation

        def accepted(reply: asyncio.Future[dict[str, Any]]) -> None:
            if isinstance(reply.exception(), CommandFailed):
                logger.warning("media %s refused: %s", command, reply.exception())
                self._settle(number, "failed")

        self.send(command, op=number, **arguments).add_done_callback(accepted)
        return operation

    def on_event(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "ended":
            if message["cause"] == "failed":
                logger.warning("media operation failed: %s", message.get("error", ""))
            self._settle(message["op"], message["cause"], message)
            return
        data = {
            key: value for key, value in message.items() if key not in ("event", "session", "seq")
        }
        self._listener(event, data["stats"] if event == "stats" else data)

    def lose(self) -> None:
        """The worker has died."""
        self._settle_all("lost")
        if self._state == "open":
            self._state = "lost"
            self._listener("lost", {})

    def _settle(self, number: int, cause: str, data: Mapping[str, Any] = _NOTHING) -> None:
        operation = self._operations.pop(number, None)
        if operation is not None:
            operation.settle(cause, data)
            self._release()

    def _settle_all(self, cause: str, kind: type = object) -> None:
        for number, operation in list(self._operations.items()):
            if isinstance(operation, kind):
                del self._operations[number]
                operation.settle(cause, _NOTHING)


def _observe(reply: asyncio.Future[dict[str, Any]]) -> None:
    """Take note of the outcome, so that asyncio does not complain that nobody did."""
    if not reply.cancelled():
        reply.exception()
