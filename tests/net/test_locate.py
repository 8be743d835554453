"""RFC 3263 against a real name server on loopback; the policy of where calls may go."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from types import SimpleNamespace

import dns.rcode
import pytest

from sipserver.net import dns as dns_module
from sipserver.net import locate as locate_module
from sipserver.net.commands import SipCommands
from sipserver.net.dns import DnsClient, Naptr, Remembered, Srv
from sipserver.net.locate import (
    MAX_DESTINATIONS,
    DestinationRefused,
    Locator,
    Unlocatable,
    address_policy,
    chosen_services,
    in_order,
)
from sipserver.net.resolver import Resolver
from sipserver.sip.uri import parse_sip_uri
from tests.net.dns_server import serving

pytestmark = pytest.mark.integration

EVERYWHERE = {(transport, version) for transport in ("udp", "tcp", "tls") for version in (4, 6)}
NO_TLS = {("udp", 4), ("tcp", 4)}

ZONE = {
    ("plain.test", "A"): ["192.0.2.1", "192.0.2.2"],
    ("dual.test", "A"): ["192.0.2.1"],
    ("dual.test", "AAAA"): ["2001:db8::1"],
    ("naptr.test", "NAPTR"): [
        '20 10 "s" "SIP+D2U" "" _sip._udp.naptr.test.',
        '10 20 "S" "sip+d2t" "" tcp-srv.naptr.test.',
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.naptr.test.',
        '5 10 "s" "SIP+D2S" "" _sip._sctp.naptr.test.',
        '5 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .',
    ],
    ("tcp-srv.naptr.test", "SRV"): ["0 0 5070 plain.test."],
    ("_sips._tcp.naptr.test", "SRV"): ["0 0 5071 dual.test."],
    ("_sip._udp.naptr.test", "SRV"): ["0 0 5072 plain.test."],
    ("srv.test", "A"): ["192.0.2.99"],
    ("_sip._udp.srv.test", "SRV"): ["20 0 5080 backup.test.", "10 0 5070 plain.test."],
    ("_sip._tcp.srv.test", "SRV"): ["0 0 5090 plain.test."],
    ("_sips._tcp.srv.test", "SRV"): ["0 0 5091 plain.test."],
    ("backup.test", "CNAME"): ["real.test."],
    ("real.test", "A"): ["192.0.2.3"],
    ("tcponly.test", "A"): ["192.0.2.99"],
    ("_sip._tcp.tcponly.test", "SRV"): ["0 0 5090 plain.test."],
    ("dead.test", "A"): ["192.0.2.99"],
    ("_sip._udp.dead.test", "SRV"): ["0 0 0 ."],
    ("half.test", "A"): ["192.0.2.99"],
    ("_sip._udp.half.test", "SRV"): ["1 0 5060 nowhere.test.", "2 0 5060 plain.test."],
    ("mute.test", "NAPTR"): ['1 1 "s" "SIP+D2T" "" _sip._tcp.mute.test.'],
    ("mute.test", "A"): ["192.0.2.9"],
    ("alias.test", "CNAME"): ["plain.test."],
    ("lan.test", "A"): ["10.0.0.1", "203.0.113.7"],
    ("lanonly.test", "A"): ["10.0.0.1"],
    ("meta.test", "A"): ["169.254.169.254"],
    ("public.test", "A"): ["10.0.0.1", "8.8.8.8"],
    ("six.test", "AAAA"): ["2001:db8::1"],
    ("flood.test", "A"): [f"192.0.2.{number}" for number in range(1, 60)],
}  # fmt: skip


async def found(host, port=None, transport=None, *, reachable=EVERYWHERE, secure=False, **options):
    async with serving(ZONE) as server:
        locator = Locator([server.address], draw=lambda: 0.0, **options)
        destinations = await locator.locate(
            host, port, transport, secure=secure, reachable=reachable
        )
    # The addresses of one host come in the order of the name server, which shuffles them.
    return [
        one
        for _, group in itertools.groupby(
            destinations, key=lambda each: (each.transport, each.port)
        )
        for one in sorted(group)
    ]


@pytest.mark.parametrize(
    ("host", "port", "transport", "expected"),
    [
        # literals: no look-up (RFC 3263 4.2)
        ("192.0.2.5", None, None, [("udp", "192.0.2.5", 5060)]),
        ("192.0.2.5", 5099, "tcp", [("tcp", "192.0.2.5", 5099)]),
        ("192.0.2.5", None, "tls", [("tls", "192.0.2.5", 5061)]),
        ("2001:db8::5", None, None, [("udp", "2001:db8::5", 5060)]),
        # a port: addresses only
        ("srv.test", 5060, None, [("udp", "192.0.2.99", 5060)]),
        ("srv.test", 5061, "tls", [("tls", "192.0.2.99", 5061)]),
        # NAPTR: lowest usable order, by preference
        ("naptr.test", None, None, [
            ("tls", "192.0.2.1", 5071), ("tls", "2001:db8::1", 5071),
            ("tcp", "192.0.2.1", 5070), ("tcp", "192.0.2.2", 5070),
        ]),
        # a transport: its SRV, no NAPTR
        ("naptr.test", None, "udp", [("udp", "192.0.2.1", 5072), ("udp", "192.0.2.2", 5072)]),
        # SRV without NAPTR: UDP first, by priority, aliases followed
        ("srv.test", None, None, [
            ("udp", "192.0.2.1", 5070), ("udp", "192.0.2.2", 5070), ("udp", "192.0.2.3", 5080),
        ]),
        ("srv.test", None, "tcp", [("tcp", "192.0.2.1", 5090), ("tcp", "192.0.2.2", 5090)]),
        ("tcponly.test", None, None, [("tcp", "192.0.2.1", 5090), ("tcp", "192.0.2.2", 5090)]),
        # one of the SRV targets does not exist
        ("half.test", None, None, [("udp", "192.0.2.1", 5060), ("udp", "192.0.2.2", 5060)]),
        # NAPTR that leads to no SRV, and no records at all: default ports
        ("mute.test", None, None, [("udp", "192.0.2.9", 5060)]),
        ("plain.test", None, None, [("udp", "192.0.2.1", 5060), ("udp", "192.0.2.2", 5060)]),
        ("PLAIN.test.", None, None, [("udp", "192.0.2.1", 5060), ("udp", "192.0.2.2", 5060)]),
        ("alias.test", None, "tls", [("tls", "192.0.2.1", 5061), ("tls", "192.0.2.2", 5061)]),
        ("dual.test", None, None, [("udp", "192.0.2.1", 5060), ("udp", "2001:db8::1", 5060)]),
    ],
)  # fmt: skip
async def test_where_it_goes(host, port, transport, expected):
    assert await found(host, port, transport) == expected


async def test_secure_wants_tls_whatever_else_there_is():
    assert await found("srv.test", secure=True) == [
        ("tls", "192.0.2.1", 5091),
        ("tls", "192.0.2.2", 5091),
    ]
    assert await found("192.0.2.5", secure=True) == [("tls", "192.0.2.5", 5061)]
    with pytest.raises(Unlocatable, match="no transport tls"):
        await found("srv.test", secure=True, reachable=NO_TLS)


async def test_what_we_cannot_send_from_is_left_out():
    assert await found("naptr.test", reachable=NO_TLS) == [
        ("tcp", "192.0.2.1", 5070),
        ("tcp", "192.0.2.2", 5070),
    ]
    assert await found("dual.test", reachable={("udp", 6)}) == [("udp", "2001:db8::1", 5060)]
    assert await found("plain.test", reachable={("tcp", 4)}) == [
        ("tcp", "192.0.2.1", 5060),
        ("tcp", "192.0.2.2", 5060),
    ]


@pytest.mark.parametrize(
    ("host", "transport", "words"),
    [
        ("six.test", None, "IP version"),
        ("plain.test", "sctp", "no transport sctp"),
        ("plain.test", "tls", "no transport tls"),
        ("dead.test", None, "offers no SIP service"),
        ("nowhere.test", None, "nowhere.test"),
        ("a" * 64 + ".test", None, "a"),
    ],
)
async def test_when_there_is_nothing_the_error_says_why(host, transport, words):
    with pytest.raises(Unlocatable, match=words):
        await found(host, transport=transport, reachable=NO_TLS)


async def test_without_any_transport():
    with pytest.raises(Unlocatable, match="no SIP transport"):
        await found("plain.test", reachable=set())


async def test_a_flood_of_addresses_is_cut():
    assert len(await found("flood.test")) == MAX_DESTINATIONS


async def test_localhost_and_the_hosts_file_are_the_systems():
    destinations = await found("localhost", 5070, reachable=NO_TLS)
    assert destinations == [("udp", "127.0.0.1", 5070)]


# --- policy ---------------------------------------------------------------------------------


async def test_addresses_that_the_policy_forbids_are_passed_over():
    assert await found("public.test", allow_private=False) == [("udp", "8.8.8.8", 5060)]
    with pytest.raises(DestinationRefused, match=r"10\.0\.0\.1"):
        await found("lanonly.test", allow_private=False)
    with pytest.raises(DestinationRefused, match=r"169\.254"):
        await found("meta.test")
    with pytest.raises(DestinationRefused):
        await found("127.0.0.1", allow_loopback=False)


@pytest.mark.parametrize(
    ("address", "always", "private", "loopback"),
    [
        ("8.8.8.8", True, True, True),
        ("192.168.1.1", False, True, False),
        ("fd00::1", False, True, False),
        ("127.0.0.1", False, False, True),
        ("::1", False, False, True),
        ("::ffff:127.0.0.1", False, False, True),
        ("0.0.0.0", False, False, False),
        ("169.254.1.1", False, False, False),
        ("224.0.1.75", False, False, False),
        ("fe80::1", False, False, False),
    ],
)
def test_the_policy(address, always, private, loopback):
    def judged(allow_private, allow_loopback):
        return address_policy(address, allow_private=allow_private, allow_loopback=allow_loopback)

    assert judged(False, False) is always
    assert judged(True, False) is private
    assert judged(False, True) is loopback


# --- name servers ---------------------------------------------------------------------------


async def test_answers_are_remembered():
    async with serving(ZONE) as server:
        locator = Locator([server.address], draw=lambda: 0.0)
        first = await locator.locate("srv.test", None, None, reachable=NO_TLS)
        asked = list(server.asked)
        server.silent = True
        assert await locator.locate("SRV.test", None, None, reachable=NO_TLS) == first
        assert server.asked == asked


async def test_callers_at_once_share_one_question():
    async with serving(ZONE) as server:
        client = DnsClient([server.address])
        await asyncio.gather(*(client.srv("_sip._udp.srv.test") for _ in range(20)))
        assert server.asked == [("_sip._udp.srv.test", "SRV")]


async def test_a_silent_name_server_costs_its_time_once_then_the_system_is_asked(monkeypatch):
    monkeypatch.setattr(dns_module, "_LIFETIME_SECONDS", 0.05)
    async with serving(ZONE) as server:
        server.silent = True
        locator = Locator([server.address])
        destinations = await locator.locate("localhost", None, None, reachable=NO_TLS)
        assert destinations == [("udp", "127.0.0.1", 5060)]
        asked = len(server.asked)
        await locator.locate("localhost", None, None, reachable=NO_TLS)
        assert len(server.asked) == asked


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
async def test_a_name_server_that_refuses_is_no_obstacle(monkeypatch, rcode):
    monkeypatch.setattr(dns_module, "_LIFETIME_SECONDS", 0.3)
    async with serving(ZONE) as server:
        server.rcode = rcode
        locator = Locator([server.address])
        destinations = await locator.locate("localhost", None, None, reachable=NO_TLS)
        assert destinations == [("udp", "127.0.0.1", 5060)]


async def test_a_look_up_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(locate_module, "LOCATE_SECONDS", 0.05)
    async with serving(ZONE) as server:
        server.silent = True
        locator = Locator([server.address])
        with pytest.raises(Unlocatable, match=r"not resolved in 0\.05 s"):
            await locator.locate("srv.test", None, None, reachable=NO_TLS)


@pytest.mark.parametrize(("ttl", "kept"), [(0, 5.0), (60, 60.0), (10**6, 3600.0)])
async def test_how_long_an_answer_is_kept(ttl, kept):
    async with serving(ZONE, ttl) as server:
        client = DnsClient([server.address])
        records, seconds = await client._look_up("_sip._tcp.srv.test", "SRV")
        assert (len(records), seconds) == (1, kept)
        assert await client._look_up("nowhere.test", "SRV") == ((), 10.0)
        assert await client._look_up("plain.test", "SRV") == ((), 10.0)
        server.rcode = dns.rcode.REFUSED
        assert await client._look_up("plain.test", "SRV") == ((), 5.0)


async def test_the_resolver_asks_chosen_servers_first_and_the_system_for_the_rest(monkeypatch):
    async with serving(ZONE) as server:
        loop = asyncio.get_running_loop()
        resolver = Resolver(loop, DnsClient([server.address]))
        asked = []

        async def getaddrinfo(host, *_, **__):
            asked.append(host)
            if host == "pbx":
                return [(socket.AF_INET, 0, 0, "", ("192.0.2.77", 0))]
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        assert await resolver.addresses("dual.test") == ["192.0.2.1", "2001:db8::1"]
        assert await resolver.addresses("pbx") == ["192.0.2.77"]
        for _ in range(3):
            with pytest.raises(OSError, match="not known"):
                await resolver.addresses("nowhere.test")
        assert asked == ["pbx", "nowhere.test"]


# --- pieces ---------------------------------------------------------------------------------


async def test_what_is_remembered_ends_and_is_bounded():
    known: Remembered[str, int] = Remembered(size=2)
    calls = Counter()

    async def look_up(key, seconds):
        async def run():
            calls[key] += 1
            return calls[key], seconds

        return await known.get(key, run)

    assert await look_up("short", 0) == 1
    assert await look_up("short", 0) == 2
    for key in ("a", "b", "c"):
        assert await look_up(key, 60) == 1
    assert await look_up("c", 60) == 1
    assert await look_up("a", 60) == 2  # was pushed out


async def test_a_caller_that_gives_up_does_not_end_the_look_up_of_others():
    known: Remembered[str, int] = Remembered()
    go = asyncio.Event()

    async def run():
        await go.wait()
        return 7, 60.0

    hasty = asyncio.create_task(known.get("x", run))
    patient = asyncio.create_task(known.get("x", run))
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await patient == 7
    assert hasty.cancelled()


def srv(priority, weight, name):
    return Srv(priority, weight, 5060, name)


def test_priorities_come_before_weights():
    records = [srv(2, 100, "late"), srv(1, 0, "zero"), srv(1, 10, "ten")]
    assert [r.target for r in in_order(records, lambda: 0.0)] == ["zero", "ten", "late"]
    assert [r.target for r in in_order(records, lambda: 0.99)] == ["ten", "zero", "late"]


def test_weights_are_shares():
    records = [srv(1, 10, "a"), srv(1, 30, "b"), srv(1, 60, "c")]
    draws = [number / 1000 for number in range(1000)]
    first = Counter(in_order(records, lambda at=at: at)[0].target for at in draws)
    assert first["a"] == pytest.approx(109, abs=2)  # 0 to 10 of 0 to 100
    assert first["b"] == pytest.approx(297, abs=2)
    assert first["c"] == pytest.approx(594, abs=2)


def test_every_record_is_in_the_order_once():
    records = [srv(number % 3, number, str(number)) for number in range(20)]
    ordered = in_order(records, lambda: 0.5)
    assert sorted(ordered) == sorted(records)
    assert [r.priority for r in ordered] == sorted(r.priority for r in records)


def test_too_many_records_are_cut():
    assert len(in_order([srv(1, 1, str(number)) for number in range(5000)], lambda: 0.5)) == 32


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], []),
        ([Naptr(1, 1, "s", "sip+d2u", "u")], [("udp", "u")]),
        ([Naptr(1, 2, "s", "sip+d2u", "u"), Naptr(1, 1, "s", "sip+d2t", "t")],
         [("tcp", "t"), ("udp", "u")]),
        ([Naptr(2, 1, "s", "sip+d2u", "u"), Naptr(1, 1, "s", "sips+d2t", "t")], [("udp", "u")]),
        ([Naptr(1, 1, "a", "sip+d2u", "u"), Naptr(1, 1, "s", "sip+d2u", "")], []),
        ([Naptr(1, 1, "s", "e2u+sip", "u")], []),
    ],
)  # fmt: skip
def test_services_we_have(records, expected):
    assert chosen_services(records, ["udp", "tcp"]) == expected


# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listening", "uri", "secure", "expected"),
    [
        (["udp:0.0.0.0"], "sip:bob@dual.test", False, [("udp", "192.0.2.1", 5060)]),
        (["udp:0.0.0.0", "udp:::"], "sip:bob@dual.test:5070", False,
         [("udp", "192.0.2.1", 5070), ("udp", "2001:db8::1", 5070)]),
        (["udp:0.0.0.0", "tcp:::1"], "sip:bob@dual.test;transport=TCP", False,
         [("tcp", "2001:db8::1", 5060)]),
        (["udp:0.0.0.0", "tls:0.0.0.0"], "sips:bob@dual.test", False,
         [("tls", "192.0.2.1", 5061)]),
        (["udp:0.0.0.0", "tls:0.0.0.0"], "sip:bob@dual.test", True,
         [("tls", "192.0.2.1", 5061)]),
    ],
)  # fmt: skip
async def test_what_the_node_listens_on_decides(listening, uri, secure, expected):
    endpoint = SimpleNamespace(listening=[(*each.split(":", 1), 5060) for each in listening])
    async with serving(ZONE) as server:
        commands = SipCommands(None, endpoint, None, Locator([server.address]))
        assert await commands.resolve(parse_sip_uri(uri), secure=secure) == expected


async def test_what_cannot_be_resolved_is_an_os_error():
    endpoint = SimpleNamespace(listening=[("udp", "0.0.0.0", 5060)])
    async with serving(ZONE) as server:
        commands = SipCommands(None, endpoint, None, Locator([server.address]))
        with pytest.raises(OSError, match="nowhere"):
            await commands.resolve(parse_sip_uri("sip:bob@nowhere.test"))
