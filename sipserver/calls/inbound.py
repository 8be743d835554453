"""InboundSession: a leg that came in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sipdomains.contracts import CallOpened
from sipdomains.policy import DomainPolicy
from sipserver.calls.environment import Environment
from sipserver.calls.routing import addressed_host
from sipserver.calls.session import CallSession
from sipserver.sip.events import IncomingInvite
from sipserver.sip.message import Request
from sipserver.sip.uri import SipUri
from twimlrunner.webhooks.request import CallFacts, header_parameters


@dataclass(slots=True)
class Facts:
    """What was learned at intake; written once, before the row is opened."""

    policy: DomainPolicy
    addressed: str
    source: str
    username: str


class InboundSession(CallSession):
    """``acked`` resolves with the body of the ACK to our 2xx."""

    direction = "inbound"
    hangup_cause = "caller-hangup"

    def __init__(self, env: Environment, invite: IncomingInvite) -> None:
        super().__init__(env, invite.usage, invite.flow)
        self.invite = invite
        self.request: Request = invite.request
        self.acked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.facts: Facts | None = None
        self.final_response_sent = False
        self.acked_media = False  # answered, acknowledged, and media flows

    @property
    def policy(self) -> DomainPolicy:
        """Only after intake has accepted the call."""
        if self.facts is None:
            raise RuntimeError("no facts before intake")
        return self.facts.policy

    @property
    def own_number(self) -> str:
        uri = self.request.from_.uri
        return (uri.user or "") if isinstance(uri, SipUri) else ""

    def _account_sid(self) -> str:
        return self.facts.policy.account_sid if self.facts else ""

    def opening(self) -> CallOpened:
        """The row as it is when the call is taken (or refused)."""
        facts, request = self.facts, self.request
        policy = facts.policy if facts else None
        return CallOpened(
            call_sid=self.call_sid,
            account_sid=self._account_sid(),
            domain_sid=policy.domain_sid if policy else "",
            domain_name=policy.domain_name if policy else addressed_host(request),
            node=self.env.settings.node,
            at=self.env.clock.wall(),
            direction=self.direction,
            from_=str(request.from_.uri)[:255],
            to=request.uri_text[:255],
            status="ringing",
            sip={
                "call_id": request.call_id[:255],
                "from_tag": (request.from_.tag or "")[:255],
                "username": facts.username if facts else "",
                "source_ip": facts.source if facts else self.flow.remote[0],
                "source_port": self.flow.remote[1],
                "transport": self.flow.transport,
                "user_agent": (request.headers.get("User-Agent") or "")[:255],
                "headers": self._shown_headers(),
            },
            callback=self.callback_spec(),
        )

    def call_facts(self, status: str) -> CallFacts:
        facts, request = self.facts, self.request
        if facts is None:
            raise RuntimeError("no facts before intake")
        return CallFacts(
            call_sid=self.call_sid,
            account_sid=facts.policy.account_sid,
            from_=str(request.from_.uri),
            to=request.uri_text,
            status=status,
            direction=self.direction,
            sip_domain=facts.addressed,
            sip_domain_sid=facts.policy.domain_sid,
            sip_username=facts.username or None,
            sip_call_id=request.call_id,
            source_ip=facts.source,
            headers=tuple(request.headers.items()),
            extra_headers=facts.policy.extra_headers,
        )

    def _shown_headers(self) -> list[tuple[str, str]]:
        extra = self.facts.policy.extra_headers if self.facts else ()
        prefix = len("SipHeader_")
        return [
            (name[prefix:], value)
            for name, value in header_parameters(self.request.headers.items(), extra)
        ]
