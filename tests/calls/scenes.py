"""Calls brought to a certain point over fake ports, and what their peers send then."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

from sipdomains.contracts import (
    CallClosed,
    CallOpened,
    OriginatePlan,
)
from sipdomains.live import Command, Order, Outcome
from sipserver.calls.outbound import OutboundSession
from sipserver.sip.events import (
    Acknowledged,
    InDialogRequest,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
)
from sipserver.sip.message import Request, Response, parse_datagram
from tests.fakes.calls import OFFER, POLICY, World, answered, incoming

HANG_ON = '<Response><Dial timeout="5"{0}>{1}</Dial><Say>after</Say></Response>'
ACTION = HANG_ON.format(' action="/done"', "<Sip>sip:bob@far.example</Sip>")
PLAIN = HANG_ON.format("", "<Sip>sip:bob@far.example</Sip>")
ON_BRIDGE = HANG_ON.format(' answerOnBridge="true"', "<Sip>sip:bob@far.example</Sip>")
TWO = HANG_ON.format("", "<Sip>sip:bob@far.example</Sip><Sip>sip:carol@far.example</Sip>")


def response(status: int, *, body: str = "", headers: tuple[str, ...] = ()) -> Response:
    lines = [
        f"SIP/2.0 {status} Whatever",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx",
        "From: <sip:alice@pbx.example.net>;tag=1",
        "To: <sip:bob@far.example>;tag=2",
        "Call-ID: id1",
        "CSeq: 1 INVITE",
        "Contact: <sip:bob@198.51.100.1>",
        *headers,
    ]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    message = parse_datagram(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    assert isinstance(message, Response)
    return message


def rings(usage: int) -> OutgoingProgress:
    return OutgoingProgress(usage, response(180))


def answers(usage: int, **fields: Any) -> OutgoingAnswered:
    return OutgoingAnswered(usage, response(200, body=OFFER, **fields))


def refuses(usage: int, status: int, **fields: Any) -> OutgoingFailed:
    return OutgoingFailed(usage, status, "Whatever", response(status, **fields))


def request(method: str, *headers: str) -> Request:
    lines = [
        f"{method} sip:here SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKr",
        "Max-Forwards: 70",
        "From: <sip:bob@far.example>;tag=2",
        "To: <sip:alice@pbx.example.net>;tag=1",
        "Call-ID: id1",
        f"CSeq: 7 {method}",
        *headers,
        "Content-Length: 0",
    ]
    message = parse_datagram(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(message, Request)
    return message


async def dialling(document: str = PLAIN, legs: int = 1, *, up: bool = True) -> World:
    """A call whose Dial has sent its INVITEs; ``up``: the caller is answered."""
    world = World()
    world.document("<Response/>", "done")
    if up:
        await answered(world, document)
    else:
        world.document(document)
        world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == legs)
    return world


async def bridged(document: str = PLAIN, **how: Any) -> World:
    world = await dialling(document, **how)
    world.events(rings(101), answers(101))
    if not how.get("up", True):
        await world.ladder_has("200")
        world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    return world


def parameters(world: World, path: str = "done") -> dict[str, str]:
    [found] = [given for url, _, given in world.webhooks.requests if url.endswith(path)]
    return found


def child(world: World, position: int = 0) -> CallClosed:
    opened = [r for r in world.log.records if isinstance(r, CallOpened) and r.parent_call_sid]
    sid = opened[position].call_sid
    [closed] = [r for r in world.log.records if isinstance(r, CallClosed) and r.call_sid == sid]
    return closed


async def all_ended(world: World) -> None:
    await world.until(lambda: world.manager.load().calls == 0)
    # A leg that was moving to another media worker lets go of it in a task of its own.
    await world.until(lambda: world.media.open_ports == 0)


def refer(usage: int, target: str = "<sip:carol@far.example>") -> InDialogRequest:
    return InDialogRequest(usage, 77, request("REFER", f"Refer-To: {target}"))


WITH_REFER = HANG_ON.format(' referUrl="/refer"', "<Sip>sip:bob@far.example</Sip>")
KEPT = HANG_ON.format(' referUrl="/refer" answerOnBridge="true"', "<Sip>sip:bob@far.example</Sip>")
TO_CAROL = "<Response><Dial><Sip>sip:carol@far.example</Sip></Dial></Response>"


# Of an attended transfer to call-2, in whose dialog the transferor has the tags t1 (ours) and t2.
REPLACES = "<sip:carol@far.example?Replaces=call-2%3Bto-tag%3Dt1%3Bfrom-tag%3Dt2>"


async def connected(document: str, refer_document: str) -> World:
    """The caller (1) and the callee (101) hear each other; either may refer."""
    world = World()
    world.document(refer_document, "refer")
    world.document("<Response/>", "chosen")
    world.document("<Response><Say>updated</Say></Response>", "update")
    if document == KEPT:  # the callee answers first
        world.document(document)
        world.events(incoming())
    else:
        await answered(world, document)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    if document == KEPT:
        await world.ladder_has("200")
        world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    return world


async def transferring(transferor: int) -> World:
    """One of two that are connected has been sent on, and rings carol; the other is kept."""
    world = await connected(KEPT, TO_CAROL)
    world.events(refer(transferor))
    await world.until(lambda: len(world.sip.invites) == 2)
    return world


async def two_calls(*, scattered: bool = False) -> World:
    """Callers 1 and 2 are connected with 101 and 102; ``scattered`` on two media workers."""
    world = World()
    world.media.scattered = scattered
    world.document(PLAIN)
    world.document("<Response><Say>updated</Say></Response>", "update")
    for usage, call_id in ((1, "call-1"), (2, "call-2")):
        world.events(incoming(usage, call_id=call_id))
        await times(world, "200", usage)
        world.events(Acknowledged(usage, b""))
        await world.until(lambda wanted=usage: len(world.sip.invites) == wanted)
        world.events(answers(100 + usage))
        await times(world, "bridged", usage)
    return world


def joins(world: World, transferor: int, other: int) -> None:
    """``transferor`` refers to the call that the same phone has as ``other``."""
    world.sip.dialogs["call-2", "t1", "t2"] = other
    world.events(refer(transferor, REPLACES))


async def times(world: World, step: str, count: int) -> None:
    await world.until(lambda: world.ladder.count(step) == count)


SID = "CA" + "f" * 32


ACCOUNT = replace(POLICY, domain_sid="", domain_name="", voice_url="", only_domain="")
URL = "http://app.example.net/hello"
PLAN = OriginatePlan(to="sip:bob@far.example?X-Tag=7", from_="+4930123", url=URL)


def order(**changes: Any) -> Order:
    fields = {"policy": ACCOUNT, "callback": {}, "username": "", "password": ""}
    given = {name: changes.pop(name, value) for name, value in fields.items()}
    return Order(SID, "sip-call-id", plan=replace(PLAN, **changes), **given)


async def placed(world: World | None = None, **changes: Any) -> World:
    world = world or World()
    world.document("<Response><Say>Hello</Say></Response>", "hello")
    world.manager.originate(order(**changes))
    await world.until(lambda: bool(world.sip.invites) or world.manager.load().calls == 0)
    return world


def leg(world: World) -> OutboundSession:
    found = world.manager.find(SID)
    assert isinstance(found, OutboundSession)
    return found


PARENT, CHILD = f"CA{1:032x}", f"CA{2:032x}"
NEW = "<Response><Say>new</Say></Response>"
SILENCE = '<Response><Pause length="60"/></Response>'
GATHER = '<Response><Gather timeout="60" action="/done"/></Response>'
RECORD = '<Response><Record timeout="60" action="/done"/></Response>'
_numbers = itertools.count(1)


async def ask(world: World, kind: str, sid: str = PARENT, **payload: Any) -> Outcome:
    command = Command(next(_numbers), sid, kind, payload, "SK1")
    return await asyncio.wait_for(world.manager.apply(command), 5)


async def redirect(world: World, sid: str = PARENT, path: str = "new") -> Outcome:
    world.document(NEW, "new")
    return await ask(world, "redirect", sid, url=f"http://app.example.net/{path}", method="GET")


async def ringing(document: str = SILENCE) -> World:
    """A call that is not answered while its document runs."""
    world = World()
    world.document(document)
    world.events(incoming())
    await world.until(lambda: bool(world.log.events("verb-started")))
    return world


async def in_verb(document: str) -> World:
    world = await answered(world=World(), document=document)
    await world.until(lambda: bool(world.log.events("verb-started")))
    return world


def closed(world: World, sid: str) -> CallClosed:
    [found] = [r for r in world.log.records if isinstance(r, CallClosed) and r.call_sid == sid]
    return found
