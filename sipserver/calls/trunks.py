"""Which trunks carry a number, in which order, and how the number is written for each. Pure.

Nothing is allowed unless a rule of a trunk says so: a stolen password or a careless application
must not ring numbers that nobody thought of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from sipdomains.policy import TrunkPolicy, TrunkRulePolicy

BAD_NUMBER = 13223
NOT_ALLOWED = 13227

_PUNCTUATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
# What may stand in From of a trunk: E.164 or an extension, no service codes.
_CALLER_NUMBER = re.compile(r"\+?[0-9]{2,20}")


class Weighted(Protocol):
    """Lower ``priority`` first; ``weight`` is the share among equals."""

    @property
    def priority(self) -> int: ...

    @property
    def weight(self) -> int: ...


W = TypeVar("W", bound=Weighted)


class Route(NamedTuple):
    """``number`` is written as the trunk wants it."""

    trunk: TrunkPolicy
    number: str


class NoRoute(NamedTuple):
    """No trunk may carry the number: the reason, and what an operator would have to add."""

    message: str


def normalise(text: str) -> str | None:
    """The number without blanks and punctuation; None when it is none. ``+``, ``*`` and ``#``
    stay."""
    number = _PUNCTUATION.sub("", text)
    return number if _NUMBER.fullmatch(number) else None


def is_caller_number(text: str) -> bool:
    return _CALLER_NUMBER.fullmatch(text) is not None


def routes(
    number: str, trunks: Sequence[TrunkPolicy], draw: Callable[[], float]
) -> list[Route] | NoRoute:
    """The trunks to try in turn for a normalised number. ``draw`` returns 0 up to 1."""
    carrying: dict[str, Route] = {}
    objections: list[str] = []
    for trunk in trunks:
        rule = _longest(number, trunk.rules)
        if rule is None:
            objections.append(f"{trunk.name}: no rule fits")
        elif not rule.allow:
            objections.append(
                f"{trunk.name}: denied by the rule for {rule.prefix or 'all numbers'}"
            )
        elif written := _written(number, rule):
            carrying[trunk.sid] = Route(trunk, written)
        else:
            objections.append(f"{trunk.name}: nothing is left of the number after stripping")
    if not carrying:
        return NoRoute(_explanation(number, objections))
    chosen = [trunk for trunk in trunks if trunk.sid in carrying]
    return [carrying[trunk.sid] for trunk in in_order(chosen, draw)]


def in_order(entries: Sequence[W], draw: Callable[[], float]) -> list[W]:
    """By priority; within one, drawn by weight (RFC 2782: weight 0 seldom comes first)."""
    waiting = sorted(entries, key=lambda entry: (entry.priority, entry.weight))
    ordered: list[W] = []
    while waiting:
        group = [entry for entry in waiting if entry.priority == waiting[0].priority]
        point = int(draw() * (sum(entry.weight for entry in group) + 1))
        for entry in group:
            point -= entry.weight
            if point <= 0:
                break
        ordered.append(entry)
        waiting.remove(entry)
    return ordered


def _longest(number: str, rules: Sequence[TrunkRulePolicy]) -> TrunkRulePolicy | None:
    fitting = [rule for rule in rules if number.startswith(rule.prefix)]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)


def _written(number: str, rule: TrunkRulePolicy) -> str:
    written = rule.prepend + number[rule.strip :]
    return written if _NUMBER.fullmatch(written) else ""


def _explanation(number: str, objections: Sequence[str]) -> str:
    if not objections:
        return f"{number} cannot be dialled: the account has no trunk that is switched on."
    wanted = number[:3]
    return (
        f"{number} may not be dialled by any trunk ({'; '.join(objections)}). If it should be, "
        f"give a trunk a rule that allows a prefix of it, such as {wanted}."
    )
