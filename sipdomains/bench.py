"""What passes between the bench's page and the worker that runs it. Pure.

A bench run is replayed from its beginning at each step: the setup, the operator's moves and the
recorded answers of the application settle everything, and no request is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

MAX_DOCUMENT = 65_536  # characters of a pasted document
MAX_MOVES = 50
MAX_REQUESTS = 50
MAX_ENTRIES = 1000
MAX_STORED = 1_000_000  # bytes of all answers together
MAX_KEYS = 64
MAX_SECONDS = 3600

# What the run waits for.
KEYS, RECORD, DIAL, REFER = "keys", "record", "dial", "refer"


@dataclass(frozen=True, slots=True)
class BenchSetup:
    """What is run, and whose call it is to be. Either ``document``, with an optional ``base_url``
    that relative URLs in it count from, or ``url`` and ``method``. The rest is what a call to the
    domain would tell the application; without a domain the ``domain_*`` fields are empty."""

    account_sid: str
    call_sid: str
    document: str = ""
    base_url: str = ""
    url: str = ""
    method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    domain_sid: str = ""
    domain_name: str = ""
    from_: str = ""
    to: str = ""
    username: str = ""
    type_ahead: bool = False
    fail_with_503: bool = False
    verify_tls: bool = True
    public_url: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BenchSetup:
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Move:
    """What the operator lets happen where the run waits.

    ``do``: ``keys`` (``keys`` are typed), ``nothing`` (time passes), ``hangup`` (the caller goes),
    ``record`` (``seconds`` long, ended by ``how``: silence, key or hangup; ``keys`` the key),
    ``dial`` (``how``: completed, busy, no-answer or failed; ``seconds`` of talk),
    ``refer`` (``how``: accepted, busy or refused).
    """

    do: str
    keys: str = ""
    seconds: int = 0
    how: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Move:
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        return cls(**known)


# Which moves answer which question.
ANSWERS: dict[str, tuple[str, ...]] = {
    KEYS: ("keys", "nothing", "hangup"),
    RECORD: ("record", "hangup"),
    DIAL: ("dial", "hangup"),
    REFER: ("refer", "hangup"),
}
HOWS: dict[str, tuple[str, ...]] = {
    "record": ("silence", "key", "hangup"),
    "dial": ("completed", "busy", "no-answer", "failed"),
    "refer": ("accepted", "busy", "refused"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the transcript. ``at`` are seconds of the virtual call."""

    kind: str
    at: float
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchResult:
    """As far as the run has come after ``step`` moves. ``wants`` is what it waits for: ``kind`` of
    :data:`ANSWERS` and what the page needs to ask; empty when it has ended. ``replies`` are the
    recorded answers: ``reply`` (a FetchReply's fields) and ``attempts``. ``error`` ends the run
    for a reason of the bench itself."""

    step: int
    entries: list[dict[str, Any]]
    wants: dict[str, Any]
    replies: list[dict[str, Any]]
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
