"""REGISTER against the bindings of an address of record: every rule of sip-domain.md section 7."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.registrar import (
    Binding,
    BindingChange,
    RegisterRate,
    RegisterRules,
    aor_of,
    plan,
)
from tests.sip.messages import TCP, UDP, parse, request

NOW = 1_800_000_000.0
PHONE = "<sip:alice@192.0.2.1:5060>"


def register(contact=PHONE, *, expires=None, cseq=2, call_id="reg-1", extra=()):
    if expires is not None:
        extra = (*extra, ("Expires", str(expires)))
    return parse(
        request(
            "REGISTER",
            uri="sip:pbx.example.net",
            to="<sip:alice@pbx.example.net>",
            contact=contact,
            cseq=cseq,
            call_id=call_id,
            extra=extra,
        )
    )


def binding(contact="sip:alice@192.0.2.1:5060", **overrides):
    values = {
        "contact": contact, "expires_at": NOW + 600, "call_id": "reg-1", "cseq": 1, "flow": UDP,
    }  # fmt: skip
    return Binding(**values | overrides)


def decide(message, current=(), **arguments):
    return plan(message, current, NOW, UDP, **arguments)


def listed(outcome):
    return [value for name, value in outcome.headers if name == "Contact"]


def test_a_first_registration_is_bound_and_told_with_its_time():
    outcome = decide(register(extra=[("User-Agent", "phone/1.0")]))
    assert (outcome.status, outcome.reason) == (200, "OK")
    new = binding(expires_at=NOW + 3600, cseq=2, user_agent="phone/1.0")
    assert outcome.changes == (BindingChange(None, new),)
    assert outcome.bindings == (new,)
    assert outcome.headers == (
        ("Contact", "<sip:alice@192.0.2.1:5060>;expires=3600"),
        ("Date", "Fri, 15 Jan 2027 08:00:00 GMT"),
    )


def test_the_flow_of_the_request_is_carried():
    outcome = plan(register(), [], NOW, TCP)
    assert outcome.bindings[0].flow == TCP


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        (PHONE, None, 3600),
        (PHONE, 600, 600),
        (PHONE, 1800, 1800),
        (PHONE, 3600, 3600),
        (PHONE, 3601, 3600),
        (PHONE, 2**32, 3600),
        (PHONE, "9" * 50, 3600),
        (PHONE, "soon", 3600),
        (PHONE + ";expires=900", 1800, 900),
        (PHONE + ";expires=7200", None, 3600),
        (PHONE + ";expires=soon", 1800, 1800),
        (PHONE + ";expires", 1800, 1800),
        (PHONE + ";EXPIRES=900", None, 900),
    ],
)
def test_how_long_a_binding_lives(contact, expires, granted):
    outcome = decide(register(contact, expires=expires))
    assert outcome.status == 200
    assert outcome.bindings[0].expires_at == NOW + granted
    assert listed(outcome)[0].endswith(f";expires={granted}")


@pytest.mark.parametrize(
    ("contact", "expires"),
    [(PHONE, 1), (PHONE, 599), (PHONE + ";expires=60", 3600), (PHONE + ", <sip:b@h>;expires=1", 0)],
)
def test_too_brief_is_423_and_changes_nothing(contact, expires):
    before = binding()
    outcome = decide(register(contact, expires=expires), [before])
    assert (outcome.status, outcome.reason) == (423, "Interval Too Brief")
    assert outcome.headers == (("Min-Expires", "600"),)
    assert outcome.changes == ()


def test_a_refresh_replaces_the_equivalent_contact():
    before = binding("sip:%61lice@192.0.2.1:5060;x=1", q=0.5)
    outcome = decide(register("<sip:alice@192.0.2.1:5060>;q=0.7"), [before])
    after = binding(expires_at=NOW + 3600, cseq=2, q=0.7)
    assert outcome.changes == (BindingChange(before, after),)
    assert listed(outcome) == ["<sip:alice@192.0.2.1:5060>;expires=3600;q=0.7"]


def test_a_different_port_or_transport_is_another_contact():
    before = binding()
    message = register("<sip:alice@192.0.2.1:5062>, <sip:alice@192.0.2.1:5060;transport=tcp>")
    outcome = decide(message, [before])
    assert [change.old for change in outcome.changes] == [None, None]
    assert outcome.bindings[0] is before
    assert len(outcome.bindings) == 3


def test_the_same_instance_moves_with_the_phone():
    before = binding("sip:alice@192.0.2.1:40001", instance="<urn:uuid:1>", call_id="old")
    outcome = decide(register('<sip:alice@192.0.2.1:40002>;+sip.instance="<urn:uuid:1>"'), [before])
    [change] = outcome.changes
    assert change.old is before
    assert change.new.contact == "sip:alice@192.0.2.1:40002"
    assert change.new.instance == "<urn:uuid:1>"
    assert listed(outcome) == [
        '<sip:alice@192.0.2.1:40002>;expires=3600;+sip.instance="<urn:uuid:1>"'
    ]


def test_bindings_that_uri_and_instance_both_name_become_one():
    by_uri = binding(call_id="other")
    by_instance = binding("sip:alice@192.0.2.7", instance="<urn:uuid:1>", call_id="other")
    message = register(PHONE + ';+sip.instance="<urn:uuid:1>"')
    for current in ([by_uri, by_instance], [by_instance, by_uri]):
        outcome = decide(message, current)
        assert [(change.old, change.new is None) for change in outcome.changes] == [
            (current[1], True),
            (current[0], False),
        ]
    assert len(outcome.bindings) == 1


def test_no_contact_asks_and_changes_nothing():
    current = [binding(), binding("sip:alice@192.0.2.2", expires_at=NOW + 0.4)]
    outcome = decide(register(contact=""), current)
    assert (outcome.status, outcome.changes) == (200, ())
    assert listed(outcome) == [
        "<sip:alice@192.0.2.1:5060>;expires=600",
        "<sip:alice@192.0.2.2>;expires=1",
    ]


def test_expired_bindings_are_not_listed_and_their_order_does_not_matter():
    expired = binding(expires_at=NOW, cseq=9)
    assert listed(decide(register(contact=""), [expired])) == []
    outcome = decide(register(), [expired])
    assert (outcome.status, outcome.changes[0].old) == (200, expired)
    assert len(outcome.bindings) == 1


@pytest.mark.parametrize("expires", ["header", "parameter"])
def test_zero_removes_one_contact(expires):
    gone, stays = binding(), binding("sip:alice@192.0.2.2")
    message = (
        register(expires=0) if expires == "header" else register(PHONE + ";expires=0", expires=3600)
    )
    outcome = decide(message, [gone, stays])
    assert outcome.changes == (BindingChange(gone, None),)
    assert outcome.bindings == (stays,)


def test_removing_what_is_not_there_is_no_error():
    assert decide(register(expires=0)).status == 200


def test_the_star_removes_all():
    current = [binding(), binding("sip:alice@192.0.2.2", call_id="other", cseq=9)]
    outcome = decide(register("*", expires=0), current)
    assert outcome.changes == tuple(BindingChange(old, None) for old in current)
    assert (outcome.status, listed(outcome)) == (200, [])


@pytest.mark.parametrize(
    ("contact", "expires"),
    [("*", None), ("*", 600), ("*, <sip:a@b>", 0), ("<sip:a@b>, *", 0), ("*;expires=0", 0)],
)
def test_a_star_that_is_not_alone_with_zero_is_400(contact, expires):
    before = binding()
    outcome = decide(register(contact, expires=expires), [before])
    assert (outcome.status, outcome.changes) == (400, ())


@pytest.mark.parametrize("cseq", [0, 4, 5])
@pytest.mark.parametrize("contact", [PHONE, PHONE + ";expires=0", "*"])
def test_an_older_request_of_the_same_call_id_is_500(contact, cseq):
    before = binding(cseq=5)
    message = register(contact, cseq=cseq, expires=0 if contact == "*" else None)
    outcome = decide(message, [before])
    assert (outcome.status, outcome.reason, outcome.changes) == (500, "CSeq out of order", ())


def test_another_call_id_may_change_it_whatever_its_number():
    outcome = decide(register(cseq=1, call_id="rebooted"), [binding(cseq=5)])
    assert outcome.status == 200
    assert outcome.bindings[0].call_id == "rebooted"


def many(count):
    return [
        binding(f"sip:alice@192.0.2.{number}", call_id="other") for number in range(10, 10 + count)
    ]


def test_the_eleventh_active_contact_is_refused():
    assert len(decide(register(), many(9)).bindings) == 10
    outcome = decide(register(), many(10))
    assert (outcome.status, outcome.code, outcome.changes) == (403, 32007, ())
    assert outcome.reason == "More than 10 contacts"


def test_expired_ones_leave_room_and_full_ones_can_be_refreshed_or_exchanged():
    current = many(10)
    expired = [*current[:9], binding("sip:alice@192.0.2.99", expires_at=NOW - 1)]
    assert decide(register(), expired).status == 200
    assert decide(register(f"<{current[0].contact}>"), current).status == 200
    exchange = register(f"{PHONE}, <{current[0].contact}>;expires=0")
    assert len(decide(exchange, current).bindings) == 10
    assert decide(register(), current[:1], rules=RegisterRules(max_contacts=1)).code == 32007


def test_the_same_contact_twice_counts_once_and_the_last_word_holds():
    outcome = decide(register(f"{PHONE};expires=900, {PHONE};expires=1200"))
    assert listed(outcome) == ["<sip:alice@192.0.2.1:5060>;expires=1200"]


@pytest.mark.parametrize(
    "contact",
    [
        "<tel:+15550100>",
        "<mailto:alice@example.net>",
        "<sip:alice@192.0.2.1?X-Evil=1>",
        f"<sip:{'a' * 510}@h>",
        f'{PHONE};+sip.instance="{"i" * 256}"',
        "<sip:alice@>",
        "nonsense",
    ],
)
def test_a_contact_we_cannot_use_is_400(contact):
    outcome = decide(register(contact))
    assert (outcome.status, outcome.changes) == (400, ())


def test_what_cannot_be_stored_is_400():
    assert decide(register(call_id="c" * 256)).status == 400
    raw = request("REGISTER", contact="<sip:al\xffice@h>").replace(b"\xc3\xbf", b"\xff")
    assert decide(parse(raw)).status == 400


def test_a_long_user_agent_is_cut():
    outcome = decide(register(extra=[("User-Agent", "x" * 300)]))
    assert len(outcome.bindings[0].user_agent) == 255


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("<sip:alice@PBX.example.net.>", ("alice", "pbx.example.net")),
        ("Al <sip:%61lice@pbx.example.net;transport=tcp>;x=1", ("alice", "pbx.example.net")),
        ("<sip:pbx.example.net>", 404),
        ("<tel:+15550100>", 416),
    ],
)
def test_the_address_of_record(to, expected):
    message = parse(request("REGISTER", to=to))
    if isinstance(expected, int):
        with pytest.raises(RemoteProtocolError) as caught:
            aor_of(message)
        assert caught.value.status_hint == expected
    else:
        assert aor_of(message) == expected


def test_five_per_second_and_no_more():
    rate = RegisterRate()
    assert [rate.refusal("alice", NOW) for _ in range(5)] == [None] * 5
    refused = rate.refusal("alice", NOW)
    assert (refused.status, refused.headers, refused.code) == (503, (("Retry-After", "1"),), 32008)
    assert rate.refusal("bob", NOW) is None
    assert rate.refusal("alice", NOW + 0.21) is None
    assert rate.refusal("alice", NOW + 0.22) is not None
    assert [rate.refusal("alice", NOW + 60) for _ in range(6)].count(None) == 5


def test_the_rate_forgets_the_longest_unseen():
    rate = RegisterRate(per_second=1, size=2)
    rate.refusal("a", NOW)
    rate.refusal("b", NOW)
    assert rate.refusal("a", NOW) is not None
    rate.refusal("c", NOW)  # pushes b out
    assert rate.refusal("a", NOW) is not None
    assert rate.refusal("b", NOW) is None


@given(
    contacts=st.lists(
        st.sampled_from([PHONE, "<sip:a@h>", "<sip:a@h>;expires=0", "*", "<sip:b@h>;expires=700"]),
        max_size=4,
    ),
    expires=st.none() | st.integers(0, 4000),
    cseq=st.integers(0, 5),
)
def test_whatever_comes_the_outcome_is_whole(contacts, expires, cseq):
    current = [binding(), binding("sip:a@h", cseq=3)]
    outcome = decide(register(", ".join(contacts), expires=expires, cseq=cseq), current)
    assert outcome.status in (200, 400, 423, 500)
    if outcome.status != 200:
        assert not outcome.changes
    assert all(NOW < each.expires_at <= NOW + 3600 for each in outcome.bindings)
    assert len({each.contact for each in outcome.bindings}) == len(outcome.bindings)
