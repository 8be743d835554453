"""A day of an ordinary office in the call log, so that pictures show what an operator sees.

``fill()`` runs within a server's environment (``manage.py shell``) and needs the domains that
``pictures.py`` makes. The calls are drawn from a fixed seed, their times lie before now.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from sipdomains.models import Call, CallEvent, SipDomain, WebhookRequest
from sipserver.calls.termination import CAUSES

BUSIEST = 46  # calls of the busiest hour
NEWEST = timedelta(minutes=3)  # what is really called stands above
SHARES = {"pbx": 60, "hotline": 22, "doors": 10, "branch": 8}  # of the calls
ENDINGS = {
    "pbx": {"caller-hangup": 64, "document-ended": 24, "hangup-verb": 8, "canceled": 3,
            "bad-credentials": 1},
    "hotline": {"caller-hangup": 50, "document-ended": 40, "reject-busy": 10},
    "doors": {"document-ended": 97, "caller-hangup": 3},
    "branch": {"caller-hangup": 70, "document-ended": 24, "source-not-allowed": 6},
}  # fmt: skip
# Hours ago in which something was wrong, at which domain, and how much of it failed.
TROUBLE = {7: ("doors", "application-error", 0.7), 15: ("branch", "source-not-allowed", 0.9)}
PEOPLE = ("alice", "bob", "carol", "dora", "emil", "+493012345678", "+4989998877", "+390612345")
NOT_OURS = ("unknown-domain", "nowhere.example.net")


@dataclass
class _Made:
    call: Call
    rang_ms: float
    answer_ms: float
    webhook_ms: float


def fill(seed: int = 11) -> int:
    """How many calls there are then."""
    dice, now = random.Random(seed), timezone.now()
    domains = {one.domain_name.partition(".")[0]: one for one in SipDomain.objects.all()}
    made = [one for hour in range(24) for one in _hour(hour, now, domains, dice)]
    Call.objects.bulk_create(one.call for one in made)
    CallEvent.objects.bulk_create(event for one in made for event in _events(one))
    WebhookRequest.objects.bulk_create(_request(one) for one in made if _was_asked(one))
    return len(made)


def _hour(
    ago: int, now: datetime, domains: dict[str, SipDomain], dice: random.Random
) -> Iterator[_Made]:
    begin = now - timedelta(hours=ago + 1)
    # Two humps, before and after lunch, and little at night. The newest hour is mid-morning.
    clock = (10.5 - ago) % 24
    busy = math.exp(-(((clock - 10.5) / 2.4) ** 2)) + 0.8 * math.exp(-(((clock - 15) / 2.2) ** 2))
    for _ in range(max(1, round(BUSIEST * min(1.0, busy) * dice.uniform(0.85, 1.1)))):
        at = begin + timedelta(seconds=dice.uniform(0, 3600))
        if at > now - NEWEST:
            continue
        if dice.random() < 0.015:
            yield _call(at, *NOT_OURS, None, 1.0, dice)
            continue
        where = _drawn(SHARES, dice)
        cause = _drawn(ENDINGS[where], dice)
        trouble, wrong, share = TROUBLE.get(ago, ("", "", 0.0))
        if where == trouble and dice.random() < share:
            cause = wrong
        domain = domains[where]
        yield _call(at, cause, domain.domain_name, domain, 1 + 1.5 * busy, dice)


def _drawn(weights: dict[str, int], dice: random.Random) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def _call(
    at: datetime, cause: str, name: str, domain: SipDomain | None, load: float, dice: random.Random
) -> _Made:
    ending = CAUSES[cause]
    rang = 25 * load * dice.lognormvariate(0, 0.35)
    webhook = 14 * load * dice.lognormvariate(0, 0.5)
    answered = at + timedelta(milliseconds=rang + webhook) if ending.status == "completed" else None
    seconds = int(dice.lognormvariate(4.0, 0.9)) if answered else None
    lost = int(dice.expovariate(1 / (1 + 3 * load)))
    mos = round(4.4 - 0.02 * lost - abs(dice.gauss(0, 0.06 * load)), 2)
    media = {"codec": "PCMU", "packets_sent": 50 * (seconds or 0), "lost": lost,
             "packets_received": 50 * (seconds or 0), "jitter_ms": round(2 * load, 1),
             "mos": mos} if seconds else {}  # fmt: skip
    ended = (answered or at + timedelta(seconds=1)) + timedelta(seconds=seconds or 0)
    whose = f"{dice.choice(PEOPLE)}@{name}"
    call = Call(
        account_id=domain.account_id if domain else None, domain=domain, domain_name=name,
        node="picture", direction="inbound", from_uri=f"sip:{whose}",
        to_uri=f"sip:{dice.choice((100, 101, 110, 200, 300))}@{name}", status=ending.status,
        cause=cause, reason=ending.text, error_code=ending.code,
        sip_status=200 if answered else ending.sip_status, started_at=at, answered_at=answered,
        ended_at=ended, updated_at=ended, duration=seconds, sip_call_id=f"{dice.random()}@phone",
        source_ip="192.0.2.9", source_port=5060, transport="udp", media=media,
    )  # fmt: skip
    return _Made(call, rang, rang + webhook, webhook)


def _was_asked(one: _Made) -> bool:
    return one.call.cause == "application-error" or one.call.answered_at is not None


def _events(one: _Made) -> Iterator[CallEvent]:
    if not _was_asked(one):
        return
    moments = [("ringing", "ringing", one.rang_ms)]
    if one.call.answered_at is not None:
        moments.append(("answered", "in-progress", one.answer_ms))
    for seq, (kind, status, after) in enumerate(moments, 1):
        at = one.call.started_at + timedelta(milliseconds=after)
        yield CallEvent(call=one.call, seq=seq, at=at, kind=kind, status=status, data={})


def _request(one: _Made) -> WebhookRequest:
    failed = one.call.cause == "application-error"
    return WebhookRequest(
        request_id=one.call.sid, attempt=1, call=one.call, account_id=one.call.account_id,
        purpose="document", at=one.call.started_at, method="POST", url="https://app.example/voice",
        status=500 if failed else 200, duration_ms=one.webhook_ms,
        error_code=11200 if failed else 0,
    )  # fmt: skip
