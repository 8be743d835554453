"""Which domain, from which address (sip-domain.md sections 1 and 2)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from sipserver.calls.routing import contact_points_nowhere, domain_names, source_address
from sipserver.sip.errors import RemoteProtocolError
from tests.fakes.calls import incoming

PROXY = (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("uri", "own", "names"),
    [
        ("sip:1@PBX.example.net:5070;transport=udp", [], ["pbx.example.net"]),
        ("sip:1@192.0.2.1", [], ["192.0.2.1"]),
        ("sip:1@[2001:db8::1]", [], ["2001:db8::1"]),
        ("tel:+1555", [], []),
    ],
)
def test_request_uri_names_the_domain(uri: str, own: list[str], names: list[str]) -> None:
    assert domain_names(incoming(uri=uri).request, own) == names


def test_to_helps_when_the_request_uri_is_our_own_address() -> None:
    request = incoming(uri="sip:1@192.0.2.1").request
    request.headers.set("To", "<sip:1@pbx.example.net>")
    assert domain_names(request, ["192.0.2.1"]) == ["192.0.2.1", "pbx.example.net"]
    assert domain_names(request, ["192.0.2.9"]) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("remote", "header", "source"),
    [
        ("192.0.2.10", None, "192.0.2.10"),
        ("192.0.2.10", "203.0.113.5", "192.0.2.10"),  # not a configured proxy: not believed
        ("10.1.1.1", "203.0.113.5", "203.0.113.5"),
        ("10.1.1.1", "2001:db8::5", "2001:db8::5"),
        ("10.1.1.1", None, "10.1.1.1"),
        ("::ffff:192.0.2.10", None, "192.0.2.10"),
        ("fe80::1%eth0", None, "fe80::1"),
    ],
)
def test_source_address(remote: str, header: str | None, source: str) -> None:
    headers = [f"X-Source-IP: {header}"] if header else []
    assert source_address(incoming(headers=headers).request, remote, PROXY) == ip_address(source)


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Source-IP: nonsense"],
        ["X-Source-IP: "],
        # The caller's own beside the proxy's: nobody knows which is which.
        ["X-Source-IP: 203.0.113.5", "X-Source-IP: 198.51.100.7"],
        ["X-Source-IP: 203.0.113.5, 198.51.100.7"],
    ],
)
def test_unreadable_address_of_a_proxy_is_refused(headers: list[str]) -> None:
    request = incoming(headers=headers).request
    with pytest.raises(RemoteProtocolError):
        source_address(request, "10.1.1.1", PROXY)


@pytest.mark.parametrize(
    ("contact", "source", "warned"),
    [
        ("<sip:alice@127.0.0.1:5060>", "192.0.2.10", True),
        ("<sip:alice@localhost>", "192.0.2.10", True),
        ("<sip:alice@[::1]>", "192.0.2.10", True),
        ("<sip:alice@192.168.1.5>", "192.0.2.10", False),
        ("<sip:alice@127.0.0.1>", "127.0.0.1", False),  # it is on this machine
    ],
)
def test_contact_that_points_to_localhost(contact: str, source: str, warned: bool) -> None:
    request = incoming().request
    request.headers.set("Contact", contact)
    assert contact_points_nowhere(request, source) is warned
