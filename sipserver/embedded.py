"""What ``runsipserver --embedded`` adds to the node: database, demo, web pages, webhook worker.

Composition for the one-command default; production starts the same parts as processes of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from itertools import count

import uvicorn
from django.conf import settings
from django.core.management import call_command

from sipdomains.celery import FORGET_SECONDS, SEGMENT_SECONDS, EmbeddedWorker, app
from sipdomains.contracts import TASK_FORGET_OLD, TASK_KEEP_SEGMENTS
from sipdomains.services.bootstrap import Demo, bootstrap_demo

log = logging.getLogger(__name__)

WEB_START_SECONDS = 60.0  # where it fails it says so at once; a busy machine needs its time
STOP_SECONDS = 5.0
_FORGET_TURNS = round(FORGET_SECONDS / SEGMENT_SECONDS)

Say = Callable[[str], object]


class EmbeddedServices:
    """``prepare`` (synchronous) before the loop runs, then ``start``, ``announce``, ``stop``."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._demo: Demo | None = None
        self._worker = EmbeddedWorker()
        self._web = _WebThread(settings.WEB_LISTEN)
        self._housekeeping = _Housekeeping()

    def prepare(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self._demo = bootstrap_demo()

    def start(self) -> None:
        """Raises OSError when the web address is taken."""
        self._worker.start()
        self._web.start()
        self._housekeeping.start()

    def announce(self, listening: Sequence[tuple[str, str, int]]) -> None:
        """What to dial, as whom, and where to read about it."""
        demo = self._demo
        if demo is None:
            return
        self._say("")
        for transport, host, port in listening:
            shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
            shown = f"[{shown}]" if ":" in shown else shown
            self._say(f"  dial      sip:demo@{shown}:{port};transport={transport}")
        self._say(f"  user      {demo.username}   password  {demo.password}")
        self._say(f"  call log  http://{settings.WEB_LISTEN}/calls/")
        password = (
            f"   password  {demo.admin_password}   (shown once)" if demo.admin_password else ""
        )
        self._say(f"  admin     http://{settings.WEB_LISTEN}/admin/")
        self._say(f"  user      {demo.admin_username}{password}")
        self._say("")

    def stop(self) -> None:
        self._housekeeping.stop()
        self._web.stop()
        self._worker.stop()


class _Housekeeping:
    """What ``celery beat`` sends where it runs, and nobody else does: the forgetting of what is
    old, the segments of long lists. The rest of its schedule is done by every node."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        for turn in count():
            if turn % _FORGET_TURNS == 0:
                app.send_task(TASK_FORGET_OLD)
            app.send_task(TASK_KEEP_SEGMENTS)
            if self._ended.wait(SEGMENT_SECONDS):
                return


class _WebThread:
    """uvicorn on a thread and loop of its own, so that no page makes the SIP loop wait."""

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._server = uvicorn.Server(
            uvicorn.Config(
                "sipdomains.asgi:application",
                host=host.strip("[]"),
                port=int(port),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,  # pages that watch calls do not end by themselves
            )
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        self._thread.start()
        # uvicorn has no readiness callback: `started` is its documented flag.
        for _ in range(int(WEB_START_SECONDS * 50)):
            if self._server.started or self._ended.wait(0.02):
                break
        if not self._server.started:
            raise OSError(f"the web server could not start on {settings.WEB_LISTEN}")

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:
            log.error("the web server gave up (address in use?)")
        finally:
            self._ended.set()
