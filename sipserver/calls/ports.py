"""What the call layer needs from the world: Protocols and closed unions. Pure.

Implemented in ``sipserver.adapters`` (Django, bus), ``sipserver.net``, ``sipserver.mediapool`` and
``twimlrunner.speech.client``; by fakes in tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sipdomains.contracts import FetchReply, LogRecord
from sipdomains.policy import CredentialHashes, DomainPolicy, RegisteredContact, TrunkPolicy
from sipserver.mediapool.recording import RecordOperation, RecordSpec
from sipserver.sip.events import Flow, RequestFinal
from sipserver.sip.message import Response
from sipserver.sip.registrar import Binding, RegisterOutcome
from sipserver.sip.uri import SipUri
from twimlrunner.engine.ports import AudioUrl, Speech
from twimlrunner.speech.ports import SpeechIssue

# --- directory ------------------------------------------------------------------------------


class DirectoryUnavailable(Exception):
    """The database is down and nothing usable is cached: answer 503."""


class Directory(Protocol):
    async def domain(self, name: str) -> DomainPolicy | None:
        """By domain name or alias, case-insensitive. Raises DirectoryUnavailable."""

    async def credential(self, domain_sid: str, username: str) -> CredentialHashes | None:
        """Of any list mapped under Auth/Calls. Raises DirectoryUnavailable."""

    async def registration_credential(
        self, domain_sid: str, username: str
    ) -> CredentialHashes | None:
        """Of any list mapped under Auth/Registrations. Raises DirectoryUnavailable."""

    async def contacts(self, domain_sid: str, username: str) -> tuple[RegisteredContact, ...]:
        """Unexpired contacts of a registered user, best q first; never from a cache older than a
        moment. Raises DirectoryUnavailable."""

    async def trunks(self, account_sid: str) -> tuple[TrunkPolicy, ...]:
        """Enabled trunks of the account. Raises DirectoryUnavailable."""


class Registrations(Protocol):
    """Where the bindings of phones are kept (``sipserver.adapters.registrations``)."""

    async def change(
        self,
        domain_sid: str,
        username: str,
        decide: Callable[[Sequence[Binding]], RegisterOutcome],
    ) -> RegisterOutcome:
        """Read the bindings of an address of record, let ``decide`` (pure) change them, write that,
        all in one transaction. Raises DirectoryUnavailable."""

    def connection_lost(self, connection: int) -> None:
        """Phones behind this connection are reached no longer; never fails, never blocks."""


# --- the record -----------------------------------------------------------------------------


class LogUnavailable(Exception):
    """The row could not be committed in time: no unlogged call, answer 503."""


class CallLog(Protocol):
    async def open(self, record: LogRecord) -> None:
        """Returns when committed. Raises LogUnavailable."""

    def append(self, record: LogRecord) -> None:
        """Queue in order; never blocks, never fails."""

    async def flush(self) -> None:
        """Returns when all that was queued before has been committed (or given up on)."""

    @property
    def backlog(self) -> tuple[int, float]:
        """(queued records, age of the oldest in seconds): basis of admission."""


# --- recordings -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishedRecording:
    """``seconds`` of the file after trimming, ``status`` completed, absent or failed."""

    seconds: int
    status: str


class Recordings(Protocol):
    """Where recordings go (``sipserver.adapters.recordings``)."""

    def new(self, account_sid: str) -> tuple[str, str, str]:
        """(RecordingSid, path of the spool file to write, RecordingUrl)."""

    async def mark(self, recording_sid: str, *, paused: bool) -> None:
        """Let the row of one that is under way say so. Never raises: the row is behind then."""

    async def finish(
        self, recording_sid: str, *, ended_by: str, seconds: float, failed: bool, heard: bool
    ) -> FinishedRecording:
        """Trim if the row says so, store the file, make the row final, promise the callback; all
        in one commit. Returns when the file can be downloaded. Never raises: a row that cannot be
        written now is left to the sweep, and then the status is failed."""


# --- webhooks -------------------------------------------------------------------------------


class WebhookGateway(Protocol):
    async def fetch(
        self,
        *,
        call_sid: str,
        account_sid: str,
        url: str,
        method: str,
        parameters: Sequence[tuple[str, str]],
        session: dict[str, Any],
        verify_tls: bool,
    ) -> FetchReply:
        """One logical request through the task queue. Never raises for a failed fetch: the reply
        then has an ``error_code``. Cancelling the awaiting task aborts the fetch."""


# --- prompts --------------------------------------------------------------------------------


class Prompts(Protocol):
    """``twimlrunner.speech.client.PromptService``. Failures are its ``PromptError``."""

    def issues(self, speech: Speech) -> Sequence[SpeechIssue]:
        """Warnings about a Say: unknown voice, language, too long …"""

    def speak(self, speech: Speech) -> AsyncIterator[str]:
        """Paths of 8 kHz mono 16-bit WAV files, in order, as they become ready."""

    async def fetch(self, audio: AudioUrl, *, verify_tls: bool) -> str:
        """Path of the converted file."""


# --- media ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaParameters:
    """What was negotiated for one leg. ``direction`` is ours: sendrecv, sendonly, recvonly or
    inactive. ``codec`` is PCMU or PCMA; ``dtmf_payload`` None if telephone-event is not agreed."""

    remote: tuple[str, int]
    codec: str
    payload_type: int
    dtmf_payload: int | None
    ptime_ms: int
    direction: str
    rtcp_mux: bool
    inband_dtmf: bool = False


class PlayOperation(Protocol):
    """One prompt being played, of one or several files."""

    def extend(self, files: Sequence[str], *, more: bool) -> None:
        """Append files; ``more`` False says that no further ones come."""

    def stop(self) -> None: ...

    async def wait(self) -> str:
        """``end``, ``stopped``, ``failed`` or ``lost`` (the worker died)."""


class MediaSession(Protocol):
    """One leg's RTP in a media worker (``sipserver.mediapool.session_proxy``)."""

    @property
    def port(self) -> int: ...

    @property
    def worker(self) -> object:
        """Whose it is: only sessions of one worker can be bridged."""

    async def connect(self, parameters: MediaParameters) -> None:
        """Raises NoMedia when the worker is gone, ValueError when it cannot do that."""

    def play(self, files: Sequence[str], *, more: bool = False) -> PlayOperation: ...

    async def send_digits(self, digits: str) -> str:
        """Cause as :meth:`PlayOperation.wait`."""

    def ringback(self, country: str) -> PlayOperation:
        """The ring tone of a country, until it is stopped."""

    async def bridge(self, other: Any, *, swallow: str = "") -> None:
        """Relay audio and keys both ways from now on. Keys in ``swallow`` are told, not passed on.
        Raises ValueError: other worker; NoMedia."""

    async def unbridge(self) -> None:
        """Safe at any time."""

    def record(self, spec: RecordSpec) -> RecordOperation: ...

    async def close(self) -> dict[str, Any]:
        """Frees the port; returns final statistics. Safe to call twice and after loss."""


