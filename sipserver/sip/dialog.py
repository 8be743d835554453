"""Dialogs (RFC 3261 12): who talks to whom, over which route, with which sequence numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sipserver.sip import routing
from sipserver.sip.headers import Headers
from sipserver.sip.message import Request, Response
from sipserver.sip.uri import NameAddr, SipUri

if TYPE_CHECKING:
    from sipserver.sip.events import Flow

DialogId = tuple[str, str, str]
"""(Call-ID, local tag, remote tag); an RFC 2543 peer's missing tag is empty (12.1.1)."""


class Dialog:
    """The state of one dialog. ``local`` and ``remote`` are complete From/To values.

    ``direct``: requests follow the flow and not the Contact. So when nothing stands between the
    peer and us, and, for UDP, when the peer asked for its source port (rport) or is behind NAT,
    its Contact naming another host than the packets came from.
    """

    __slots__ = (
        "call_id",
        "contact",
        "direct",
        "flow",
        "local",
        "local_cseq",
        "local_tag",
        "reliable",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str,
        remote_target: SipUri,
        route_set: tuple[NameAddr, ...],
        local_cseq: int,
        remote_cseq: int | None,
        flow: Flow,
        direct: bool,
        contact: str,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.local_tag = local_tag
        self.remote = remote
        self.remote_tag = remote_tag
        self.remote_target = remote_target
        self.route_set = route_set
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.flow = flow
        self.direct = direct
        self.contact = contact
        # CSeq of an INVITE of ours and RSeq of its last reliable provisional response (RFC 3262 4)
        self.reliable: tuple[int, int] | None = None

    @classmethod
    def of_request(
        cls, request: Request, target: SipUri, local_tag: str, flow: Flow, contact: str
    ) -> Dialog:
        """Make the server side's dialog (12.1.1). ``target`` is the request's Contact URI."""
        return cls(
            call_id=request.call_id,
            local=f"{request.headers.get('To')};tag={local_tag}",
            local_tag=local_tag,
            remote=request.headers.get("From") or "",
            remote_tag=request.from_.tag or "",
            remote_target=target,
            route_set=tuple(request.record_routes),
            local_cseq=0,
            remote_cseq=request.cseq.number,
            flow=flow,
            direct=_came_directly(request)
            and (
                flow.transport != "udp"
                or request.via.rport_requested
                or target.host != flow.remote[0]
            ),
            contact=contact,
        )

    @classmethod
    def of_response(
        cls, request: Request, response: Response, target: SipUri, flow: Flow, contact: str
    ) -> Dialog:
        """Make the client side's dialog (12.1.2). ``target`` is the response's Contact URI."""
        return cls(
            call_id=request.call_id,
            local=request.headers.get("From") or "",
            local_tag=request.from_.tag or "",
            remote=response.headers.get("To") or "",
            remote_tag=response.to.tag or "",
            remote_target=target,
            route_set=tuple(reversed(response.record_routes)),
            local_cseq=request.cseq.number,
            remote_cseq=None,
            flow=flow,
            direct="Route" not in request.headers
            and (flow.transport != "udp" or target.host != flow.remote[0]),
            contact=contact,
        )

    @property
    def id(self) -> DialogId:
        return (self.call_id, self.local_tag, self.remote_tag)

    def accepts(self, number: int) -> bool:
        """Take the CSeq of a request of the peer; false if it is out of order (12.2.2)."""
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Follow the Contact of a target refresh (12.2.1.2, 12.2.2)."""
        contact = message.contact
        if contact is not None and isinstance(contact.uri, SipUri):
            self.remote_target = contact.uri

    def next_hop(self) -> tuple[Flow | None, tuple[str, str, int]]:
        """Return where a request of ours goes first: (flow, target); the target is for when there
        is no flow or it is dead."""
        flow = self.flow
        if self.route_set:
            return routing.hop_to_route(self.route_set[0].uri, flow)
        transport, host, port = routing.hop_of_uri(self.remote_target)
        if self.direct:
            return flow, (flow.transport, host, port)
        return routing.hop_on(flow, (transport, host, port))

    def request(
        self,
        method: str,
        via: str,
        *,
        number: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Request:
        """Build a request in this dialog (12.2.1.1).

        ``number`` is the CSeq of an ACK; without it the next one is used up. A first route without
        ``lr`` is a strict router: it gets itself as Request-URI and the remote target as last one.
        """
        if number is None:
            self.local_cseq += 1
            number = self.local_cseq
        uri: SipUri = self.remote_target
        routes: Sequence[NameAddr] = self.route_set
        if routes and isinstance(routes[0].uri, SipUri) and routes[0].uri.params.get("lr") is None:
            uri = routing.without_headers(routes[0].uri)
            routes = (*routes[1:], NameAddr("", self.remote_target))
        fields = [
            ("Via", via),
            ("Max-Forwards", "70"),
            *(("Route", str(route)) for route in routes),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
        ]
        if method in ("INVITE", "UPDATE", "ACK", "REFER", "NOTIFY"):
            fields.append(("Contact", f"<{self.contact}>"))
        fields += headers
        if body and content_type:
            fields.append(("Content-Type", content_type))
        return Request(method, routing.without_headers(uri), Headers(fields), body)


def _came_directly(request: Request) -> bool:
    """Whether there is one Via only. Lower ones are nobody's business, so they are not parsed."""
    vias = request.headers.get_all("Via")
    return len(vias) == 1 and "," not in vias[0]
