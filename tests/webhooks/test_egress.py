"""The egress guard: no spelling and no form of an address gets round it."""

import asyncio

import pytest

from twimlrunner.webhooks import egress
from twimlrunner.webhooks.egress import (
    EgressDenied,
    EgressPolicy,
    HostUnknown,
    Resolver,
    denial,
    resolve_vetted,
    vet,
)

OPEN = EgressPolicy()
PUBLIC_ONLY = EgressPolicy(allow_private=False, allow_loopback=False)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("::ffff:169.254.169.254", "cloud metadata"),  # mapped
        ("::ffff:a9fe:a9fe", "cloud metadata"),
        ("::169.254.169.254", "cloud metadata"),  # compatible
        ("2002:a9fe:a9fe::1", "cloud metadata"),  # 6to4
        ("64:ff9b::a9fe:a9fe", "cloud metadata"),  # NAT64
        ("64:ff9b:1::a9fe:a9fe", "cloud metadata"),  # NAT64, local use
        ("2001:0:a9fe:a9fe::1", "cloud metadata"),  # Teredo server
        ("2001:0:c000:201::5601:5601", "cloud metadata"),  # Teredo client, inverted
        ("2001:470::5efe:a9fe:a9fe", "cloud metadata"),  # ISATAP
    ],
)
def test_denied_whatever_the_configuration(address, rule):
    everything = EgressPolicy.build(allow=["0.0.0.0/0", "::/0"])
    assert denial(address, OPEN) == rule
    assert denial(address, everything) == rule


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("2002:c0a8:101::1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("198.18.0.1", "private"),
    ],
)
def test_private_and_loopback_by_setting(address, rule):
    assert denial(address, PUBLIC_ONLY) == rule
    assert denial(address, OPEN) == ""


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_public_addresses_are_allowed(address):
    assert denial(address, PUBLIC_ONLY) == ""


def test_lists_beat_switches_and_deny_beats_allow():
    policy = EgressPolicy.build(
        allow_private=False, allow=["10.0.0.0/8"], deny=["10.9.0.0/16", "8.8.8.0/24"]
    )
    assert denial("10.1.1.1", policy) == ""
    assert denial("192.168.1.1", policy) == "private"
    assert denial("10.9.1.1", policy) == "denied by configuration"
    assert denial("::ffff:8.8.8.8", policy) == "denied by configuration"


def test_only_allowed_addresses_remain():
    assert vet("h", 80, ["10.0.0.1", "8.8.8.8", "::1"], PUBLIC_ONLY) == ["8.8.8.8"]
    with pytest.raises(EgressDenied, match=r"h is at 10\.0\.0\.1: private"):
        vet("h", 80, ["10.0.0.1", "::1"], PUBLIC_ONLY)


def test_ports():
    policy = EgressPolicy.build(ports=[443])
    assert vet("h", 443, ["8.8.8.8"], policy) == ["8.8.8.8"]
    with pytest.raises(EgressDenied, match="port 22"):
        vet("h", 22, ["8.8.8.8"], policy)


@pytest.mark.parametrize(
    "spelling", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "::1"]
)
async def test_other_spellings_of_loopback(spelling):
    with pytest.raises(EgressDenied):
        await resolve_vetted(spelling, 80, PUBLIC_ONLY)
    assert set(await resolve_vetted(spelling, 80, OPEN)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
async def test_unknown_names(name):
    with pytest.raises(HostUnknown):
        await resolve_vetted(name, 80, OPEN)


async def test_resolver_shares_and_remembers_lookups(monkeypatch):
    lookups = []

    async def resolve(host, port):
        lookups.append(host)
        await asyncio.sleep(0)
        if host == "gone":
            raise HostUnknown(host)
        return ["8.8.8.8", "127.0.0.1"]

    monkeypatch.setattr(egress, "resolve", resolve)
    resolver = Resolver(seconds=60)
    one, two = await asyncio.gather(
        resolver.resolve_vetted("h", 80, PUBLIC_ONLY), resolver.resolve_vetted("h", 80, OPEN)
    )
    assert (one, two) == (["8.8.8.8"], ["8.8.8.8", "127.0.0.1"])
    await resolver.resolve_vetted("h", 80, OPEN)
    assert lookups == ["h"]
    for _ in range(2):
        with pytest.raises(HostUnknown):
            await resolver.resolve_vetted("gone", 80, OPEN)
    assert lookups == ["h", "gone", "gone"]


async def test_a_cancelled_caller_leaves_the_lookup_to_others(monkeypatch):
    release = asyncio.Event()

    async def resolve(host, port):
        await release.wait()
        return ["8.8.8.8"]

    monkeypatch.setattr(egress, "resolve", resolve)
    resolver = Resolver()
    first = asyncio.create_task(resolver.resolve_vetted("h", 80, OPEN))
    second = asyncio.create_task(resolver.resolve_vetted("h", 80, OPEN))
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second == ["8.8.8.8"]
