"""From an INVITE to the domain it is for and the address it truly came from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.message import Request
from sipserver.sip.uri import SipUri

Network = IPv4Network | IPv6Network

# The header in which a trusted SIP proxy tells the true source address.
SOURCE_HEADER = "X-Source-IP"


def domain_names(request: Request, own_hosts: Collection[str]) -> list[str]:
    """Host names to look up, best first: the Request-URI's, then To's if the former is one of our
    own addresses (sip-domain.md section 1). Lower case, without port."""
    uri = request.uri
    if not isinstance(uri, SipUri):
        return []
    host = uri.host.lower()
    names = [host]
    if host in own_hosts:
        to = request.to.uri
        if isinstance(to, SipUri) and to.host.lower() != host:
            names.append(to.host.lower())
    return names


def addressed_host(request: Request) -> str:
    """The host that was dialled, for the log; empty for a URI without one."""
    uri = request.uri
    return uri.host.lower() if isinstance(uri, SipUri) else ""


def contact_points_nowhere(request: Request, source: str) -> bool:
    """Whether a caller that is not on this machine gave its own localhost as Contact: requests
    within the call then only reach it because we heed where it sends from."""
    contact = request.contact
    if contact is None or not isinstance(contact.uri, SipUri) or _is_loopback(source):
        return False
    return _is_loopback(contact.uri.host)


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Of a socket or header; IPv4-mapped IPv6 becomes IPv4, a zone is dropped."""
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def same_ip_version(one: str, other: str) -> bool:
    """Of two address literals. What the caller names in SDP must be reachable from our side."""
    return (":" in one) == (":" in other)


def source_address(
    request: Request, remote: str, trusted: Sequence[Network]
) -> IPv4Address | IPv6Address:
    """The datagram's source, or what a configured proxy says it was.

    Raises RemoteProtocolError when a trusted proxy sends an unreadable address: guessing there
    would let the proxy's own address pass an access list. So does a second header, for one of the
    two may be the caller's.
    """
    address = parse_address(remote)
    if address is None:
        raise RemoteProtocolError(f"source address {remote!r}")
    if not any(address in network for network in trusted):
        return address
    stated = request.headers.get_all(SOURCE_HEADER)
    if not stated:
        return address
    told = parse_address(stated[0].strip()) if len(stated) == 1 else None
    if told is None:
        raise RemoteProtocolError(f"{SOURCE_HEADER} {', '.join(stated)!r} is no address")
    return told
