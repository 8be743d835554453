"""An engine as a server, driven message by message: shared by the tests of it."""

from __future__ import annotations

import dataclasses

from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import (
    Acknowledged,
    IncomingInvite,
    MessageTraced,
)
from tests.fakes.virtual_wire import SeededIds, summary
from tests.sip.messages import SDP, UDP, parse, request

CONFIG = EngineConfig(
    contact_for=lambda flow, user: f"sip:{user}@192.0.2.9:5060;transport={flow.transport}",
    sent_by=lambda flow: ("192.0.2.9", 5060),
    out_of_dialog_methods=frozenset({"REGISTER"}),
)


class Node:
    """An engine with a peer made of single messages."""

    def __init__(self, flow=UDP, **config) -> None:
        self.engine = SipEngine(dataclasses.replace(CONFIG, **config), SeededIds(1))
        self.flow = flow
        self.transport = flow.transport.upper()
        self.outgoing = []
        self.events = []

    def take(self) -> list[str]:
        self.outgoing = self.engine.take_outgoing()
        self.events += self.engine.take_events()
        return [summary(each.data) for each in self.outgoing]

    def put(self, data: bytes, now: float = 0.0, flow=None) -> list[str]:
        self.engine.receive(data, flow or self.flow, now)
        return self.take()

    def wait(self, until: float) -> list[tuple[float, str]]:
        sent = []
        while (when := self.engine.next_deadline()) is not None and when <= until:
            self.engine.handle_deadline(when)
            sent += [(when, each) for each in self.take()]
        return sent

    def told(self, *but) -> list:
        """The events since last asked, without traces."""
        events = [each for each in self.events if not isinstance(each, (MessageTraced, *but))]
        self.events = []
        return events

    def last(self):
        return parse(self.outgoing[-1].data)

    def send(self, method: str, now: float = 0.0, **parts) -> list[str]:
        """A request of the peer in the dialog of its call."""
        parts.setdefault("branch", f"z9hG4bK{method}{parts.get('cseq', 1)}")
        parts.setdefault("to", f"<sip:100@192.0.2.9>;tag={self.tag}")
        return self.put(request(method, transport=self.transport, **parts), now)

    def invite(self, now: float = 0.0, **parts) -> int:
        parts.setdefault("body", SDP)
        assert self.put(request(transport=self.transport, **parts), now) == ["100 INVITE"]
        (event,) = self.told()
        assert isinstance(event, IncomingInvite)
        return event.usage

    def ringing(self, **parts) -> int:
        usage = self.invite(**parts)
        self.engine.ring(usage, 0.0)
        assert self.take() == ["180 INVITE"]
        self.tag = self.last().to.tag
        return usage

    def answered(self, **parts) -> int:
        usage = self.invite(**parts)
        self.engine.answer(usage, SDP, 0.0)
        assert self.take() == ["200 INVITE"]
        self.tag = self.last().to.tag
        return usage

    def up(self, **parts) -> int:
        usage = self.answered(**parts)
        assert self.send("ACK") == []
        assert self.told() == [Acknowledged(usage, b"")]
        return usage

    def empty(self) -> bool:
        return not any(self.engine.sizes.values())
