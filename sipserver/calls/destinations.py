"""Where a noun of Dial leads: the INVITEs to try, worked out before any is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sipdomains.policy import DomainPolicy, RegisteredContact, phone_number
from sipserver.calls.ports import Directory, DirectoryUnavailable, SipPort
from sipserver.calls.trunks import NoRoute, Route, routes, weighted
from sipserver.sip.events import Flow
from sipserver.sip.grammar import format_host_port
from sipserver.sip.target import InvalidTarget, SipTarget, aor, parse_target, wanted_headers
from sipserver.sip.uri import parse_sip_uri
from twimlrunner.engine.ports import DialTarget, DialUri


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INVITE. It goes over ``flow`` (a registered phone's), else to ``destination``
    (transport, address, port). ``from_host`` is the host part of our From, ``to`` the To URI.
    ``headers`` are those wanted by the URI or the document, already vetted. ``trunk`` is its name
    or empty. ``caller_id`` replaces the one of the call when it is not empty. ``follow`` tells
    whether a 3xx may be followed."""

    request_uri: str
    to: str
    from_host: str
    flow: Flow | None = None
    destination: tuple[str, str, int] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    trunk: str = ""
    caller_id: str = ""
    follow: bool = True


@dataclass(frozen=True, slots=True)
class Branch:
    """Attempts in order: the next one follows a 503, a timeout or a transport that fails."""

    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Destinations:
    """Branches that ring at the same time: the contacts of one user, else just one. ``issues`` are
    warnings (code, message)."""

    branches: tuple[Branch, ...]
    issues: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Undialable:
    """The noun leads nowhere: error code, words for the operator, the SIP status that this is
    reported as."""

    code: int
    message: str
    sip_status: int
    issues: tuple[tuple[int, str], ...] = ()


# --- working it out -----------------------------------------------------------------------------

UNKNOWN_DOMAIN = 32002
NOT_REGISTERED = 32009
TLS_NEEDED = 32209
OTHER_ACCOUNT = 32214
NO_USER = 32223
UNREACHABLE = 13254
BAD_SIP_URI = 13243
_NOT_REGISTERED_STATUS = 480


async def destinations(
    target: DialTarget,
    *,
    policy: DomainPolicy,
    caller_id: str,
    directory: Directory,
    sip: SipPort,
    node: str,
    sip_ports: Collection[int],
    random: Callable[[], float],
) -> Destinations | Undialable:
    """Where ``target`` leads (sip-domain.md sections 7 and 8). ``policy`` is of the domain that the
    call belongs to, ``node`` our boot id: only its TCP connections can be used; ``sip_ports``
    those that we listen on."""
    finder = _Finder(policy, caller_id, directory, sip, node, sip_ports, random)
    try:
        match target.kind:
            case "sip":
                return await finder.sip_noun(target)
            case "client":
                return await finder.client(target)
            case _:
                return await finder.number(target)
    except DirectoryUnavailable as error:
        return Undialable(12400, f"The database does not answer: {error}", 0)


