"""What failures are called, what is retried and which redirects are followed. Pure.

Sources: webhooks.md sections 1 and 2, errors.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

URL_INVALID = 11100
FETCH_FAILED = 11200
TOO_MANY_REDIRECTS = 11215
RETRY_POLICY_INVALID = 11243
INTERNAL_FAILURE = 12400
# Conditions of this server without a code of the vendor (errors.md: 59900 and above).
BROKER_UNAVAILABLE = 59901
EGRESS_DENIED = 59902
OVERLOADED = 59903

MAX_REDIRECTS = 10
MAX_BODY = 64 * 1024


class Failure(Enum):
    """How an HTTP attempt can fail before there is an answer to judge: (code, in words)."""

    DNS = (11210, "host name does not resolve")
    CONNECT_TIMEOUT = (11201, "connection timed out")
    CONNECT_REFUSED = (11202, "connection refused")
    NETWORK = (11205, "network failure")
    READ_TIMEOUT = (11200, "no answer in time")
    TOTAL_TIMEOUT = (11203, "total time exceeded")
    VIOLATION = (11206, "not valid HTTP")
    FATAL_VIOLATION = (11251, "fatal protocol violation")
    TLS_HANDSHAKE = (11220, "TLS handshake failed")
    TLS_NAME = (11235, "certificate is for another name")
    TLS_EXPIRED = (11236, "certificate has expired or is not yet valid")
    TLS_UNTRUSTED = (11237, "certificate is not trusted")
    BODY_TOO_LARGE = (11750, "answer is larger than 64 kB")
    EMPTY_CHUNKED = (11770, "chunked answer with an empty body")
    EGRESS = (EGRESS_DENIED, "address not allowed by the outbound network policy")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]


_CONNECT_FAILURES = frozenset(
    {Failure.CONNECT_TIMEOUT, Failure.CONNECT_REFUSED, Failure.NETWORK, Failure.DNS}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something odd in a URL's fragment: a code of errors.md, 0 for a mere warning."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """Connection settings of one URL (webhooks.md section 2). Times in seconds."""

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    total_given: bool = False
    retry_count: int = 1
    retry_policy: frozenset[str] = frozenset({"ct"})
    sni: bool = True
    problems: tuple[Problem, ...] = field(default=())


_RANGES = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}
_RETRIABLE = frozenset({"4xx", "5xx", "ct", "rt", "all"})
DEFAULTS = Overrides()


def parse_overrides(fragment: str, defaults: Overrides = DEFAULTS) -> Overrides:
    """The settings in the text behind ``#``. What cannot be used is reported and left out."""
    if not fragment:
        return defaults
    values: dict[str, float] = {}
    problems: list[Problem] = []
    policy = defaults.retry_policy
    sni = defaults.sni
    for part in fragment.split("&"):
        key, _, text = part.partition("=")
        text = unquote(text)
        match key:
            case "ct" | "rt" | "tt" | "rc":
                _number(key, text, values, problems)
            case "rp":
                names = frozenset(name.strip().lower() for name in text.split(","))
                if names <= _RETRIABLE:
                    policy = names
                else:
                    unknown = ", ".join(sorted(names - _RETRIABLE))
                    problems.append(
                        Problem(RETRY_POLICY_INVALID, f"retry policy {unknown!r} is unknown")
                    )
            case "sni" if text in ("y", "n"):
                sni = text == "y"
            case "e":
                pass  # there is one edge: this server
            case "":
                pass
            case _:
                problems.append(Problem(0, f"connection override {part!r} is ignored"))
    return Overrides(
        connect_timeout=values.get("ct", defaults.connect_timeout),
        read_timeout=values.get("rt", defaults.read_timeout),
        total_timeout=values.get("tt", defaults.total_timeout),
        total_given="tt" in values,
        retry_count=int(values.get("rc", defaults.retry_count)),
        retry_policy=policy,
        sni=sni,
        problems=tuple(problems),
    )


def _number(key: str, text: str, values: dict[str, float], problems: list[Problem]) -> None:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        problems.append(Problem(0, f"connection override {key}={text!r} is not a number"))
        return
    low, high = _RANGES[key]
    value = min(max(int(text), low), high)
    if value != int(text):
        problems.append(Problem(0, f"connection override {key}={text} is cut to {value}"))
    values[key] = value if key == "rc" else value / 1000


