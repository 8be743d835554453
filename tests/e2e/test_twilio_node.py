"""The unmodified twilio package of npm against a running server: ``node --test`` over ``node/``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import base_url, client_of, new_key
from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, Server
from tests.e2e.sipp import Callee
from tests.programs import needed

SUITE = Path(__file__).with_name("node")
INSTALL_SECONDS, TEST_SECONDS = 240, 240
LEAST_TESTS = 20  # a suite that finds no tests would pass, too

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(INSTALL_SECONDS + TEST_SECONDS + 60),
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tests with the packages of their lock file."""
    npm = needed("npm")
    needed("node")
    folder = tmp_path_factory.mktemp("node") / "suite"
    shutil.copytree(SUITE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        [npm, "ci", "--no-progress", "--ignore-scripts"],
        cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A server that takes five requests per second and account."""
    server = Server(tmp_path / "busy", API_REQUESTS_PER_SECOND="5")
    server.start()
    made = server.create_domain("busy.example.net", "http://127.0.0.1:9/", "--allow", "::1/128")
    yield {
        "accountSid": made["account_sid"],
        "authToken": made["auth_token"],
        "baseUrl": base_url(server),
    }
    server.stop_in_order()


def crowd(server: Server, account: str, token: str) -> str:
    """A credential list with 23 users."""
    with client_of(server, account, token, account) as rest:
        users = rest.sip.credential_lists.create(friendly_name="Crowd of Node")
        for number in range(23):
            rest.sip.credential_lists(users.sid).credentials.create(f"user{number}", PASSWORD)
    return str(users.sid)


def test_the_node_client(
    server: Server, account: dict[str, Any], suite: Path, busy: dict[str, Any], speaker: Baresip,
    tmp_path: Path,
) -> None:  # fmt: skip
    sid, token = account["account_sid"], account["auth_token"]
    key, secret = new_key(server, sid)
    with contextlib.ExitStack() as stack:

        def phone(scenario: str) -> str:
            return stack.enter_context(contextlib.closing(Callee(tmp_path, scenario))).uri

        settings = {
            "accountSid": sid,
            "authToken": token,
            "apiKey": key,
            "apiSecret": secret,
            "baseUrl": base_url(server),
            "busy": busy,
            "crowd": crowd(server, sid, token),
            "from": f"sip:desk@{DOMAIN}",
            "answering": [phone("callee_answers") for _ in range(3)],
            "ringing": phone("callee_rings"),
            "speaking": f"sip:speaker@{DOMAIN}",
        }
        done = subprocess.run(
            ["node", "--test", "--test-reporter=tap"],
            cwd=suite, env={**os.environ, "SIPDOMAINS_TEST": json.dumps(settings)},
            capture_output=True, text=True, timeout=TEST_SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= LEAST_TESTS, done.stdout