@dataclass(frozen=True, slots=True)
class _Finder:
    policy: DomainPolicy
    caller_id: str
    directory: Directory
    sip: SipPort
    node: str
    sip_ports: Collection[int]
    random: Callable[[], float]

    # --- Sip --------------------------------------------------------------------------------

    async def sip_noun(self, target: DialTarget) -> Destinations | Undialable:
        """Several Uri are tried one after the other; a registered user's contacts all at once."""
        headers, found_issues = wanted_headers(target.headers)
        issues: list[tuple[int, str]] = list(found_issues)
        failure: Undialable | None = None
        attempts: list[Attempt] = []
        for uri in self._ordered(target.uris):
            found = await self._uri(uri, headers)
            issues += found.issues
            if isinstance(found, Undialable):
                failure = found
            elif len(found.branches) > 1 and not attempts:
                return Destinations(found.branches, tuple(issues))
            else:
                attempts += [each for branch in found.branches for each in branch.attempts]
        if attempts:
            return Destinations((Branch(tuple(attempts)),), tuple(issues))
        failure = failure or Undialable(BAD_SIP_URI, "Sip names no target.", 0)
        return Undialable(failure.code, failure.message, failure.sip_status, tuple(issues))

    def _ordered(self, uris: tuple[DialUri, ...]) -> list[DialUri]:
        ordered: list[DialUri] = []
        for priority in sorted({uri.priority for uri in uris}):
            equals = [uri for uri in uris if uri.priority == priority]
            ordered += weighted(equals, lambda uri: uri.weight, self.random)
        return ordered

    async def _uri(
        self, uri: DialUri, headers: tuple[tuple[str, str], ...]
    ) -> Destinations | Undialable:
        parsed = parse_target(uri.uri)
        if isinstance(parsed, InvalidTarget):
            return Undialable(parsed.code, parsed.message, 0)
        issues = tuple((issue.code, issue.message) for issue in parsed.issues)
        wanted = (*parsed.headers, *headers)
        own = None
        if parsed.uri.port is None or parsed.uri.port in self.sip_ports:
            # At another port of an address of ours somebody else listens.
            own = await self.directory.domain(parsed.uri.host)
        if own is not None:
            found = await self._registered(own, parsed.uri.username or "", wanted, parsed.secure)
        else:
            found = await self._elsewhere(uri, parsed, wanted)
        if isinstance(found, Undialable):
            return Undialable(found.code, found.message, found.sip_status, issues)
        return Destinations(found.branches, issues)

    async def _elsewhere(
        self, uri: DialUri, parsed: SipTarget, headers: tuple[tuple[str, str], ...]
    ) -> Destinations | Undialable:
        try:
            places = await self.sip.resolve(parsed.uri, secure=parsed.secure)
        except OSError as error:
            return Undialable(UNREACHABLE, f"{parsed.uri.host} cannot be reached: {error}", 0)
        text = str(parsed.uri)
        attempts = [
            Attempt(
                request_uri=text,
                to=text,
                from_host=self.policy.domain_name,
                destination=place,
                headers=headers,
                username=uri.username,
                password=uri.password,
            )
            for place in places
        ]
        return Destinations((Branch(tuple(attempts)),))

    # --- registered users -------------------------------------------------------------------

    async def _registered(
        self,
        domain: DomainPolicy,
        user: str,
        headers: tuple[tuple[str, str], ...],
        secure: bool,
    ) -> Destinations | Undialable:
        name = domain.domain_name
        if domain.account_sid not in (self.policy.account_sid, self.policy.account_parent_sid):
            return Undialable(OTHER_ACCOUNT, f"The domain {name} is another account's.", 403)
        if not user:
            return Undialable(NO_USER, f"Nobody of {name} is named: the URI has no user part.", 404)
        everywhere = await self.directory.contacts(domain.domain_sid, user)
        # A TCP connection is of one node, and of one start of it.
        contacts = [
            contact
            for contact in everywhere
            if contact.transport == "udp" or contact.node == self.node
        ]
        if not contacts:
            message = f"{user} is not registered at {name}."
            if everywhere:
                message = f"{user} is registered at {name} by connections to another node only."
            return Undialable(NOT_REGISTERED, message, _NOT_REGISTERED_STATUS)
        if secure:
            contacts = [contact for contact in contacts if contact.transport == "tls"]
            if not contacts:
                return Undialable(TLS_NEEDED, f"No phone of {user} registered over TLS.", 403)
        to = aor(user, name)
        return Destinations(
            tuple(Branch((self._to_contact(contact, to, domain, headers),)) for contact in contacts)
        )

    def _to_contact(
        self,
        contact: RegisteredContact,
        to: str,
        domain: DomainPolicy,
        headers: tuple[tuple[str, str], ...],
    ) -> Attempt:
        """Over the flow that the phone registered by: that goes through its NAT."""
        return Attempt(
            request_uri=contact.contact_uri,
            to=to,
            from_host=domain.domain_name,
            flow=Flow(contact.transport, contact.local, contact.received, contact.connection),
            headers=headers,
            follow=False,
        )

    async def client(self, target: DialTarget) -> Destinations | Undialable:
        """A Client is a registered user: of the domain named after @, else of the call's."""
        headers, issues = wanted_headers(target.headers)
        user, _, host = target.address.partition("@")
        domain = await self.directory.domain(host) if host else self.policy
        if domain is None:
            return Undialable(UNKNOWN_DOMAIN, f"{host} is no domain of this server.", 404)
        found = await self._registered(domain, user, headers, secure=False)
        told = (*issues, *found.issues)
        if isinstance(found, Undialable):
            return Undialable(found.code, found.message, found.sip_status, told)
        return Destinations(found.branches, told)

    # --- Number -----------------------------------------------------------------------------

    async def number(self, target: DialTarget) -> Destinations | Undialable:
        trunks = await self.directory.trunks(self.policy.account_sid)
        found = routes(target.address, trunks, self.random)
        if isinstance(found, NoRoute):
            return Undialable(found.code, found.message, 0)
        attempts: list[Attempt] = []
        issues: list[tuple[int, str]] = []
        for route in found:
            try:
                attempts += await self._by_trunk(route)
            except OSError as error:
                issues.append((UNREACHABLE, f"Trunk {route.trunk.name}: {error}"))
        if not attempts:
            message = f"No trunk for {target.address} can be reached."
            return Undialable(UNREACHABLE, message, 0, tuple(issues))
        return Destinations((Branch(tuple(attempts)),), tuple(issues))

    async def _by_trunk(self, route: Route) -> list[Attempt]:
        """Raises OSError."""
        trunk = route.trunk
        transport = f";transport={trunk.transport}" if trunk.transport else ""
        host = format_host_port(trunk.host, trunk.port)
        uri = parse_sip_uri(f"sip:{host}{transport}")
        places = await self.sip.resolve(uri, trusted=True)
        # Digits, + * and # only: # is the one that a user part must escape.
        request_uri = f"sip:{route.number.replace('#', '%23')}@{host}"
        shown = self.caller_id if phone_number(self.caller_id) else trunk.caller_id
        return [
            Attempt(
                request_uri=request_uri,
                to=request_uri,
                from_host=trunk.from_host or trunk.host,
                destination=place,
                username=trunk.username,
                password=trunk.password,
                trunk=trunk.name,
                caller_id=shown,
                follow=False,  # a redirect would lead around the trunk's rules
            )
            for place in places
        ]
