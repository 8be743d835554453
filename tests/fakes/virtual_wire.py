"""Two or more SIP engines on one virtual network and clock, with the faults of a seeded generator.

Nothing here waits: :meth:`Wire.run` jumps from one event to the next.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import Flow, MessageTraced, SipEvent
from sipserver.sip.message import Request, parse_datagram
from sipserver.sip.timers import Timers

Address = tuple[str, int]


class SeededIds:
    """Identifiers that are different for each seed and the same in each run."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def branch(self) -> str:
        return f"z9hG4bK{self._random.getrandbits(64):016x}"

    def tag(self) -> str:
        return f"{self._random.getrandbits(48):012x}"

    def call_id(self) -> str:
        return f"{self._random.getrandbits(64):016x}@wire"


@dataclass
class Faults:
    """Probabilities for each datagram and the range of its one-way delay in seconds. Reordering
    comes from the range."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: tuple[float, float] = (0.01, 0.01)


@dataclass
class Peer:
    """One engine at one address, with what it told and ``react``, its call layer."""

    name: str
    address: Address
    engine: SipEngine
    transport: str
    events: list[SipEvent] = field(default_factory=list)
    react: Callable[[Peer, SipEvent, float], None] = lambda peer, event, now: None

    def of(self, kind: type) -> list:
        """The events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def ladder(self, usage: int) -> list[str]:
        """The messages of a usage: ``> INVITE`` outbound, ``< 200 INVITE`` inbound."""
        return [
            f"{'>' if event.outbound else '<'} {summary(event.data)}"
            for event in self.of(MessageTraced)
            if event.usage == usage
        ]


def summary(data: bytes) -> str:
    """``INVITE`` for a request, ``200 INVITE`` for a response."""
    message = parse_datagram(data)
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.headers.get('CSeq').split()[-1]}"


class Wire:
    """The network. ``filter`` may drop single messages: it returns False for those."""

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.now = 0.0
        self.faults = faults or Faults()
        self.peers: dict[Address, Peer] = {}
        self.log: list[tuple[float, str, str]] = []
        self.filter: Callable[[str, bytes], bool] = lambda sender, data: True
        self._random = random.Random(seed)
        self._seed = seed
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(
        self,
        name: str,
        host: str,
        *,
        transport: str = "udp",
        timers: Timers | None = None,
        **config,
    ) -> Peer:
        """Put a new engine on the wire, at port 5060 of ``host``."""

        def contact_for(_flow: Flow, user: str) -> str:
            shown = f"[{host}]" if ":" in host else host
            return f"sip:{user or name}@{shown}:5060;transport={transport}"

        configuration = EngineConfig(
            contact_for=contact_for,
            sent_by=lambda _flow: (host, 5060),
            timers=timers or Timers(),
            user_agent=name,
            **config,
        )
        engine = SipEngine(configuration, SeededIds(f"{self._seed}{name}"))
        peer = Peer(name, (host, 5060), engine, transport)
        self.peers[peer.address] = peer
        return peer

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a moment of the virtual clock."""
        heapq.heappush(self._agenda, (when, next(self._order), action))

    def flow(self, local: Peer, remote: Peer) -> Flow:
        connection = 0 if local.transport == "udp" else 1
        return Flow(local.transport, local.address, remote.address, connection)

    def flush(self, peer: Peer) -> None:
        """Carry away what a peer has to send, and let its call layer react to what it heard."""
        while True:
            for data, flow, target in peer.engine.take_outgoing():
                address = flow.remote if flow is not None else target[1:]
                self._send(peer, data, address)
            events = peer.engine.take_events()
            if not events:
                return
            for event in events:
                peer.events.append(event)
                peer.react(peer, event, self.now)

    def _send(self, sender: Peer, data: bytes, address: Address) -> None:
        self.log.append((self.now, sender.name, summary(data)))
        receiver = self.peers.get(address)
        if receiver is None or not self.filter(sender.name, data):
            return
        low, high = self.faults.delay
        if sender.transport != "udp":
            self._deliver_later(sender, receiver, data, low)  # in order, without loss
            return
        if self._random.random() < self.faults.loss:
            return
        copies = 2 if self._random.random() < self.faults.duplication else 1
        for _ in range(copies):
            self._deliver_later(sender, receiver, data, self._random.uniform(low, high))

    def _deliver_later(self, sender: Peer, receiver: Peer, data: bytes, delay: float) -> None:
        def deliver() -> None:
            receiver.engine.receive(data, self.flow(receiver, sender), self.now)
            self.flush(receiver)

        self.at(self.now + delay, deliver)

    def run(self, until: float) -> None:
        """Let virtual time pass."""
        for peer in list(self.peers.values()):
            self.flush(peer)
        while True:
            moments = [
                (when, peer)
                for peer in self.peers.values()
                if (when := peer.engine.next_deadline()) is not None
            ]
            timer = min(moments, key=lambda each: each[0]) if moments else None
            message = self._agenda[0][0] if self._agenda else None
            if message is not None and (timer is None or message <= timer[0]):
                if message > until:
                    break
                self.now = max(self.now, message)
                heapq.heappop(self._agenda)[2]()
                for peer in list(self.peers.values()):
                    self.flush(peer)
            elif timer is not None and timer[0] <= until:
                self.now = max(self.now, timer[0])
                timer[1].engine.handle_deadline(self.now)
                self.flush(timer[1])
            else:
                break
        self.now = until