MediaListener = Callable[[str, dict[str, Any]], None]
"""(event, data): ``first_packet``, ``digit``, ``rtp_timeout``, ``stats``, ``lost``."""


class Media(Protocol):
    async def open(self, family: str, listener: MediaListener, *, near: Any = None) -> MediaSession:
        """Bind a port (``family`` ip4 or ip6), on the worker of the session ``near`` if that is
        given. Raises NoMedia."""


# --- signalling -----------------------------------------------------------------------------

SipHeaders = Sequence[tuple[str, str]]
OnFinal = Callable[[int, Response | None], None]


class SipPort(Protocol):
    """The engine's commands for one node, sent on at once. Each is a no-op on a usage that is
    already over (the event that says so may still be on its way)."""

    def ring(
        self, usage: int, *, headers: SipHeaders = (), status: int = 180, body: bytes = b""
    ) -> None: ...

    def answer(self, usage: int, body: bytes, *, headers: SipHeaders = ()) -> None: ...

    def reject(
        self, usage: int, status: int, reason: str = "", *, headers: SipHeaders = ()
    ) -> None: ...

    def drop(self, usage: int) -> None:
        """Forget an INVITE without any answer (a domain that drops unlisted sources)."""

    def bye(self, usage: int, *, headers: SipHeaders = ()) -> None: ...

    def answer_offer(self, usage: int, body: bytes) -> None: ...

    def refuse_offer(self, usage: int, status: int, *, headers: SipHeaders = ()) -> None: ...

    def respond(self, transaction: int, status: int, *, headers: SipHeaders = ()) -> None: ...

    # --- calls of ours ---

    def invite(
        self,
        target_uri: str,
        *,
        from_: str,
        to: str,
        body: bytes,
        call_id: str,
        flow: Flow | None,
        destination: tuple[str, str, int] | None,
        headers: SipHeaders,
        on_usage: Callable[[int], None],
    ) -> int:
        """The usage, which ``on_usage`` is told before any event of it comes. Raises
        LocalProtocolError when no INVITE can be made of this."""

    def acknowledge(self, usage: int, body: bytes = b"") -> None: ...

    def cancel(self, usage: int) -> None: ...

    def retry_invite(self, usage: int, headers: SipHeaders) -> None: ...

    def reinvite(self, usage: int, body: bytes, *, on_final: OnFinal) -> None:
        """``on_final`` as for ``refer``."""

    def refer(self, usage: int, refer_to: str, *, referred_by: str, on_final: OnFinal) -> int:
        """REFER in the dialog; ``on_final`` gets (status, response) of its final response, 481 at
        once when the call is over. Returns the token that ``Notified`` events bear (0: none)."""

    def notify(self, usage: int, body: bytes, *, state: str, event_id: int) -> None: ...

    def find_dialog(self, call_id: str, to_tag: str, from_tag: str) -> int | None: ...

    def settle(self, event: RequestFinal) -> None:
        """Hand the final response of a request of ours to whoever waits for it."""

    async def resolve(
        self, uri: SipUri, *, secure: bool = False, trusted: bool = False
    ) -> Sequence[tuple[str, str, int]]:
        """(transport, address, port) to try, in order (RFC 3263). ``trusted`` lifts the outbound
        network policy: an operator has named that host. Raises OSError: nothing found, or nothing
        that may be called."""

    def local_host(self, flow: Flow) -> str:
        """The address that this peer should send media to."""


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def wall(self) -> float:
        """Seconds since the epoch; only for stamps and nonces."""
