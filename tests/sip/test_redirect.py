"""3xx: the row of sip-domain.md section 8."""

from __future__ import annotations

import pytest

from sipserver.sip.redirect import (
    MAX_REDIRECTS,
    MAX_TARGETS,
    Redirected,
    RedirectRefused,
    contact_hosts,
    follow,
    quality,
)
from sipserver.sip.uri import parse_params, parse_sip_uri
from tests.sip.messages import parse, request, response

TRIED = [parse_sip_uri("sip:bob@old.example.net")]


def moved(contact, status=302):
    extra = [("Contact", contact)] if contact else []
    return parse(response(request(), status, contact="", extra=extra))


def decide(contact, *, status=302, tried=TRIED, followed=0, **arguments):
    return follow(moved(contact, status), tried=tried, followed=followed, **arguments)


def targets(found):
    assert isinstance(found, Redirected)
    return [str(uri) for uri in found.targets]


def test_contacts_are_tried_by_q_and_then_in_order():
    found = decide("<sip:a@h>;q=0.2, <sip:b@h>, <sip:c@h>;q=0.2, <sip:d@h>;q=0.9")
    assert targets(found) == ["sip:b@h", "sip:d@h", "sip:a@h", "sip:c@h"]


@pytest.mark.parametrize("status", [300, 301, 302])
def test_these_are_followed(status):
    assert targets(decide("<sip:bob@new.example.net>", status=status)) == [
        "sip:bob@new.example.net"
    ]


def test_headers_and_method_of_a_contact_are_not_taken_over():
    found = decide("<sip:bob@h;method=BYE;transport=tcp?Route=%3Csip:evil%3E>")
    assert targets(found) == ["sip:bob@h;transport=tcp"]


@pytest.mark.parametrize(
    ("contact", "arguments", "words"),
    [
        ("<sip:b@h>", {"registered": True}, "registered endpoint"),
        ("<sip:b@h>", {"followed": MAX_REDIRECTS}, "More than 5 redirects"),
        ("<sip:b@h>", {"status": 305}, "305 is not followed"),
        ("<sip:b@h>", {"status": 380}, "380 is not followed"),
        ("<sip:b@Own.example.net.>", {"own_domains": {"own.example.net"}}, "domain of our own"),
        ("<tel:+15550100>", {}, "scheme tel is not SIP"),
        ("<https://example.net/>", {}, "scheme https is not SIP"),
        ("<sip:bob@OLD.example.net>", {}, "has been tried already"),
        ("", {}, "names no target"),
        ("<sip:b@>", {}, "Contact of the redirect"),
    ],
)
def test_these_are_refused(contact, arguments, words):
    found = decide(contact, **arguments)
    assert isinstance(found, RedirectRefused)
    assert words in found.message
    assert found.code == 32219


def test_one_good_target_is_enough():
    found = decide(
        "<tel:1>, <sip:bob@old.example.net>, <sip:b@own>, <sip:c@h>, <sip:c@h>",
        own_domains={"own"},
    )
    assert targets(found) == ["sip:c@h"]
    assert len(found.passed_over) == 4


def test_the_last_allowed_redirect_is_followed():
    assert targets(decide("<sip:b@h>", followed=MAX_REDIRECTS - 1)) == ["sip:b@h"]


def test_the_number_of_targets_is_bounded():
    contacts = ", ".join(f"<sip:b{number}@h>" for number in range(30))
    assert len(targets(decide(contacts))) == MAX_TARGETS


def test_hosts_of_the_contacts():
    assert contact_hosts(moved("<sip:a@One.net>, <tel:1>, <sip:b@two.net.>")) == {
        "one.net",
        "two.net",
    }
    assert contact_hosts(moved("<sip:b@>")) == set()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("q=0.5", 0.5), ("q=1", 1.0), ("Q=.3", 0.3), ("q=0", 0.0), ("q=7", 1.0), ("q", 1.0),
        ("q=x", 1.0), ("q=0.5.5", 1.0), ("q=-1", 1.0), ("q=0.123456", 1.0), ("x=1", 1.0),
        ("q=.", 1.0), ("q=²", 1.0),
    ],
)  # fmt: skip
def test_quality(params, expected):
    assert quality(parse_params(params)) == expected
