"""REGISTER: who may, what it changes, and what is answered (sip-domain.md section 7)."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from sipdomains.contracts import NotificationRecord
from sipdomains.policy import CredentialHashes, DomainPolicy
from sipserver.calls import digest
from sipserver.calls.admission import RefusalBudget, SpentNonces
from sipserver.calls.environment import Environment
from sipserver.calls.ports import DirectoryUnavailable, Registrations
from sipserver.calls.routing import domain_names
from sipserver.sip.build import warning_value
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import IncomingRequest
from sipserver.sip.grammar import format_host_port
from sipserver.sip.message import Request
from sipserver.sip.registrar import RegisterOutcome, RegisterRate, aor_of, plan
from sipserver.sip.uri import SipUri

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refused:
    """``code`` of errors.md for the log, 0 for none; ``text`` for the operator and the Warning."""

    status: int
    code: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class Registrar:
    """One per node. ``counts`` are REGISTERs by the status they got."""

    def __init__(self, env: Environment, store: Registrations) -> None:
        self._env = env
        self._store = store
        # Strangers at one address must not keep the phone at another from registering.
        self._attempts = RegisterRate()
        self._rate = RegisterRate()
        self._spent = SpentNonces(env.settings.intake.nonce_seconds)
        self._budget = RefusalBudget()
        self.counts: Counter[int] = Counter()

    async def register(self, event: IncomingRequest) -> None:
        """Answer one REGISTER. Never raises for what the phone does."""
        request = event.request
        policy: DomainPolicy | None = None
        try:
            policy = await self._domain(event)
            outcome = await self._decide(event, policy)
        except RemoteProtocolError as error:
            outcome = _Refused(error.status_hint, 0, error.message)
        except DirectoryUnavailable as error:
            log.warning("REGISTER of %s: %s", event.flow.remote[0], error)
            outcome = _Refused(503, 59912, "The database does not answer.", _later(10))
        except Exception:
            log.exception("REGISTER of %s failed inside", event.flow.remote[0])
            outcome = _Refused(500, 0, "An internal failure; the server log has it.")
        if isinstance(outcome, RegisterOutcome) and outcome.status != 200:
            outcome = _Refused(outcome.status, outcome.code, outcome.reason, outcome.headers)
        if isinstance(outcome, _Refused):
            self._refuse(event, request, policy, outcome)
            return
        self.counts[outcome.status] += 1
        self._env.sip.respond(event.transaction, outcome.status, headers=outcome.headers)

    async def _domain(self, event: IncomingRequest) -> DomainPolicy | None:
        own = {*self._env.settings.intake.own_hosts, self._env.sip.local_host(event.flow)}
        for name in domain_names(event.request, own):
            policy = await self._env.directory.domain(name)
            if policy is not None:
                return policy
        return None

    async def _decide(
        self, event: IncomingRequest, policy: DomainPolicy | None
    ) -> RegisterOutcome | _Refused:
        request = event.request
        if policy is None:
            return _Refused(404, 32200, "No SIP domain of that name is set up here.")
        barred = _standing(policy, event.flow.transport)
        if barred is not None:
            return barred
        user, _ = aor_of(request)
        aor = f"{user}@{policy.domain_sid}"
        now, steady = self._env.clock.wall(), self._env.clock.monotonic()
        limited = self._attempts.refusal(f"{aor} {event.flow.remote[0]}", steady)
        if limited is not None:
            return limited
        stranger = await self._authenticate(request, policy, user, now)
        if stranger is not None:
            return stranger
        limited = self._rate.refusal(aor, steady)
        if limited is not None:
            return limited
        return await self._store.change(
            policy.domain_sid, user, lambda current: plan(request, current, now, event.flow)
        )

    async def _authenticate(
        self, request: Request, policy: DomainPolicy, user: str, now: float
    ) -> _Refused | None:
        """A phone may use a nonce again while it is fresh, if it counts on: the digest does not
        cover Contact, so a copy of its REGISTER could lead its calls elsewhere."""
        config = self._env.settings.intake

        async def known(username: str) -> CredentialHashes | None:
            return await self._env.directory.registration_credential(policy.domain_sid, username)

        checked = await digest.check(request, config, now, known)
        if checked.proof is digest.Proof.WRONG:
            return _Refused(403, 32202, "Wrong user name or password.")
        if checked.proof is digest.Proof.MISSING:
            return _challenge(request, config, now, stale=False)
        if checked.proof is digest.Proof.STALE or not self._spent.spend(
            checked.nonce_use, self._env.clock.monotonic()
        ):
            return _challenge(request, config, now, stale=True)
        if checked.username != user or _from_user(request) != user:
            return _Refused(
                403, 32106, "To and From must name the user that the credentials are for."
            )
        return None

    def _refuse(
        self,
        event: IncomingRequest,
        request: Request,
        policy: DomainPolicy | None,
        why: _Refused,
    ) -> None:
        env = self._env
        self.counts[why.status] += 1
        headers = list(why.headers)
        if why.status != 401:
            host = format_host_port(env.sip.local_host(event.flow), None)
            headers.append(("Warning", warning_value(399, host, why.text)))
        if why.code:
            headers.append(("X-Twilio-Error", f"{why.code} {why.text}"))
        env.sip.respond(event.transaction, why.status, headers=headers)
        source = event.flow.remote[0]
        if not why.code or not self._budget.spend(source, env.clock.monotonic()):
            return
        env.log.append(
            NotificationRecord(
                at=env.clock.wall(),
                code=why.code,
                level="warning",
                message=f"REGISTER of {_shown(request)} from {source} refused: {why.text}",
                account_sid=policy.account_sid if policy else "",
                request_method="",
                request_url=request.uri_text[:255],
            )
        )


def _standing(policy: DomainPolicy, transport: str) -> _Refused | None:
    name = policy.domain_name
    if not policy.account_active:
        return _Refused(403, 10003, "The account is suspended or closed.")
    if not policy.sip_registration:
        return _Refused(403, 32210, f"Registration is switched off for {name}.")
    if policy.secure and transport != "tls":
        return _Refused(403, 32209, f"{name} is secure: it takes TLS only.")
    if not policy.has_registration_credentials:
        return _Refused(403, 32212, f"No credential list is mapped to {name} for registration.")
    return None


def _challenge(
    request: Request, config: digest.DigestConfig, now: float, *, stale: bool
) -> _Refused:
    values = digest.challenges(request, config, now, stale=stale)
    asked = tuple(("WWW-Authenticate", value) for value in values)
    return _Refused(401, 0, "User name and password are needed.", asked)


def _from_user(request: Request) -> str:
    uri = request.from_.uri
    return uri.username if isinstance(uri, SipUri) else ""


def _shown(request: Request) -> str:
    try:
        user, domain = aor_of(request)
    except RemoteProtocolError:
        return "an unreadable address"
    return f"{user}@{domain}"


def _later(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)
