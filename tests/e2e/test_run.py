"""What ``make run`` starts and prints."""

from __future__ import annotations

import re
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.server import Server, call_id_of, wait_for
from tests.e2e.sound import is_speech, read_wav, sounding

pytestmark = pytest.mark.e2e


def printed(server: Server, name: str) -> list[str]:
    """What stood after that word, over all starts."""
    return re.findall(rf"^ +{name} +(.+)$", server.output.read_text(), re.MULTILINE)


def dial_demo(server: Server, wav: Path, where: str) -> str:
    """Call as the printed lines say; what placecall printed."""
    user, password = re.split(r" +password +", printed(server, "user")[0])
    target = next(line for line in printed(server, "dial") if line.endswith(where))
    result = server.manage(
        "placecall", target, "--username", user, "--password", password, "--hangup", "8",
        "--wav", str(wav), "--full", check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    rate, heard = read_wav(wav)
    assert is_speech(sounding(heard), rate)
    return result.stdout


def test_second_start_reuses_the_home_and_several_run_side_by_side(
    server: Server, fresh_server: Server, tmp_path: Path
) -> None:
    assert len(printed(server, "dial")) == 4  # of the server that runs beside
    fresh_server.start()
    ladder = dial_demo(fresh_server, tmp_path / "first.wav", "transport=udp")
    row = fresh_server.call(call_id_of(ladder))
    assert (row["cause"], row["sip_status"]) == ("caller-hangup", 200)
    [log] = printed(fresh_server, "call log")
    with urllib.request.urlopen(log.strip(), timeout=60) as page:  # the login page
        assert page.status == 200
        assert b"<form" in page.read()
    text = fresh_server.output.read_text()
    assert text.count("(shown once)") == 1
    assert text.rstrip().splitlines().count("ready") == 1
    assert fresh_server.stop() == 0
    with closing(sqlite3.connect(fresh_server.home / "sipdomains.sqlite3")) as database, database:
        database.execute("UPDATE sipdomains_sipnode SET stopped_at = '2020-01-01 00:00:00'")

    fresh_server.environment["SIP_DIGEST_ALGORITHMS"] = "SHA-256"
    fresh_server.start()
    text = fresh_server.output.read_text()
    assert text.count("(shown once)") == 1
    users = [line for line in printed(fresh_server, "user") if "password" in line]
    demo = [line for line in users if "(shown once)" not in line]
    assert len(demo) == 2
    assert demo[0] == demo[1]
    assert len(fresh_server.rows("SELECT sid FROM sipdomains_call")) == 1
    ladder = dial_demo(
        fresh_server, tmp_path / "second.wav", f"[::1]:{fresh_server.sip_port};transport=tcp"
    )
    for name in ("Proxy-Authenticate", "Proxy-Authorization"):
        assert "algorithm=SHA-256" in next(re.finditer(rf"^{name}: .*$", ladder, re.MULTILINE))[0]
    assert fresh_server.call(call_id_of(ladder))["sip_status"] == 200
    assert len(fresh_server.rows("SELECT sid FROM sipdomains_call")) == 2
    nodes = "SELECT boot_id FROM sipdomains_sipnode"
    wait_for("nodes of long ago forgotten", lambda: len(fresh_server.rows(nodes)) == 1)
    fresh_server.stop_in_order()
