"""Calls that REST creates: the same leg as Dial's, and a document of its own once it is answered.

Rules: rest-api.md section 3; sip-domain.md section 8 for targets and the caller ID.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from sipdomains.contracts import OriginatePlan
from sipdomains.live import Order
from sipdomains.policy import DomainPolicy, phone_number
from sipserver.calls import api_recording, destinations
from sipserver.calls.control import LiveCall
from sipserver.calls.destinations import Destinations, Undialable
from sipserver.calls.environment import Environment
from sipserver.calls.office import Office
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.outgoing import run_leg
from sipserver.calls.ports import DirectoryUnavailable
from sipserver.calls.programs import run_programs
from sipserver.calls.termination import Termination
from sipserver.sip.target import InvalidTarget, is_caller_id, parse_target
from twimlrunner.engine.ports import CallbackTarget, DialTarget, DialUri, DocumentRequest
from twimlrunner.twiml.redact import without_passwords

DIRECTION = "outbound-api"
ACCOUNT_INACTIVE = 10001
BAD_CALLER_ID = 13214
_CLIENT = "client:"


def originate(order: Order, office: Office, env: Environment) -> OutboundSession:
    """Start the leg; it runs by itself from here on."""
    plan = order.plan
    policy = replace(
        order.policy,
        max_call_seconds=min(plan.time_limit, order.policy.max_call_seconds),
        voice_fallback_url=plan.fallback_url,
        voice_fallback_method=plan.fallback_method,
    )
    leg = OutboundSession(
        env,
        policy,
        parent_sid="",
        from_=plan.from_,
        to=without_passwords(plan.to),
        callback=callback_target(order),
        direction=DIRECTION,
        call_sid=order.call_sid,
    )
    leg.sip_call_id = order.sip_call_id
    leg.first = document(plan.url, plan.method, plan.twiml, "url")
    call = LiveCall(leg, office)

    async def locate() -> Destinations | Undialable:
        return await _locate(order, leg)

    async def program() -> Termination:
        timer.cancel()
        return await run_programs(leg, call, leg.first, lambda: _opening(plan, call))

    def give_up() -> None:
        if not leg.answered:
            leg.release("ring-timeout")

    timer = office.later(plan.timeout + env.settings.ring_grace_seconds, give_up)
    leg.done.add_done_callback(lambda _: timer.cancel())
    office.start(leg, run_leg(leg, call, locate, office, near=None, program=program))
    return leg


def document(url: str, method: str, twiml: str, why: str) -> DocumentRequest:
    """What REST wants a call to run."""
    if url:
        return DocumentRequest(url, method, why)
    return DocumentRequest("", method, why, inline=twiml)


def callback_target(order: Order) -> CallbackTarget | None:
    wanted = order.callback
    if not wanted.get("url"):
        return None
    events = tuple(wanted.get("events") or ("completed",))
    return CallbackTarget(wanted["url"], wanted.get("method", "POST"), events)


async def _opening(plan: OriginatePlan, call: LiveCall) -> None:
    """Between the answer and the first document."""
    if plan.recording is not None:
        await api_recording.record_call(call.session, asdict(plan.recording))
    if plan.send_digits:
        await call.send_digits(plan.send_digits)


# --- where it leads -----------------------------------------------------------------------------


async def _locate(order: Order, leg: OutboundSession) -> Destinations | Undialable:
    env, policy = leg.env, order.policy
    if not policy.account_active:
        return Undialable(ACCOUNT_INACTIVE, "The account is suspended or closed.", 0)
    target = _target(order)
    if target is None:
        message = f"Client {order.plan.to!r}: say whose, as client:user@domain."
        return Undialable(destinations.UNKNOWN_DOMAIN, message, 0)
    try:
        leg.caller_id, host = await _caller(order.plan, policy, leg)
    except DirectoryUnavailable as error:
        return Undialable(12400, f"The database does not answer: {error}", 0)
    return await destinations.destinations(
        target,
        policy=replace(leg.policy, domain_name=host),
        caller_id=leg.caller_id,
        directory=env.directory,
        sip=env.sip,
        node=env.settings.node,
        sip_ports=env.settings.sip_ports,
        random=env.random,
    )


def _target(order: Order) -> DialTarget | None:
    """The noun that ``To`` stands for; None for a client of an account with several domains."""
    to = order.plan.to
    lower = to.lower()
    if lower.startswith(("sip:", "sips:")):
        return DialTarget("sip", "", uris=(DialUri(to, order.username, order.password),))
    if lower.startswith(_CLIENT):
        name = to[len(_CLIENT) :]
        domain = order.policy.only_domain
        if "@" not in name and not domain:
            return None
        return DialTarget("client", name if "@" in name else f"{name}@{domain}")
    return DialTarget("number", to)


def phone_of(order: Order) -> tuple[str, str] | None:
    """User and domain of ``To``, whose phones it may be for; None when it is for no such phone."""
    target = _target(order)
    if target is None or target.kind == "number":
        return None
    if target.kind == "client":
        user, _, host = target.address.partition("@")
        return user, host
    parsed = parse_target(target.uris[0].uri)
    if isinstance(parsed, InvalidTarget) or not parsed.uri.username:
        return None
    return parsed.uri.username, parsed.uri.host


async def _caller(
    plan: OriginatePlan, policy: DomainPolicy, leg: OutboundSession
) -> tuple[str, str]:
    """User and host of our From. A host is only shown if it is a domain of the account: nobody
    calls in another's name. Raises DirectoryUnavailable."""
    shown = plan.caller_id or plan.from_
    user, host = shown, ""
    if shown.lower().startswith(("sip:", "sips:")):
        parsed = parse_target(shown)
        if not isinstance(parsed, InvalidTarget):
            user, host = parsed.uri.username or "", parsed.uri.host
    elif shown.lower().startswith(_CLIENT):
        user, _, host = shown[len(_CLIENT) :].partition("@")
    else:
        user = phone_number(shown) or shown
    if not is_caller_id(user):
        message = f"{shown!r} cannot be sent as caller ID; the call is placed without one."
        leg.notify(BAD_CALLER_ID, "warning", message)
        user = ""
    domain = await leg.env.directory.domain(host) if host else None
    if domain is None or domain.account_sid != policy.account_sid:
        return user, policy.only_domain
    return user, domain.domain_name
