"""An engine as a client, driven message by message: shared by the tests of it."""

from __future__ import annotations

import dataclasses

from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import MessageTraced
from tests.fakes.virtual_wire import SeededIds, summary
from tests.sip.messages import SDP, UDP, parse, request, response

CONFIG = EngineConfig(
    contact_for=lambda flow, user: f"sip:{user}@192.0.2.9:5060",
    sent_by=lambda flow: ("192.0.2.9", 5060),
)


class Caller:
    def __init__(self, flow=UDP, **config) -> None:
        self.engine = SipEngine(dataclasses.replace(CONFIG, **config), SeededIds(2))
        self.flow = flow
        self.outgoing = []
        self.events = []
        self.invite = b""

    def take(self) -> list[str]:
        self.outgoing = self.engine.take_outgoing()
        self.events += self.engine.take_events()
        return [summary(each.data) for each in self.outgoing]

    def told(self) -> list:
        events = [each for each in self.events if not isinstance(each, MessageTraced)]
        self.events = []
        return events

    def put(self, data: bytes, now: float = 0.0) -> list[str]:
        self.engine.receive(data, self.flow, now)
        return self.take()

    def wait(self, until: float) -> list[tuple[float, str]]:
        sent = []
        while (when := self.engine.next_deadline()) is not None and when <= until:
            self.engine.handle_deadline(when)
            sent += [(when, each) for each in self.take()]
        return sent

    def last(self):
        return parse(self.outgoing[-1].data)

    def call(self, body=SDP, **parts) -> int:
        parts.setdefault("flow", self.flow)
        usage = self.engine.invite(
            "sip:bob@192.0.2.1",
            '"Me" <sip:me@192.0.2.9>',
            "<sip:bob@192.0.2.1>",
            body,
            0.0,
            **parts,
        )
        assert self.take() == ["INVITE"]
        self.invite = self.outgoing[0].data
        return usage

    def reply(self, status: int, now: float = 0.0, **parts) -> list[str]:
        return self.put(response(self.invite, status, **parts), now)

    def up(self, **parts) -> int:
        usage = self.call(**parts)
        self.reply(200, body=SDP)
        self.engine.acknowledge(usage, 0.0)
        assert self.take() == ["ACK"]
        self.told()
        return usage

    def empty(self) -> bool:
        return not any(self.engine.sizes.values())

    def send(self, method: str, now: float = 0.0, *, tag="to1", **parts) -> list[str]:
        """A request of the peer in the dialog of our call."""
        invite = parse(self.invite)
        parts.setdefault("branch", f"z9hG4bK{method}{parts.get('cseq', 1)}")
        return self.put(
            request(
                method,
                from_=f"<sip:bob@192.0.2.1>;tag={tag}",
                to=f"<sip:me@192.0.2.9>;tag={invite.from_.tag}",
                call_id=invite.call_id,
                transport=self.flow.transport.upper(),
                **parts,
            ),
            now,
        )
