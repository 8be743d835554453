"""Fakes of the call layer's ports. They record one ladder of everything that happened, in order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from sipdomains.contracts import CallClosed, CallEventRecord, FetchReply, LogRecord
from sipdomains.policy import CredentialHashes, DomainPolicy, RegisteredContact, TrunkPolicy
from sipserver.calls.environment import CallSettings, Environment
from sipserver.calls.intake import IntakeConfig
from sipserver.calls.manager import CallManager
from sipserver.calls.ports import (
    DirectoryUnavailable,
    LogUnavailable,
)
from sipserver.sip import auth
from sipserver.sip.events import Acknowledged, Flow, IncomingInvite
from sipserver.sip.message import Request, parse_datagram
from tests.fakes.media import FakeMedia, FakeRecordings
from twimlrunner.engine.ports import AudioUrl, Speech
from twimlrunner.speech.ports import PromptError, SpeechIssue

REALM = "sip.example.net"

POLICY = DomainPolicy(
    account_sid="AC" + "1" * 32,
    account_active=True,
    domain_sid="SD" + "1" * 32,
    domain_name="pbx.example.net",
    voice_url="http://app.example.net/voice",
    voice_method="POST",
    voice_fallback_url="",
    voice_fallback_method="POST",
    status_callback_url="",
    status_callback_method="POST",
    secure=False,
    sip_registration=False,
    acl_networks=(("office", ip_network("192.0.2.0/24")),),
    has_acl=True,
    has_credentials=False,
    drop_unlisted=False,
    match_from_user=False,
    fail_with_503=False,
    extra_headers=(),
    max_concurrent_calls=0,
    account_max_concurrent_calls=0,
    max_call_seconds=14400,
    verify_tls=True,
)

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)

SAY = "<Response><Say>Hello</Say></Response>"


def invite_text(
    *,
    uri: str = "sip:100@pbx.example.net",
    user: str = "alice",
    call_id: str = "call-1",
    body: str = OFFER,
    headers: Sequence[str] = (),
) -> bytes:
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKabc;rport",
        "Max-Forwards: 70",
        f'From: "Alice" <sip:{user}@pbx.example.net>;tag=a1',
        f"To: <{uri}>",
        f"Call-ID: {call_id}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:{user}@192.0.2.10:5060>",
        *headers,
    ]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def incoming(usage: int = 1, source: str = "192.0.2.10", **fields: Any) -> IncomingInvite:
    request = parse_datagram(invite_text(**fields))
    assert isinstance(request, Request)
    flow = Flow("udp", ("192.0.2.1", 5060), (source, 5060))
    return IncomingInvite(usage, request, flow)


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class FakeSip:
    """``invites`` are those sent by usage; ``referred`` holds what waits for a REFER's answer."""

    def __init__(self, ladder: list[str]) -> None:
        self.ladder = ladder
        self.headers: dict[str, list[tuple[str, str]]] = {}
        self.bodies: list[bytes] = []
        self.invites: dict[int, dict[str, Any]] = {}
        self.referred: list[Any] = []
        self.notified: list[tuple[int, bytes, str]] = []
        self.dialogs: dict[tuple[str, str, str], int] = {}
        self.unresolvable: set[str] = set()
        self._usages = itertools.count(101)

    def _note(self, what: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.ladder.append(what)
        self.headers[what] = list(headers)

    def ring(self, usage: int, *, headers: Any = (), status: int = 180, body: bytes = b"") -> None:
        if body:
            self.bodies.append(body)
        self._note(str(status), headers)

    def answer(self, usage: int, body: bytes, *, headers: Any = ()) -> None:
        self.bodies.append(body)
        self._note("200", headers)

    def reject(self, usage: int, status: int, reason: str = "", *, headers: Any = ()) -> None:
        self._note(str(status), headers)

    def drop(self, usage: int) -> None:
        self._note("drop")

    def bye(self, usage: int, *, headers: Any = ()) -> None:
        self._note("BYE", headers)

    def answer_offer(self, usage: int, body: bytes) -> None:
        self.bodies.append(body)
        self._note("200 re-INVITE")

    def refuse_offer(self, usage: int, status: int, *, headers: Any = ()) -> None:
        self._note(f"{status} re-INVITE")

    def respond(self, transaction: int, status: int, *, headers: Any = ()) -> None:
        self._note(f"{status} in-dialog")

    def invite(self, target_uri: str, *, on_usage: Callable[[int], None], **given: Any) -> int:
        usage = next(self._usages)
        self.invites[usage] = {"target_uri": target_uri, **given}
        self._note(f"INVITE {target_uri}", given["headers"])
        on_usage(usage)
        return usage

    def acknowledge(self, usage: int, body: bytes = b"") -> None:
        self._note(f"ACK {usage}")

    def cancel(self, usage: int) -> None:
        self._note(f"CANCEL {usage}")

    def retry_invite(self, usage: int, headers: Any) -> None:
        self._note(f"INVITE again {usage}", headers)

    def reinvite(self, usage: int, body: bytes, *, on_final: Any) -> None:
        self._note(f"re-INVITE {usage}")
        self.referred.append(on_final)

    def refer(self, usage: int, refer_to: str, *, referred_by: str, on_final: Any) -> int:
        self._note(f"REFER {refer_to}", [("Referred-By", referred_by)])
        self.referred.append(on_final)
        return len(self.referred)

    def notify(self, usage: int, body: bytes, *, state: str, event_id: int) -> None:
        self.notified.append((usage, body, state))
        self._note(f"NOTIFY {body.decode().split()[1]}")

    def find_dialog(self, call_id: str, to_tag: str, from_tag: str) -> int | None:
        return self.dialogs.get((call_id, to_tag, from_tag))

    def settle(self, event: Any) -> None:
        self.referred[event.token - 1](event.status, event.response)

    async def resolve(self, uri: Any, **_: bool) -> list[tuple[str, str, int]]:
        await asyncio.sleep(0)
        if uri.host in self.unresolvable:
            raise OSError(f"{uri.host} is not known")
        return [("udp", "198.51.100.1", uri.port or 5060)]

    def local_host(self, flow: Flow) -> str:
        return flow.local[0] or "192.0.2.1"


class FakeLog:
    """Keeps records; ``unavailable`` makes rows fail."""

    def __init__(self, ladder: list[str]) -> None:
        self.ladder = ladder
        self.records: list[LogRecord] = []
        self.unavailable = False
        self.backlog = (0, 0.0)

    async def open(self, record: LogRecord) -> None:
        await asyncio.sleep(0)
        if self.unavailable:
            raise LogUnavailable("database is down")
        self.ladder.append("row")
        self.records.append(record)

    def append(self, record: LogRecord) -> None:
        self.records.append(record)
        if isinstance(record, CallClosed):
            self.ladder.append(f"closed {record.status} {record.cause}")

    async def flush(self) -> None:
        await asyncio.sleep(0)

    @property
    def closed(self) -> CallClosed:
        [record] = [record for record in self.records if isinstance(record, CallClosed)]
        return record

    def events(self, kind: str) -> list[CallEventRecord]:
        return [
            record
            for record in self.records
            if isinstance(record, CallEventRecord) and record.kind == kind
        ]

    def notified(self) -> list[int]:
        return [record.code for record in self.records if record.KIND == "notification"]


class FakeDirectory:
    def __init__(self, *policies: DomainPolicy) -> None:
        self.policies = {policy.domain_name: policy for policy in policies}
        self.users: dict[str, str] = {}
        self.registered: dict[str, tuple[RegisteredContact, ...]] = {}
        self.trunk_list: tuple[TrunkPolicy, ...] = ()
        self.down = False

    async def registration_credential(
        self, domain_sid: str, username: str
    ) -> CredentialHashes | None:
        return await self.credential(domain_sid, username)

    async def contacts(self, domain_sid: str, username: str) -> tuple[RegisteredContact, ...]:
        await asyncio.sleep(0)
        if self.down:
            raise DirectoryUnavailable("no database")
        return self.registered.get(username, ())

    async def trunks(self, account_sid: str) -> tuple[TrunkPolicy, ...]:
        return self.trunk_list

    async def domain(self, name: str) -> DomainPolicy | None:
        await asyncio.sleep(0)
        if self.down:
            raise DirectoryUnavailable("no database")
        return self.policies.get(name)

    async def credential(self, domain_sid: str, username: str) -> CredentialHashes | None:
        password = self.users.get(username)
        if password is None:
            return None
        return CredentialHashes(
            username,
            auth.ha1("MD5", username, REALM, password),
            auth.ha1("SHA-256", username, REALM, password),
        )


class FakeWebhooks:
    """Answers by URL: text of a document, or an int error code; ``hold`` blocks until released."""

    def __init__(self, ladder: list[str]) -> None:
        self.ladder = ladder
        self.answers: dict[str, str | int] = {}
        self.hold: set[str] = set()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.aborted: list[str] = []

    async def fetch(self, *, url: str, method: str, parameters: Any, **_: Any) -> FetchReply:
        self.ladder.append(f"fetch {url.rpartition('/')[2]}")
        self.requests.append((url, method, dict(parameters)))
        if url in self.hold:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.aborted.append(url)
                raise
        await asyncio.sleep(0)
        answer = self.answers.get(url, 11200)
        if isinstance(answer, int):
            return FetchReply("r", "n", error_code=answer, error_message="it failed")
        return FetchReply("r", "n", answer, "text/xml", url, 200, 1)


class FakePrompts:
    def __init__(self) -> None:
        self.failing: set[str] = set()

    def issues(self, speech: Speech) -> list[SpeechIssue]:
        return []

    async def speak(self, speech: Speech) -> AsyncIterator[str]:
        for sentence in speech.text.split(". "):
            await asyncio.sleep(0)
            yield f"speech:{sentence}"

    async def fetch(self, audio: AudioUrl, *, verify_tls: bool) -> str:
        await asyncio.sleep(0)
        if audio.url in self.failing:
            raise PromptError(11200, "404")
        return f"audio:{audio.url}"


class World:
    """One node's call layer over fakes. ``ladder`` tells the story in order."""

    def __init__(self, *policies: DomainPolicy, **settings: Any) -> None:
        self.ladder: list[str] = []
        self.clock = FakeClock()
        self.sip = FakeSip(self.ladder)
        self.log = FakeLog(self.ladder)
        self.directory = FakeDirectory(*(policies or (POLICY,)))
        self.webhooks = FakeWebhooks(self.ladder)
        self.prompts = FakePrompts()
        self.media = FakeMedia(self.ladder)
        self.recordings = FakeRecordings(self.ladder)
        numbers = itertools.count(1)
        identifiers = itertools.count(1)
        self.settings = CallSettings(
            node="node1",
            user_agent="test",
            intake=IntakeConfig(
                realm=REALM,
                nonce_secret=b"secret",
                nonce_seconds=30.0,
                trusted_proxies=(),
                own_hosts=frozenset(),
            ),
            parting_seconds=0.2,
            farewell_seconds=0.2,
            cleanup_seconds=0.2,
        )
        self.settings = replace(self.settings, **settings)
        self.manager = CallManager(
            Environment(
                settings=self.settings,
                sip=self.sip,
                directory=self.directory,
                log=self.log,
                webhooks=self.webhooks,
                prompts=self.prompts,
                media=self.media,
                recordings=self.recordings,
                clock=self.clock,
                new_call_sid=lambda: f"CA{next(numbers):032x}",
                new_id=lambda: f"id{next(identifiers)}",
                random=lambda: 0.5,
            )
        )

    def document(self, text: str, path: str = "voice") -> None:
        self.webhooks.answers[f"http://app.example.net/{path}"] = text

    def events(self, *events: Any) -> None:
        self.manager.on_events(events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until ``condition`` holds; a call that hangs fails the test."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    async def ladder_has(self, step: str) -> None:
        await self.until(lambda: step in self.ladder)

    async def playing(self) -> None:
        await self.until(lambda: bool(self.media.operations))

    async def ended(self) -> None:
        await self.until(lambda: any(step.startswith("closed") for step in self.ladder))


async def answered(world: World, document: str = SAY) -> World:
    """A call that runs ``document`` and has our answer acknowledged."""
    world.document(document)
    world.events(incoming())
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    return world
