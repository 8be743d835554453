"""Requests within the dialog, theirs and ours."""

from __future__ import annotations

import pytest

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Acknowledged,
    Ended,
    InDialogRequest,
    OfferWithdrawn,
    SessionOffer,
)
from tests.sip.messages import SDP, TCP, request, response
from tests.sip.server_node import Node

# ---- in the dialog ---------------------------------------------------------------------------


def test_reinvite_is_answered_with_a_2xx_that_is_repeated():
    node = Node()
    usage = node.up()
    parts = {"cseq": 2, "contact": "<sip:alice@192.0.2.1:5999>"}
    assert node.send("INVITE", body=SDP, **parts) == ["100 INVITE"]
    (offer,) = node.told()
    assert isinstance(offer, SessionOffer)
    assert (offer.usage, offer.body) == (usage, SDP)
    node.engine.answer_offer(usage, SDP, 0.0)
    assert node.take() == ["200 INVITE"]
    assert [what for _, what in node.wait(0.5)] == ["200 INVITE"]
    node.send("ACK", cseq=2)
    assert node.told() == [Acknowledged(usage, b"")]
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5999"


def test_a_refused_reinvite_changes_nothing():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2, contact="<sip:alice@192.0.2.1:5999>")
    node.engine.refuse_offer(usage, 488, 0.0, headers=[("Warning", '304 x "no"')])
    assert node.take() == ["488 INVITE"]
    node.send("ACK", cseq=2, branch="z9hG4bKINVITE2")
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5060"


def test_reinvite_without_ack_ends_the_call():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2)
    node.engine.answer_offer(usage, SDP, 0.0)
    node.told()
    assert node.wait(32.0)[-1] == (32.0, "BYE")
    assert node.told() == [Ended(usage, "ack-timeout")]


def test_reinvite_without_offer_gets_ours_and_the_ack_answers():
    node = Node()
    usage = node.up()
    node.send("INVITE", cseq=2)
    (offer,) = node.told()
    assert offer.body == b""
    node.engine.answer_offer(usage, SDP, 0.0)
    node.send("ACK", cseq=2, body=b"v=0\r\n")
    assert node.told() == [Acknowledged(usage, b"v=0\r\n")]


def test_a_cancelled_reinvite_leaves_the_call_up():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2)
    node.told()
    to = f"<sip:100@192.0.2.9>;tag={node.tag}"
    cancel = request("CANCEL", cseq=2, branch="z9hG4bKINVITE2", to=to)
    assert node.put(cancel) == ["200 CANCEL", "487 INVITE"]
    assert node.told() == [OfferWithdrawn(usage)]
    with pytest.raises(LocalProtocolError):
        node.engine.answer_offer(usage, SDP, 0.0)
    assert node.send("INFO", cseq=3) == []
    assert isinstance(node.told()[0], InDialogRequest)


