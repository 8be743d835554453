"""What PBXs ask of a peer: reliable 180, session timers, changes within the call, hold of a bridge
(RFC 3262, 3264, 3311, 4028)."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rtp import Handset
from tests.e2e.server import Application, Server, wait_for
from tests.e2e.sipp import Callee, Sipp, header, run
from tests.e2e.steps import ack, request, sdp

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("open_domain")]

EVENTS = (
    "SELECT 1 FROM sipdomains_callevent AS event"
    " JOIN sipdomains_call ON event.call_id = sid WHERE sip_call_id = ? AND {}"
)
TALKING = "<Play digits='w'/><Pause length='60'/>"


def within(server: Server, app: Application, folder: Path, *steps: str) -> list[str]:
    """What SIPp received in a call in which it took these steps."""
    app.document("/voice", TALKING)
    result = run(server, folder, "dialog", steps="".join(steps))
    row = server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "caller-hangup")
    return result.received


def answer(received: list[str], method: str, number: int) -> str:
    """The final response to the request with that CSeq."""
    return next(
        text
        for text in reversed(received)
        if text.startswith("SIP/2.0 ") and header(text, "CSeq") == f"{number} {method}"
    )


def test_reliable_ringing_is_acknowledged(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Hangup/>", gate=threading.Event())
    call = Sipp(server, tmp_path, "prack", headers="Require: 100rel\n")
    query = EVENTS.format("data LIKE '%200 OK (PRACK)%'")
    try:
        wait_for("PRACK", lambda: server.rows(query, f"{call.name}-1"))
    finally:
        app.open_gates()
    result = call.result()
    assert result.code == 0, result.errors
    assert "100rel" in header(result.last(180), "Require")
    assert result.statuses.count(180) == 1
    assert server.call(result.call_id)["cause"] == "hangup-verb"


def test_too_short_a_session_is_refused(server: Server, app: Application, tmp_path: Path) -> None:
    result = run(
        server, tmp_path, "refused_invite", status="422", hops="70",
        headers="Supported: timer\n      Session-Expires: 60\n",
    )  # fmt: skip
    assert header(result.last(422), "Min-SE") == "90"
    assert app.hits == []


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_session_timer_is_agreed_and_refreshed_by_the_caller(
    server: Server, app: Application, tmp_path: Path, refresher: str
) -> None:
    app.document("/voice", TALKING)
    asked = f"Supported: timer\nSession-Expires: 120;refresher={refresher}\n"
    steps = request("UPDATE", 2, headers=asked)
    steps += request("INVITE", 3, headers=asked, body=sdp(2)) + ack(3)
    result = run(server, tmp_path, "dialog", headers=asked.replace("\nS", "\n      S"), steps=steps)
    for number, method in enumerate(("INVITE", "UPDATE", "INVITE"), 1):
        agreed = answer(result.received, method, number)
        assert header(agreed, "Session-Expires") == f"120;refresher={refresher}"
        assert header(agreed, "Require") == "timer"


def test_update_without_body_changes_nothing(
    server: Server, app: Application, tmp_path: Path
) -> None:
    received = within(server, app, tmp_path, request("UPDATE", 2))
    assert "m=audio" not in answer(received, "UPDATE", 2)


def test_late_offer_in_a_re_invite(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Play digits='w'/><Redirect>/end</Redirect>")
    app.document("/end", "<Hangup/>", gate=threading.Event())
    steps = request("INVITE", 2) + ack(2, sdp(2, "sendonly")) + request("UPDATE", 3, body=sdp(3))
    call = Sipp(server, tmp_path, "menu", steps=steps)
    query = EVENTS.format("data LIKE '%\"resume\"%'")
    try:
        wait_for("resumed", lambda: server.rows(query, f"{call.name}-1"))
    finally:
        app.open_gates()
    result = call.result()
    assert result.code == 0, result.errors
    assert "m=audio" in answer(result.received, "INVITE", 2)
    assert "a=sendrecv" in answer(result.received, "UPDATE", 3)
    changes = media_events(server, server.call(result.call_id))
    assert [what for what in changes if what in ("hold", "resume")] == ["hold", "resume"]


def test_offer_while_another_waits_for_its_ack(
    server: Server, app: Application, tmp_path: Path
) -> None:
    """Glare (RFC 3261 14.2): the session stays as it was, and the next offer is taken."""
    within(
        server, app, tmp_path, request("INVITE", 2, body=sdp(2)),
        request("UPDATE", 3, 491, body=sdp(3)), ack(2), request("UPDATE", 4, body=sdp(4)),
    )  # fmt: skip


def test_bad_offer_leaves_the_session(server: Server, app: Application, tmp_path: Path) -> None:
    bad = sdp(2).replace("0 8 101", "18")
    received = within(
        server, app, tmp_path, request("INVITE", 2, 488, body=bad), ack(2),
        request("INVITE", 3, body=sdp(3)), ack(3),
    )  # fmt: skip
    assert "a=sendrecv" in answer(received, "INVITE", 3)


def test_questions_and_news_within_the_call(
    server: Server, app: Application, tmp_path: Path
) -> None:
    received = within(
        server, app, tmp_path,
        request("OPTIONS", 2),
        request("INFO", 3),
        request("INFO", 4, 415, kind="application/media_control+xml", body="<media_control/>"),
        request("MESSAGE", 5, 405, kind="text/plain", body="hello"),
        request("FLY", 6, 501),
    )  # fmt: skip
    assert "UPDATE" in header(answer(received, "OPTIONS", 2), "Allow")
    assert "application/dtmf-relay" in header(answer(received, "INFO", 4), "Accept")


def test_fax_and_video_are_refused_and_audio_is_taken(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Hangup/>")
    lines = "m=image 4002 udptl t38", "a=T38FaxVersion:0", "m=video 4004 RTP/AVP 31 34"
    media = "".join(f"\n      {line}" for line in lines)
    result = run(server, tmp_path, "plain", media=media)
    described = [line for line in result.last(200).splitlines() if line.startswith("m=")]
    assert described[0].startswith("m=audio ")
    assert described[0].split()[1] != "0"
    assert described[1:] == ["m=image 0 udptl t38", "m=video 0 RTP/AVP 31 34"]


def media_events(server: Server, row: dict[str, Any]) -> list[str]:
    return [
        event["data"]["what"] for event in server.events(row["sid"]) if event["kind"] == "media"
    ]


def alone(waiting: Handset, holding: Handset) -> bool:
    """Whether half a second was heard by the one since the other heard the last."""
    return len(waiting.loud(holding.loud()[-1] + 0.1)) > 25


@pytest.mark.parametrize(
    ("caller", "callee"),
    [("hold", "callee_answers"), ("plain", "callee_holds")],
    ids=["caller", "callee"],
)
def test_one_side_of_a_bridge_holds_and_resumes(
    server: Server, app: Application, tmp_path: Path, caller: str, callee: str
) -> None:
    """The side that holds hears nothing meanwhile; the other one hears what it plays."""
    with Handset() as here, Handset() as there:
        peer = Callee(tmp_path, callee, rtp_port=there.port)
        with contextlib.closing(peer):
            app.document("/voice", f"<Dial><Sip>{peer.uri}</Sip></Dial>")
            call = Sipp(server, tmp_path, caller, rtp_port=here.port)
            here.talk(call.media_port())
            there.talk(peer.media_port())
            side, holding, waiting = call, here, there
            if callee == "callee_holds":
                side, holding, waiting = peer, there, here
            wait_for("sound both ways", lambda: holding.loud() and waiting.loud())
            side.go_on()
            wait_for("hold", lambda: alone(waiting, holding))
            resumed = time.time()
            side.go_on()
            wait_for("sound again", lambda: len(holding.loud(resumed)) > 10)
            side.go_on()
            result = call.followed()
            peer.messages()
    row = server.call(result.call_id)
    if side is peer:
        [row] = server.children_of(row, 1)
    changes = media_events(server, row)
    assert [what for what in changes if what in ("hold", "resume")] == ["hold", "resume"]
