"""Which trunks a number may go out by, and how it is written for each. Pure.

Deny by default: a number that no rule allows is not dialled (docs/operating.md, "Toll fraud").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sipdomains.policy import TrunkPolicy, phone_number

T = TypeVar("T")

BAD_NUMBER = 13223
NUMBER_DENIED = 13227


@dataclass(frozen=True, slots=True)
class Route:
    """``number`` as the trunk wants it."""

    trunk: TrunkPolicy
    number: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    code: int
    message: str


def routes(
    number: str, trunks: Sequence[TrunkPolicy], draw: Callable[[], float]
) -> list[Route] | NoRoute:
    """The trunks to try, best first: by priority, among equals by weight at random (RFC 2782).

    ``draw`` returns a random number from 0 up to 1.
    """
    plain = phone_number(number)
    if plain is None:
        return NoRoute(BAD_NUMBER, f"{number!r} is not a phone number.")
    if not trunks:
        return NoRoute(
            NUMBER_DENIED,
            f"{plain} cannot be dialled: the account has no trunk. Add one in the admin, with a "
            "rule that allows such numbers.",
        )
    allowed: list[Route] = []
    for trunk in trunks:
        rule = trunk.rule_for(plain)
        if rule is not None and rule.allow:
            allowed.append(Route(trunk, rule.prepend + plain[rule.strip :]))
    if not allowed:
        names = ", ".join(trunk.name for trunk in trunks)
        return NoRoute(
            NUMBER_DENIED,
            f"{plain} is denied: no rule of the trunks ({names}) allows it. Add a rule with a "
            "prefix that fits if such calls are wanted.",
        )
    return _ordered(allowed, draw)


def _ordered(routes: list[Route], draw: Callable[[], float]) -> list[Route]:
    ordered: list[Route] = []
    for priority in sorted({route.trunk.priority for route in routes}):
        equals = [route for route in routes if route.trunk.priority == priority]
        ordered += weighted(equals, lambda route: route.trunk.weight, draw)
    return ordered


def weighted(items: list[T], weight: Callable[[T], int], draw: Callable[[], float]) -> list[T]:
    """``items`` in an order drawn at random, heavier ones more likely in front; of weight 0 only
    when nothing else is left."""
    left = list(items)
    ordered: list[T] = []
    while left:
        total = sum(weight(item) for item in left)
        mark = draw() * total
        position = 0
        for position, item in enumerate(left):  # noqa: B007 - the position is what is wanted
            mark -= weight(item)
            if mark < 0:
                break
        ordered.append(left.pop(position))
    return ordered