# --- after an attempt --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the same request again, at once."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The logical request has failed."""

    code: int
    message: str


Outcome = Failure | int
"""Of an attempt that brought no usable answer: a Failure, or the HTTP status (not 2xx, 3xx)."""


def decide(
    attempt: int, outcome: Outcome, elapsed: float, overrides: Overrides = DEFAULTS
) -> Retry | GiveUp:
    """After the ``attempt``-th try (from 1) ended ``elapsed`` seconds after the first began.

    The method does not matter: each retry carries the same idempotency token
    (webhooks.md section 2), so a POST is repeated as readily as a GET.
    """
    if (
        attempt <= overrides.retry_count
        and elapsed < overrides.total_timeout
        and _retriable(outcome, overrides.retry_policy)
    ):
        return Retry()
    if isinstance(outcome, Failure):
        return GiveUp(outcome.code, outcome.words)
    return GiveUp(FETCH_FAILED, f"HTTP status {outcome}")


def _retriable(outcome: Outcome, policy: frozenset[str]) -> bool:
    if isinstance(outcome, int):
        kind = f"{outcome // 100}xx"
    elif outcome in _CONNECT_FAILURES:
        kind = "ct"
    elif outcome is Failure.READ_TIMEOUT:
        kind = "rt"
    else:
        return False
    return kind in policy or ("all" in policy and kind in _RETRIABLE)


def timed_out(overrides: Overrides) -> Failure:
    """What the end of the whole time is: 11203 only for a limit that the URL itself sets."""
    return Failure.TOTAL_TIMEOUT if overrides.total_given else Failure.READ_TIMEOUT


@dataclass(frozen=True, slots=True)
class Follow:
    """Request the Location; ``keep`` the method and the form, or else GET without parameters."""

    keep: bool


_REDIRECTS = {301: False, 302: False, 303: False, 307: True, 308: True}


def redirect(
    status: int, location: str, followed: int, limit: int = MAX_REDIRECTS
) -> Follow | GiveUp | None:
    """What a 3xx answer asks for after ``followed`` redirects; None when it is not a redirect."""
    if status not in _REDIRECTS or not location:
        return None
    if followed >= limit:
        return GiveUp(TOO_MANY_REDIRECTS, f"more than {limit} redirects")
    return Follow(keep=_REDIRECTS[status])


# --- promised deliveries (status callbacks) ------------------------------------------------------

# errors.md section 4: the callback could not be sent at all, was given up, was answered 4xx or 5xx.
CALLBACK_INTERNAL = 15000
CALLBACK_EXPIRED = 15002
CALLBACK_ANSWERED_ERROR = 15003

RETRY_PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0)
MAX_AGE = 7200.0
MIN_DELIVERIES = 4  # also of what has waited for long because this server was down
MAX_DELIVERIES = 30  # of what kills each worker that takes it on


class Verdict(Enum):
    """What became of one delivery of a promised callback."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    AGAIN = "again"


_HOPELESS = frozenset({URL_INVALID, RETRY_POLICY_INVALID, EGRESS_DENIED})


def judge_delivery(status: int, code: int) -> Verdict:
    """``status`` is the HTTP status of the last attempt, 0 without one; ``code`` the error.

    The status is all that counts: whatever the body is, the application has taken a callback that
    it answered with 2xx. 3xx (that led nowhere) and 4xx do not get better by asking again.
    """
    if not code or 200 <= status < 300:
        return Verdict.DELIVERED
    if 300 <= status < 500 or code in _HOPELESS:
        return Verdict.REFUSED
    return Verdict.AGAIN


def retry_pause(deliveries: int, age: float) -> float | None:
    """Seconds until the next delivery, after the ``deliveries``-th (from 1) failed when the
    message was ``age`` seconds old; None: give it up."""
    pause = RETRY_PAUSES[min(deliveries, len(RETRY_PAUSES)) - 1]
    late = deliveries >= MIN_DELIVERIES and age + pause > MAX_AGE
    if late or deliveries > MAX_DELIVERIES:
        return None
    return pause
