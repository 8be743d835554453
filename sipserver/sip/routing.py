"""Where a message goes next (RFC 3261 8.1.2, 18.1, 18.2.2; RFC 3581)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from sipserver.sip import grammar
from sipserver.sip.events import Flow
from sipserver.sip.message import Request
from sipserver.sip.uri import SipUri, Uri

Target = tuple[str, str, int]
"""(transport, host name or address, port)."""

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Tell an IP address (no brackets) from a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def hop_of_uri(uri: SipUri) -> Target:
    """Return transport, host and port of a URI by its own parameters; ``maddr`` replaces the host
    (RFC 3261 19.1.1)."""
    transport = uri.transport or "udp"
    if uri.scheme.lower() == "sips":
        transport = "tls"
    elif transport not in _DEFAULT_PORTS:
        transport = "udp"
    host = uri.params.get("maddr") or uri.host
    return transport, host.strip("[]"), uri.port or _DEFAULT_PORTS[transport]


def hop_on(flow: Flow, target: Target) -> tuple[Flow | None, Target]:
    """Keep to the socket or connection of ``flow`` for a target it can reach."""
    transport, host, port = target
    if flow.transport != transport:
        return None, target
    if transport == "udp":
        # An address needs no resolving, and our own socket must stay the same for the peer.
        same_family = is_address(host) and (":" in host) == (":" in flow.remote[0])
        return (Flow("udp", flow.local, (host, port)) if same_family else None), target
    return (flow if flow.remote[0] == host else None), target


def hop_to_route(uri: Uri, flow: Flow) -> tuple[Flow | None, Target]:
    """Return the hop to the first Route. One that is no SIP URI cannot be gone to: the flow is what
    is left."""
    if not isinstance(uri, SipUri):
        return flow, (flow.transport, *flow.remote)
    return hop_on(flow, hop_of_uri(uri))


def remote_target(invite: Request) -> SipUri | None:
    """Return where requests in the dialog of an incoming INVITE are addressed: its Contact, or the
    From of an RFC 2543 caller that sent none (RFC 4475 3.4.1); None if that is no SIP URI."""
    contact = invite.contact if "Contact" in invite.headers else invite.from_
    return contact.uri if contact is not None and isinstance(contact.uri, SipUri) else None


def response_hop(request: Request, flow: Flow) -> tuple[Flow, Target]:
    """Return where responses to a request go that :func:`stamp_via` has marked.

    ``maddr`` in a Via is ignored on purpose: it is for multicast, and obeying it would let anyone
    aim our responses at a third party.
    """
    via = request.via
    port = via.port or _DEFAULT_PORTS[flow.transport]
    if flow.transport != "udp":
        return flow, (flow.transport, via.received or via.host, port)
    if via.rport_requested:
        return flow, ("udp", *flow.remote)
    host = flow.remote[0]
    return Flow("udp", flow.local, (host, port)), ("udp", host, port)


def stamp_via(request: Request, flow: Flow) -> None:
    """Mark the top Via with the source (RFC 3261 18.2.1, RFC 3581 4)."""
    via = request.via
    stamped = via.with_source(*flow.remote)
    if stamped is not via:
        request.headers.replace_first_element("Via", str(stamped))
        request.headers.cached("via", lambda _headers: stamped)  # spares parsing it again


def via_for(transport: str, sent_by: tuple[str, int], branch: str) -> str:
    """Return the Via value of a request of ours. Responses are wanted at the source port."""
    host = grammar.format_host_port(*sent_by)
    return f"SIP/2.0/{transport.upper()} {host};branch={branch};rport"


def without_headers(uri: SipUri) -> SipUri:
    """Return what may stand in a Request-URI (RFC 3261 19.1.1)."""
    if uri.headers is None and uri.params.get("method") is None:
        return uri
    return replace(uri, headers=None, params=uri.params.without("method"))
