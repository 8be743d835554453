"""An account moves from one running server to another, and its phones call there."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import base_url, client_of
from tests.e2e.server import PASSWORD, Application, Server
from tests.e2e.sipp import run

pytestmark = pytest.mark.e2e


def test_a_moved_account_takes_calls(
    server: Server, app: Application, domain: dict[str, Any], tmp_path: Path
) -> None:
    sid, token = domain["account_sid"], domain["auth_token"]
    app.document("/moved", "<Say>Welcome to the new place</Say>")
    with client_of(server, sid, token, sid) as source:
        made = source.sip.domains.create(
            domain_name="acme.sip.twilio.com", voice_url=f"{app.url}/moved"
        )
        users = source.sip.credential_lists.create(friendly_name="Phones")
        source.sip.credential_lists(users.sid).credentials.create("alice", PASSWORD)
        source.sip.domains(made.sid).auth.calls.credential_list_mappings.create(users.sid)

    file = tmp_path / "passwords.csv"
    target = Server(tmp_path / "target", TWILIO_AUTH_TOKEN=token)
    target.start()
    try:
        options = (
            "importtwilio", "--source-account", sid, "--source-url", base_url(server),
            "--account-name", "Acme", "--domain-suffix", "sip.example.net",
            "--generate-passwords", "--passwords-file", str(file),
        )  # fmt: skip
        printed = target.manage(*options)
        assert "made      domain acme.sip.example.net (was acme.sip.twilio.com)" in printed.stdout
        assert token not in printed.stdout + printed.stderr
        again = target.manage(*options[:-2])
        assert "0 made, 0 changed" in again.stdout
        [user] = [
            row for row in csv.DictReader(StringIO(file.read_text())) if row["name"] == "Phones"
        ]
        result = run(
            target, tmp_path, "authenticated", domain="acme.sip.example.net",
            password=user["password"],
        )  # fmt: skip
    finally:
        target.stop_in_order()
    assert 407 in result.statuses
    assert "/moved" in app.paths()
    [row] = target.rows("SELECT sid, account_id FROM sipdomains_sipdomain WHERE sid = ?", made.sid)
    assert row["account_id"] == sid
