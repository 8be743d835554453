"""What a node takes over of the things that REST asks for, and what came of them. Pure (ADR 18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sipdomains.contracts import CALL_NOT_IN_PROGRESS, OriginatePlan
from sipdomains.policy import DomainPolicy

# Of a node's first event of a call that REST has created: what is told of it in the queue comes
# before.
FIRST_SEQ = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """A call to place. ``policy`` is that of the account, without a domain; ``callback`` {url,
    method, events} or empty; ``username`` and ``password`` answer a challenge of the far side."""

    call_sid: str
    sip_call_id: str
    policy: DomainPolicy
    plan: OriginatePlan
    callback: Mapping[str, Any]
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Command:
    """One change of a live call: ``kind`` and ``payload`` are those of ``contracts``."""

    id: int
    call_sid: str
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    requested_by: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command: ``error_code`` 0 means that it was applied, ``result`` tells how;
    else ``reason`` says why not. ``callback`` replaces that of the call's row when it is given."""

    result: Mapping[str, Any] = field(default_factory=dict)
    error_code: int = 0
    reason: str = ""
    callback: Mapping[str, Any] | None = None

    @property
    def applied(self) -> bool:
        return not self.error_code


def rejected(reason: str, code: int = CALL_NOT_IN_PROGRESS) -> Outcome:
    return Outcome(error_code=code, reason=reason)