def test_update_with_and_without_offer():
    node = Node()
    usage = node.up()
    assert node.send("UPDATE", cseq=2, contact="<sip:alice@192.0.2.1:5999>") == ["200 UPDATE"]
    assert node.told() == []
    assert node.send("UPDATE", cseq=3, body=SDP) == []
    (offer,) = node.told()
    assert offer.body == SDP
    node.engine.answer_offer(usage, SDP, 0.0)
    assert node.take() == ["200 UPDATE"]
    assert node.last().body == SDP
    node.wait(100.0)
    node.engine.bye(usage, 100.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5060"  # the second UPDATE's Contact


def test_an_update_nobody_answers_does_not_block_the_next_offer():
    node = Node()
    usage = node.up()
    node.send("UPDATE", cseq=2, body=SDP)
    node.wait(32.0)
    node.told()
    node.send("INVITE", 33.0, cseq=3, body=SDP)
    assert isinstance(node.told()[0], SessionOffer)
    node.engine.answer_offer(usage, SDP, 33.0)
    assert node.take() == ["200 INVITE"]


def open_exchange(node, kind, usage):
    if kind == "ours":
        node.engine.reinvite(usage, SDP, 0.0)
    else:
        node.send("INVITE", cseq=2, body=SDP)
        if kind == "unacknowledged":
            node.engine.answer_offer(usage, SDP, 0.0)
    node.take()
    node.told()


@pytest.mark.parametrize(
    ("kind", "status"), [("ours", 491), ("theirs", 500), ("unacknowledged", 491)]
)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_glare(kind, status, method):
    node = Node()
    usage = node.up()
    open_exchange(node, kind, usage)
    assert node.send(method, cseq=3, body=SDP) == [f"{status} {method}"]
    assert ("Retry-After" in node.last().headers) is (status == 500)
    assert node.told() == []
    with pytest.raises(LocalProtocolError):
        node.engine.reinvite(usage, SDP, 0.0)


def test_offers_before_the_call_is_answered_are_500():
    node = Node()
    node.ringing()
    assert node.send("UPDATE", cseq=2, body=SDP) == ["500 UPDATE"]
    assert node.send("INVITE", cseq=3, body=SDP) == ["500 INVITE"]
    assert node.send("UPDATE", cseq=4) == ["200 UPDATE"]


@pytest.mark.parametrize("number", [1, 0])
def test_cseq_out_of_order_is_500_with_retry_after(number):
    node = Node()
    node.up()
    assert node.send("INFO", cseq=number) == ["500 INFO"]
    assert node.last().headers.get("Retry-After") is not None
    assert node.told() == []


def test_requests_in_the_dialog_that_the_engine_answers():
    node = Node()
    node.up()
    assert node.send("OPTIONS", cseq=2) == ["200 OPTIONS"]
    assert node.send("SUBSCRIBE", cseq=3) == ["405 SUBSCRIBE"]
    assert node.send("DANCE", cseq=4) == ["501 DANCE"]
    assert node.send("INFO", cseq=5, extra=[("Require", "x")]) == ["420 INFO"]
    assert node.send("INVITE", cseq=6, body=b"x", content_type="a/b") == ["415 INVITE"]
    assert node.told() == []


@pytest.mark.parametrize("method", ["INFO", "REFER"])
def test_requests_in_the_dialog_that_the_layer_above_answers(method):
    node = Node()
    usage = node.up()
    assert node.send(method, cseq=2, body=b"Signal=1", content_type="application/dtmf-relay") == []
    (event,) = node.told()
    assert isinstance(event, InDialogRequest)
    assert event.usage == usage
    node.engine.respond(event.transaction, 202, 0.1)
    assert node.take() == [f"202 {method}"]


def test_a_pending_request_is_still_answered_after_bye_and_a_pending_offer_gets_487():
    node = Node()
    node.up()
    node.send("INFO", cseq=2)
    (info,) = node.told()
    node.send("INVITE", cseq=3, body=SDP)
    assert node.send("BYE", cseq=4) == ["200 BYE", "487 INVITE"]
    node.engine.respond(info.transaction, 200, 0.1)
    assert node.take() == ["200 INFO"]
    node.put(request("ACK", cseq=3, branch="z9hG4bKINVITE3"))
    node.wait(100.0)
    assert node.empty()


def test_a_multipart_body_gives_its_sdp():
    body = (
        b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--x\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--x--\r\n"
    )
    node = Node()
    node.up()
    kind = 'multipart/mixed;boundary="x"'
    node.send("INVITE", cseq=2, body=body, content_type=kind)
    assert node.told()[0].body == SDP
    for bad in (b"--x--\r\n", b"nothing"):
        refused = Node()
        assert refused.put(request(body=bad, content_type=kind)) == ["415 INVITE"]


def test_an_optional_body_is_passed_over():
    node = Node()
    optional = [("Content-Disposition", "render;handling=optional")]
    assert node.put(request(body=b"x", content_type="a/b", extra=optional)) == ["100 INVITE"]


# ---- requests of ours ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "cause", "sent"),
    [(200, None, []), (404, None, []), (481, "gone", []), (408, "gone", ["BYE"])],
)
def test_outcome_of_a_request_in_the_dialog(status, cause, sent):
    node = Node()
    usage = node.up()
    token = node.engine.request(usage, "INFO", 0.0, [("X-A", "1")], b"b", "text/plain")
    assert node.take() == ["INFO"]
    assert node.last().headers.get("X-A") == "1"
    assert node.put(response(node.outgoing[0].data, status), 0.1) == sent
    final, *ended = node.told()
    assert (final.token, final.status) == (token, status)
    assert [each.cause for each in ended] == ([cause] if cause else [])


