"""A name server on a loopback port, with the records a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """``zone`` maps (name without root dot, type) to record texts; ``asked`` lists the questions.

    ``silent`` swallows questions; ``rcode`` refuses them all. A CNAME is followed within the zone.
    """

    def __init__(self, zone: dict[tuple[str, str], list[str]], ttl: int = 60) -> None:
        self.zone = zone
        self.ttl = ttl
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.rcode = dns.rcode.NOERROR
        self.address = ("", 0)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            self._answer(response, name, kind)
        self.transport.sendto(response.to_wire(), source)

    def _answer(self, response: dns.message.Message, name: str, kind: str) -> None:
        while alias := self.zone.get((name, "CNAME")):
            response.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".")
        if not any(name == known for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := self.zone.get((name, kind)):
            response.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *texts))


@asynccontextmanager
async def serving(
    zone: dict[tuple[str, str], list[str]], ttl: int = 60
) -> AsyncIterator[DnsServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: DnsServer(zone, ttl), ("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
