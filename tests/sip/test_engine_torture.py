"""RFC 4475: what the whole engine answers to each message (see test_torture for the parsers)."""

from __future__ import annotations

import pytest

from sipserver.sip.events import IncomingInvite, IncomingRequest
from tests.sip.server_node import Node
from tests.sip.test_torture import TABLE, octets

CALL, DELIVERED, SILENCE = "a new call", "IncomingRequest", "nothing"

# What becomes of the messages that the parsers let through.
FURTHER_UP = {
    "wsinv": 481,  # its To has a tag, so it belongs to a dialog, and that is not ours
    "intmeth": 501,
    "esc01": CALL,
    "escnull": DELIVERED,
    "esc02": 501,
    "lwsdisp": 200,
    "longreq": CALL,
    "dblreq": DELIVERED,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 405,
    "unreason": SILENCE,
    "noreason": SILENCE,
    "scalarlg": SILENCE,
    "baddate": CALL,
    "badaspec": 200,
    "badbranch": 200,
    "unksm2": DELIVERED,
    "bext01": 420,
    "invut": 415,
    "regaut01": DELIVERED,
    "bcast": SILENCE,
    "zeromf": 200,
    "cparam01": DELIVERED,
    "cparam02": DELIVERED,
    "regescrt": DELIVERED,
    "sdp01": 406,
    "inv2543": CALL,
}


def expected(name: str, outcome) -> object:
    if outcome == "ok":
        return FURTHER_UP[name]
    return SILENCE if outcome == "drop" else outcome


@pytest.mark.parametrize(("section", "name", "outcome", "remark"), TABLE)
def test_torture_message(section, name, outcome, remark):
    node = Node()
    sent = node.put(octets(name))
    events = node.told()
    if any(isinstance(event, IncomingInvite) for event in events):
        assert sent == ["100 INVITE"]
        became = CALL
    elif any(isinstance(event, IncomingRequest) for event in events):
        assert sent == []
        became = DELIVERED
    else:
        became = int(sent[0][:3]) if sent else SILENCE
    assert became == expected(name, outcome)


def test_a_branch_that_is_only_the_cookie_identifies_nothing():
    node = Node()
    message = octets("badbranch")
    node.put(message)
    other = message.replace(b"badbranch.", b"another.")
    assert other != message
    assert node.put(other) == ["200 OPTIONS"]
    assert node.engine.sizes["transactions"] == 2