def test_a_request_without_answer_ends_the_call_and_says_bye():
    node = Node()
    usage = node.up()
    node.engine.request(usage, "INFO", 0.0)
    node.take()
    assert node.wait(32.0)[-1] == (32.0, "BYE")
    final, ended = node.told()
    assert (final.status, final.response) == (408, None)
    assert ended == Ended(usage, "gone")
    node.wait(64.0)
    assert node.empty()


def test_a_lost_connection_fails_the_request_and_ends_the_call():
    node = Node(TCP)
    usage = node.up()
    node.engine.flow_lost(TCP, 0.0)  # the call itself survives
    assert node.take() == []
    assert node.told() == []
    node.engine.request(usage, "INFO", 1.0)
    node.take()
    assert node.outgoing[0].target == ("tcp", "192.0.2.1", 5060)
    node.engine.flow_lost(TCP, 1.5)
    node.take()
    final, ended = node.told()
    assert final.status == 503
    assert ended == Ended(usage, "flow-lost")


def test_a_new_connection_of_the_peer_is_used_from_then_on():
    node = Node(TCP)
    usage = node.up()
    again = TCP._replace(remote=("192.0.2.1", 40001), connection=8)
    node.put(
        request(
            "OPTIONS",
            transport="TCP",
            branch="z9hG4bKo",
            cseq=2,
            to=f"<sip:100@192.0.2.9>;tag={node.tag}",
        ),
        flow=again,
    )
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.outgoing[0].flow == again


def test_reinvite_of_ours_is_acknowledged_by_the_engine():
    node = Node()
    usage = node.up()
    token = node.engine.reinvite(usage, SDP, 0.0)
    assert node.take() == ["INVITE"]
    sent = node.outgoing[0].data
    ok = response(sent, 200, contact="<sip:alice@192.0.2.1:5998>", body=SDP)
    assert node.put(ok, 0.1) == ["ACK"]
    assert node.last().uri_text == "sip:alice@192.0.2.1:5998"
    assert node.put(ok, 0.6) == ["ACK"]
    (final,) = node.told()
    assert (final.token, final.status) == (token, 200)
    node.engine.bye(usage, 1.0)
    assert node.take() == ["BYE"]


def test_reinvite_of_ours_without_offer_is_acknowledged_with_the_answer():
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, b"", 0.0)
    node.take()
    ok = response(node.outgoing[0].data, 200, body=SDP)
    assert node.put(ok, 0.1) == []
    node.engine.acknowledge(usage, 0.2, b"v=0\r\n")
    assert node.take() == ["ACK"]
    assert node.last().body == b"v=0\r\n"
    assert node.put(ok, 0.6) == ["ACK"]


def test_a_reinvite_of_ours_that_gets_no_final_response_does_not_outlive_the_call():
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, SDP, 0.0)
    node.take()
    node.put(response(node.outgoing[0].data, 100), 0.1)
    assert node.send("BYE", 1.0, cseq=2) == ["200 BYE"]
    node.told()
    node.wait(33.0)
    assert [each.status for each in node.told()] == [408]
    assert node.empty()


@pytest.mark.parametrize(("status", "causes"), [(491, []), (488, []), (481, ["gone"])])
def test_a_refused_reinvite_of_ours(status, causes):
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, SDP, 0.0)
    node.take()
    assert node.put(response(node.outgoing[0].data, status), 0.1) == ["ACK"]
    final, *ended = node.told()
    assert final.status == status
    assert [each.cause for each in ended] == causes
    if not causes:
        node.engine.reinvite(usage, SDP, 1.0)
        assert node.take() == ["INVITE"]
