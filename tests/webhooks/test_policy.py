"""webhooks.md sections 1 and 2, errors.md section 4."""

import pytest

from twimlrunner.webhooks.policy import (
    Failure,
    Follow,
    GiveUp,
    Overrides,
    Retry,
    decide,
    judge_delivery,
    parse_overrides,
    redirect,
    retry_pause,
    timed_out,
)


@pytest.mark.parametrize(
    ("fragment", "field", "value", "problems"),
    [
        ("", "connect_timeout", 5.0, []),
        ("", "read_timeout", 15.0, []),
        ("", "total_timeout", 15.0, []),
        ("", "retry_count", 1, []),
        ("", "retry_policy", {"ct"}, []),
        ("", "sni", True, []),
        ("ct=2000", "connect_timeout", 2.0, []),
        ("ct=99", "connect_timeout", 0.1, [0]),
        ("ct=10001", "connect_timeout", 10.0, [0]),
        ("rt=100", "read_timeout", 0.1, []),
        ("rt=15001", "read_timeout", 15.0, [0]),
        ("tt=3000", "total_timeout", 3.0, []),
        ("tt=3000", "total_given", True, []),
        ("rt=3000", "total_given", False, []),
        ("rc=5", "retry_count", 5, []),
        ("rc=6", "retry_count", 5, [0]),
        ("rc=0", "retry_count", 0, []),
        ("rc=two", "retry_count", 1, [0]),
        ("rc=²", "retry_count", 1, [0]),
        ("rp=5xx,rt", "retry_policy", {"5xx", "rt"}, []),
        ("rp=5xx%2Crt", "retry_policy", {"5xx", "rt"}, []),
        ("rp=all", "retry_policy", {"all"}, []),
        ("rp=6xx", "retry_policy", {"ct"}, [11243]),
        ("rp=", "retry_policy", {"ct"}, [11243]),
        ("sni=n", "sni", False, []),
        ("sni=maybe", "sni", True, [0]),
        ("e=dublin,ashburn", "sni", True, []),
        ("colour=red", "sni", True, [0]),
        ("ct=500&rc=2", "retry_count", 2, []),
    ],
)
def test_overrides(fragment, field, value, problems):
    found = parse_overrides(fragment)
    assert getattr(found, field) == value
    assert [problem.code for problem in found.problems] == problems


def test_defaults_come_from_the_configuration():
    defaults = Overrides(connect_timeout=1.0, total_timeout=8.0)
    found = parse_overrides("rc=2", defaults)
    assert (found.connect_timeout, found.total_timeout, found.retry_count) == (1.0, 8.0, 2)


ALL_OF_THEM = ["4xx", "5xx", "ct", "rt"]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (404, "4xx"),
        (500, "5xx"),
        (Failure.CONNECT_TIMEOUT, "ct"),
        (Failure.CONNECT_REFUSED, "ct"),
        (Failure.DNS, "ct"),
        (Failure.NETWORK, "ct"),
        (Failure.READ_TIMEOUT, "rt"),
        (304, None),
        (Failure.TOTAL_TIMEOUT, None),
        (Failure.VIOLATION, None),
        (Failure.TLS_UNTRUSTED, None),
        (Failure.BODY_TOO_LARGE, None),
        (Failure.EGRESS, None),
    ],
)
@pytest.mark.parametrize("policy", ALL_OF_THEM)
def test_which_outcomes_are_retried(outcome, kind, policy):
    one = decide(1, outcome, 0.0, Overrides(retry_policy=frozenset({policy})))
    every = decide(1, outcome, 0.0, Overrides(retry_policy=frozenset({"all"})))
    assert isinstance(one, Retry) == (kind == policy)
    assert isinstance(every, Retry) == (kind is not None)


@pytest.mark.parametrize(
    ("attempt", "elapsed", "count", "retried"),
    [(1, 0, 1, True), (2, 0, 1, False), (1, 0, 0, False), (5, 0, 5, True), (6, 0, 5, False),
     (1, 15.0, 1, False), (1, 14.9, 1, True)],
)  # fmt: skip
def test_how_often_and_how_long_is_retried(attempt, elapsed, count, retried):
    verdict = decide(attempt, Failure.CONNECT_TIMEOUT, elapsed, Overrides(retry_count=count))
    assert isinstance(verdict, Retry) == retried


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Failure.DNS, 11210),
        (Failure.CONNECT_TIMEOUT, 11201),
        (Failure.CONNECT_REFUSED, 11202),
        (Failure.NETWORK, 11205),
        (Failure.READ_TIMEOUT, 11200),
        (Failure.TOTAL_TIMEOUT, 11203),
        (Failure.VIOLATION, 11206),
        (Failure.FATAL_VIOLATION, 11251),
        (Failure.TLS_HANDSHAKE, 11220),
        (Failure.TLS_NAME, 11235),
        (Failure.TLS_EXPIRED, 11236),
        (Failure.TLS_UNTRUSTED, 11237),
        (Failure.BODY_TOO_LARGE, 11750),
        (Failure.EMPTY_CHUNKED, 11770),
        (Failure.EGRESS, 59902),
        (500, 11200),
        (404, 11200),
    ],
)
def test_codes(outcome, code):
    verdict = decide(9, outcome, 0.0)
    assert isinstance(verdict, GiveUp)
    assert verdict.code == code
    assert verdict.message


def test_total_time_has_its_own_code_only_when_the_url_sets_it():
    assert timed_out(parse_overrides("tt=500")).code == 11203
    assert timed_out(parse_overrides("")).code == 11200


@pytest.mark.parametrize(
    ("status", "location", "followed", "expected"),
    [
        (301, "/x", 0, Follow(keep=False)),
        (302, "/x", 0, Follow(keep=False)),
        (303, "/x", 9, Follow(keep=False)),
        (307, "/x", 0, Follow(keep=True)),
        (308, "/x", 0, Follow(keep=True)),
        (302, "", 0, None),
        (300, "/x", 0, None),
        (304, "/x", 0, None),
        (200, "/x", 0, None),
    ],
)
def test_redirects(status, location, followed, expected):
    assert redirect(status, location, followed) == expected


def test_the_eleventh_redirect_is_not_followed():
    verdict = redirect(302, "/x", 10)
    assert isinstance(verdict, GiveUp)
    assert verdict.code == 11215


# --- promised deliveries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (200, 0, "delivered"),
        (204, 0, "delivered"),
        (200, 11770, "delivered"),  # chunked and empty: taken all the same
        (200, 11750, "delivered"),  # a large page
        (404, 11200, "refused"),
        (302, 11215, "refused"),
        (0, 11100, "refused"),
        (0, 11243, "refused"),
        (0, 59902, "refused"),
        (500, 11200, "again"),
        (503, 11750, "again"),
        (0, 11200, "again"),  # no answer in time
        (0, 11202, "again"),
        (0, 11210, "again"),
        (0, 11237, "again"),
    ],
)
def test_what_becomes_of_a_delivery(status, code, verdict):
    assert judge_delivery(status, code).value == verdict


@pytest.mark.parametrize(
    ("deliveries", "age", "pause"),
    [
        (1, 0, 5),
        (2, 5, 30),
        (3, 35, 120),
        (4, 155, 600),
        (5, 755, 1800),
        (6, 2555, 1800),
        (7, 4355, 1800),
        (8, 6155, None),
        (1, 86_400, 5),  # waited while this server was down: it has its chances
        (3, 86_400, 120),
        (4, 86_400, None),
        (31, 60, None),
    ],
)
def test_pauses_between_deliveries(deliveries, age, pause):
    assert retry_pause(deliveries, age) == pause
