"""Refer with a SIPp PBX at the other end, and a REFER that a SIPp callee sends
(sip-domain.md section 12)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Application, Server, wait_for
from tests.e2e.sipp import Callee, header, run

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("open_domain")]

REFER = '<Refer action="/done"><Sip>sip:carol@pbx.example?Replaces=a%40b%3Bto-tag%3D1</Sip></Refer>'


def refer(
    server: Server, app: Application, folder: Path, scenario: str, **values: str
) -> tuple[dict[str, str], dict[str, Any], str]:
    """What the action was told, the call's row, and the REFER as the PBX got it."""
    app.document("/voice", REFER)
    app.document("/done", "<Hangup/>")
    result = run(server, folder, scenario, **values)
    sent = next(text for text in result.received if text.startswith("REFER"))
    row = server.call(result.call_id)
    hit = wait_for("action", lambda: next((h for h in app.hits if h.path == "/done"), None))
    return hit.values, row, sent


def transfer(server: Server, row: dict[str, Any]) -> dict[str, Any]:
    """The transfer's row once the follow-up task has settled it."""
    query = "SELECT * FROM sipdomains_transfer WHERE call_id = ? AND settled_at IS NOT NULL"
    return dict(wait_for("transfer settled", lambda: server.rows(query, row["sid"]))[0])


def test_transferred(server: Server, app: Application, tmp_path: Path) -> None:
    told, row, sent = refer(server, app, tmp_path, "refer_done")
    assert header(sent, "Refer-To") == "<sip:carol@pbx.example?Replaces=a%40b%3Bto-tag%3D1>"
    assert header(sent, "Referred-By")
    assert told["ReferCallStatus"] == "in-progress"
    assert (told["ReferSipResponseCode"], told["NotifySipResponseCode"]) == ("202", "200")
    settled = transfer(server, row)
    assert (settled["state"], settled["refer_status"], settled["notify_status"]) == (
        "succeeded", 202, 200,
    )  # fmt: skip


def test_target_is_busy(server: Server, app: Application, tmp_path: Path) -> None:
    told, row, _ = refer(server, app, tmp_path, "refer_busy")
    assert (told["ReferCallStatus"], told["NotifySipResponseCode"]) == ("busy", "486")
    assert transfer(server, row)["state"] == "busy"


@pytest.mark.parametrize("status", ["405 Method Not Allowed", "603 Decline"])
def test_refused(server: Server, app: Application, tmp_path: Path, status: str) -> None:
    told, row, _ = refer(server, app, tmp_path, "refer_refused", status=status)
    assert (told["ReferCallStatus"], told["ReferSipResponseCode"]) == ("failed", status[:3])
    assert "NotifySipResponseCode" not in told
    assert transfer(server, row)["state"] == "refused"


def test_hang_up_in_the_middle_and_the_outcome_is_told_later(
    server: Server, app: Application, tmp_path: Path
) -> None:
    told, row, _ = refer(server, app, tmp_path, "refer_hangup")
    assert (told["ReferCallStatus"], told["NotifySipResponseCode"]) == ("canceled", "180")
    assert (row["status"], row["cause"]) == ("completed", "caller-hangup")
    settled = transfer(server, row)
    assert (settled["state"], settled["notify_status"]) == ("succeeded", 200)


def test_silence_ends_the_verb(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", REFER)
    app.document("/done", "<Hangup/>")
    result = run(server, tmp_path, "refer_silent")
    told = next(hit for hit in app.hits if hit.path == "/done").values
    assert told["ReferSipResponseCode"] == "202"
    assert "ReferCallStatus" not in told
    assert "NotifySipResponseCode" not in told
    assert transfer(server, server.call(result.call_id))["state"] == "unknown"


def test_last_refer_without_action_ends_the_leg(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Refer><Sip>sip:carol@pbx.example</Sip></Refer>")
    result = run(server, tmp_path, "refer_busy")
    assert server.call(result.call_id)["cause"] == "refer-last"


def test_callee_sends_refer_and_the_caller_goes_on(
    server: Server, app: Application, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_refers")) as callee:
        app.document("/voice", f'<Dial referUrl="/refer"><Sip>{callee.uri}</Sip></Dial>')
        app.document("/refer", "<Say>You were transferred.</Say>")
        result = run(server, tmp_path, "plain")
        notifies = [text for _, text in callee.messages() if text.startswith("NOTIFY")]
    told = next(hit for hit in app.hits if hit.path == "/refer").values
    assert told["ReferTransferTarget"] == "<sip:carol@far.example>"
    assert [text.split("\n\n")[-1].split()[1] for text in notifies] == ["100", "200"]
    assert header(notifies[1], "Subscription-State").startswith("terminated")
    row = server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "document-ended")
    [child] = server.children_of(row, 1)
    assert (child["status"], child["cause"]) == ("completed", "transferred")
