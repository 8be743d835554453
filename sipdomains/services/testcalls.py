"""Test calls of operators: the order, once and encrypted; what came of it, for a while.

The password that the operator types is in no row, no log and no task: it waits for the worker in
one encrypted entry, which is gone as soon as that has read it.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings

from sipdomains.models.fields import cipher
from sipdomains.services import atwork, deskcache
from sipdomains.services.atwork import ORDER_SECONDS

KEEP_SECONDS = 3600
PER_MINUTE = 4
DEFAULT_SECONDS, MAX_SECONDS = 30, 120
MAX_DIGITS = 32
MAX_MESSAGES = 80

_ORDER, _STATE = "test-order", "test-call"

WAITING, CALLING, OVER = "waiting", "calling", "over"


class TooMany(Exception):
    """The user has asked for too many test calls within a minute."""


@dataclass(frozen=True, slots=True)
class Order:
    """``target`` is the SIP URI to call; seconds count from the answer."""

    id: str
    target: str
    call_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    digits: str = field(default="", repr=False)
    seconds: int = DEFAULT_SECONDS


@dataclass(frozen=True, slots=True)
class Progress:
    """``state`` waiting, calling or over. ``messages`` are (wall clock, data of a ``sip`` event) as
    the caller saw them; ``outcome`` what ended it: ``status reason ended_by why heard at``.
    ``ended_by`` "lost": nothing more was heard of the worker that placed it."""

    user: int
    domain_sid: str
    target: str
    call_id: str
    asked_at: float
    state: str = WAITING
    messages: tuple[tuple[float, dict[str, Any]], ...] = ()
    outcome: dict[str, Any] = field(default_factory=dict)


def order(
    user: int,
    domain_sid: str,
    target: str,
    *,
    username: str = "",
    password: str = "",
    digits: str = "",
    seconds: int = DEFAULT_SECONDS,
) -> str:
    """Lay it down for the worker; its id. Raises TooMany, CacheAway."""
    if not deskcache.spend("test-call", user, PER_MINUTE):
        raise TooMany(f"At most {PER_MINUTE} test calls a minute. Wait a little.")
    id_, call_id = deskcache.new_id(), f"test-{secrets.token_hex(12)}"
    wanted = Order(id_, target, call_id, username, password, digits, min(seconds, MAX_SECONDS))
    put(id_, Progress(user, domain_sid, target, call_id, time.time()))
    sealed = _cipher().encrypt(json.dumps(asdict(wanted)).encode())
    deskcache.put(_ORDER, id_, sealed, ORDER_SECONDS)
    return id_


def take(id_: str) -> Order | None:
    """The order, for once; None when it is gone or no key opens it."""
    sealed = deskcache.take(_ORDER, id_)
    if sealed is None:
        return None
    try:
        return Order(**json.loads(_cipher().decrypt(sealed)))
    except InvalidToken:
        return None


def progress(id_: str) -> Progress | None:
    stored: dict[str, Any] | None = deskcache.get(_STATE, id_)
    return Progress(**stored) if stored is not None else None


def seen(id_: str) -> Progress | None:
    """As pages show it: over as well when nobody works on it any more."""
    now = progress(id_)
    if now is None or now.state == OVER:
        return now
    why = atwork.given_up(id_, now.asked_at)
    if not why:
        return now
    by = "error" if why == atwork.NOBODY else "lost"
    return replace(now, state=OVER, outcome={"status": 0, "ended_by": by, "why": why})


def put(id_: str, now: Progress) -> None:
    deskcache.put(_STATE, id_, asdict(now), KEEP_SECONDS)


def _cipher() -> Any:
    return cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))
