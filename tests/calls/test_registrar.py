"""REGISTER over fake ports: every row of sip-domain.md section 7 and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sipdomains.contracts import NotificationRecord
from sipserver.calls.manager import CallManager
from sipserver.calls.ports import DirectoryUnavailable
from sipserver.calls.registrar import Registrar
from sipserver.sip import auth
from sipserver.sip.events import Flow, IncomingRequest
from sipserver.sip.message import Request, parse_datagram
from sipserver.sip.registrar import Binding, RegisterOutcome
from tests.fakes.calls import POLICY, REALM, World

PASSWORD = "Correct9HorseX"
FLOW = Flow("udp", ("192.0.2.1", 5060), ("203.0.113.7", 40000))
PHONES = replace(POLICY, sip_registration=True, has_registration_credentials=True)


class Store:
    """Bindings in memory; ``down`` is a database that does not answer."""

    def __init__(self) -> None:
        self.bindings: dict[tuple[str, str], list[Binding]] = {}
        self.down = False

    async def change(
        self, domain_sid: str, username: str, decide: Callable[[Sequence[Binding]], RegisterOutcome]
    ) -> RegisterOutcome:
        await asyncio.sleep(0)
        if self.down:
            raise DirectoryUnavailable("no database")
        key = (domain_sid, username)
        outcome = decide(self.bindings.get(key, []))
        if outcome.status == 200:
            self.bindings[key] = list(outcome.bindings)
        return outcome

    def connection_lost(self, connection: int) -> None:
        pass


class Desk:
    """A registrar with its phone: ``register`` answers challenges as a phone does."""

    def __init__(self, policy=PHONES) -> None:  # type: ignore[no-untyped-def]
        self.world = World(policy)
        self.world.directory.users["bob"] = PASSWORD
        self.store = Store()
        env = self.world.manager._env
        self.world.manager = CallManager(env, Registrar(env, self.store))
        self.answers: list[tuple[int, dict[str, list[str]]]] = []
        self._cseq = 0

        def respond(transaction: int, status: int, *, headers=()) -> None:  # type: ignore[no-untyped-def]
            found: dict[str, list[str]] = {}
            for name, value in headers:
                found.setdefault(name, []).append(value)
            self.answers.append((status, found))

        self.world.sip.respond = respond  # type: ignore[method-assign]

    async def send(
        self, *headers: str, user: str = "bob", sender: str = "", flow: Flow = FLOW
    ) -> int:
        self._cseq += 1
        count = len(self.answers)
        lines = [
            "REGISTER sip:pbx.example.net SIP/2.0",
            "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKreg;rport",
            "Max-Forwards: 70",
            f"From: <sip:{sender or user}@pbx.example.net>;tag=1",
            f"To: <sip:{user}@pbx.example.net>",
            "Call-ID: reg-1",
            f"CSeq: {self._cseq} REGISTER",
            *headers,
            "Content-Length: 0",
        ]
        request = parse_datagram(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert isinstance(request, Request)
        self.world.events(IncomingRequest(5, request, flow))
        await self.world.until(lambda: len(self.answers) > count)
        return self.answers[-1][0]

    async def register(
        self,
        *headers: str,
        password: str = PASSWORD,
        user: str = "bob",
        login: str = "bob",
        sender: str = "",
    ) -> int:
        self.world.clock.now += 1  # a phone that takes its time
        assert await self.send(*headers, user=user, sender=sender) == 401
        [challenge, *_] = self.answers[-1][1]["WWW-Authenticate"]
        self.given = self.authorization(challenge, login=login, password=password)
        return await self.send(*headers, self.given, user=user, sender=sender)

    def authorization(
        self, challenge: str, *, login: str = "bob", password: str = PASSWORD, nonce_count: int = 1
    ) -> str:
        credentials = auth.answer_challenge(
            challenge,
            username=login,
            password=password,
            method="REGISTER",
            uri="sip:pbx.example.net",
            nonce_count=nonce_count,
            cnonce="c",
        )
        return f"Authorization: {credentials}"

    @property
    def headers(self) -> dict[str, list[str]]:
        return self.answers[-1][1]

    def bound(self) -> list[str]:
        return [b.contact for b in self.store.bindings.get((PHONES.domain_sid, "bob"), [])]

    def notified(self) -> list[int]:
        records = self.world.log.records
        return [record.code for record in records if isinstance(record, NotificationRecord)]


CONTACT = "Contact: <sip:bob@10.0.0.9:5060>"


async def test_register_binds_the_contact_to_the_flow_it_came_by() -> None:
    desk = Desk()
    assert await desk.register(CONTACT, "Expires: 900") == 200
    [listed] = desk.headers["Contact"]
    assert "expires=900" in listed
    [binding] = desk.store.bindings[(PHONES.domain_sid, "bob")]
    assert binding.flow == FLOW
    assert REALM in desk.answers[0][1]["WWW-Authenticate"][0]


async def test_a_refresh_may_use_the_nonce_again() -> None:
    desk = Desk()
    await desk.register(CONTACT)
    await desk.register(CONTACT)
    assert desk.bound() == ["sip:bob@10.0.0.9:5060"]


async def test_expires_bounds() -> None:
    desk = Desk()
    assert await desk.register(CONTACT, "Expires: 60") == 423
    assert desk.headers["Min-Expires"] == ["600"]
    assert await desk.register(CONTACT, "Expires: 86400") == 200
    assert "expires=3600" in desk.headers["Contact"][0]
    assert await desk.register(CONTACT) == 200
    assert "expires=3600" in desk.headers["Contact"][0]


async def test_unregister_one_and_all() -> None:
    desk = Desk()
    await desk.register(CONTACT, "Contact: <sip:bob@10.0.0.10>")
    assert len(desk.bound()) == 2
    assert await desk.register("Contact: <sip:bob@10.0.0.10>;expires=0") == 200
    assert desk.bound() == ["sip:bob@10.0.0.9:5060"]
    assert await desk.register("Contact: *", "Expires: 0") == 200
    assert desk.bound() == []
    assert "Contact" not in desk.headers


async def test_eleventh_contact_is_refused() -> None:
    desk = Desk()
    many = [f"Contact: <sip:bob@10.0.0.{number}>" for number in range(10)]
    assert await desk.register(*many) == 200
    assert await desk.register("Contact: <sip:bob@10.0.0.99>") == 403
    assert 32007 in desk.notified()
    assert len(desk.bound()) == 10


@pytest.mark.parametrize(
    ("policy", "status", "code"),
    [
        (replace(PHONES, sip_registration=False), 403, 32210),
        (replace(PHONES, has_registration_credentials=False), 403, 32212),
        (replace(PHONES, account_active=False), 403, 10003),
        (replace(PHONES, secure=True), 403, 32209),
        (replace(PHONES, domain_name="other.example"), 404, 32200),
    ],
)
async def test_domains_that_take_no_registration(policy: object, status: int, code: int) -> None:
    desk = Desk(policy)
    assert await desk.send(CONTACT) == status
    assert desk.notified() == [code]
    assert desk.headers["Warning"]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"password": "Wrong9HorseXX"}, 403, 32202),
        ({"login": "nobody"}, 403, 32202),
        ({"user": "carol"}, 403, 32106),
        ({"sender": "carol"}, 403, 32106),
    ],
)
async def test_strangers(how: dict[str, str], status: int, code: int) -> None:
    desk = Desk()
    assert await desk.register(CONTACT, **how) == status
    assert code in desk.notified()
    assert desk.bound() == []


async def test_too_many_requests_of_one_address() -> None:
    desk = Desk()
    statuses = [await desk.send(CONTACT) for _ in range(7)]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 503
    assert desk.headers["Retry-After"] == ["1"]
    assert 32008 in desk.notified()


async def test_strangers_elsewhere_do_not_use_up_the_rate_of_a_phone() -> None:
    desk = Desk()
    elsewhere = Flow("udp", FLOW.local, ("198.51.100.66", 5060))
    assert [await desk.send(CONTACT, flow=elsewhere) for _ in range(7)][-1] == 503
    assert await desk.send(CONTACT) == 401


async def test_a_sniffed_register_cannot_be_sent_again_with_another_contact() -> None:
    desk = Desk()
    assert await desk.register(CONTACT) == 200
    assert await desk.send("Contact: <sip:thief@198.51.100.66>", desk.given) == 401
    assert "stale=true" in desk.headers["WWW-Authenticate"][0]
    assert desk.bound() == ["sip:bob@10.0.0.9:5060"]


async def test_a_refresh_counts_on_with_its_nonce() -> None:
    desk = Desk()
    assert await desk.register(CONTACT) == 200
    challenge = desk.answers[0][1]["WWW-Authenticate"][0]
    assert await desk.send(CONTACT, desk.authorization(challenge, nonce_count=2)) == 200


async def test_database_down() -> None:
    desk = Desk()
    desk.store.down = True
    assert await desk.register(CONTACT) == 503
    assert desk.headers["Retry-After"] == ["10"]
    assert "no database" not in desk.headers["Warning"][0]  # details are not for strangers


async def test_refusals_do_not_flood_the_log() -> None:
    desk = Desk(replace(PHONES, sip_registration=False))
    for _ in range(40):
        await desk.send(CONTACT)
    assert len(desk.notified()) == 20
