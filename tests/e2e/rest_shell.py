"""Another process of the same installation, as a web process is one: it calls the services behind
the REST API. One JSON line in (``{"do": name, ...}``), one out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from tests.e2e.server import ROOT, Server


class RestShell:
    """The test's side of it."""

    def __init__(self, server: Server) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.rest_shell"],
            cwd=ROOT, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def create(self, to: str, **changes: Any) -> str:
        """The SID. From +4930123, unless ``changes`` of the plan say else."""
        return str(self._ask(do="create", to=to, **changes)["sid"])

    def submit(self, sid: str, kind: str, *, wait: float = 5.0, **payload: Any) -> dict[str, Any]:
        """``state``, ``error_code``, ``reason``, ``id``; ``took`` seconds until it was settled."""
        return self._ask(do="submit", sid=sid, kind=kind, wait=wait, payload=payload)

    def submit_refused(self, sid: str, kind: str) -> str:
        """The error."""
        return str(self._answer(do="submit", sid=sid, kind=kind, wait=0, payload={})["error"])

    def _ask(self, **what: Any) -> dict[str, Any]:
        answer = self._answer(**what)
        assert "error" not in answer, answer
        return answer

    def _answer(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate(timeout=10)  # the end of its input ends it


def _serve() -> None:
    import django

    django.setup()
    for line in sys.stdin:
        what = json.loads(line)
        try:
            answer = {"create": _create, "submit": _submit}[what.pop("do")](**what)
        except Exception as error:  # noqa: BLE001 - the test tells it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


def _create(to: str, callback: Any = None, account: str = "", **changes: Any) -> dict[str, Any]:
    from sipdomains.contracts import OriginatePlan
    from sipdomains.models import Account
    from sipdomains.services import orders

    credentials = {name: changes.pop(name, "") for name in ("sip_username", "sip_password")}
    plan = OriginatePlan.from_json({"to": to, "from_": "+4930123", **changes})
    owner = Account.objects.get(pk=account)
    call = orders.create_call(
        owner, plan, callback=callback or {}, requested_by=account, **credentials
    )
    return {"sid": call.sid}


def _submit(sid: str, kind: str, wait: float, payload: dict[str, Any]) -> dict[str, Any]:
    from sipdomains.models import Call
    from sipdomains.services import commands

    began = time.monotonic()
    command = commands.submit(Call.objects.get(pk=sid), kind, payload, "SKtest")
    command = commands.wait(command.pk, wait)
    took = time.monotonic() - began
    return {
        "id": command.pk, "state": command.state, "error_code": command.error_code,
        "reason": command.reason, "result": command.result, "took": took,
    }  # fmt: skip


if __name__ == "__main__":
    _serve()
