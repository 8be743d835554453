"""``manage.py placecall``: call a SIP URI and see what happens. For debugging, and for tests."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sipserver.caller.phone import CallPlan, CallReport, Phone
from sipserver.sip.errors import RemoteProtocolError


class Command(BaseCommand):
    help = (
        "Place a call with our own SIP stack: dials, answers digest challenges, prints the ladder "
        "as it happens, sends DTMF, saves what it hears. Exits 1 when the call was refused."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("uri", help="e.g. 'sip:demo@127.0.0.1:5060;transport=tcp'")
        parser.add_argument("--username", default="", help="for digest authentication")
        parser.add_argument("--password", default="", help="for digest authentication")
        parser.add_argument("--caller", default="", help="user part of From (default: username)")
        parser.add_argument(
            "--proxy", default="", metavar="T:HOST:PORT", help="send there, e.g. udp:127.0.0.1:5060"
        )
        parser.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="'X-NAME: VALUE'",
            help="add to the INVITE; may be repeated",
        )
        parser.add_argument("--digits", default="", help="DTMF to send: 0-9 A-D # *, w and W pause")
        parser.add_argument(
            "--after", type=float, default=1.0, metavar="SECONDS", help="when to send the digits"
        )
        parser.add_argument("--wav", metavar="FILE", help="save what was heard")
        parser.add_argument(
            "--hangup", type=float, metavar="SECONDS", help="hang up so long after the answer"
        )
        parser.add_argument(
            "--cancel", type=float, metavar="SECONDS", help="give up ringing after so long"
        )
        parser.add_argument("--full", action="store_true", help="print whole SIP messages")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = CallPlan(
            target=options["uri"],
            username=options["username"],
            password=options["password"],
            caller=options["caller"],
            proxy=_proxy(options["proxy"]),
            headers=[_header(text) for text in options["header"]],
            digits=options["digits"],
            digits_after=options["after"],
            hangup_after=options["hangup"],
            cancel_after=options["cancel"],
        )
        try:
            report = asyncio.run(self._call(plan, options["wav"], full=options["full"]))
        except RemoteProtocolError as error:
            raise CommandError(f"{options['uri']}: {error}") from None
        except OSError as error:
            raise CommandError(f"cannot call {options['uri']}: {error}") from None
        except KeyboardInterrupt:
            raise CommandError("interrupted") from None
        self._conclude(report, options["wav"])

    async def _call(self, plan: CallPlan, wav: str | None, *, full: bool) -> CallReport:
        started = time.monotonic()

        def tell(outbound: bool, data: bytes) -> None:
            text = data.decode("utf-8", "replace")
            line = text.partition("\r\n")[0]
            arrow = "→" if outbound else "←"
            self.stdout.write(f"{time.monotonic() - started:8.3f} s  {arrow}  {line}")
            if full:
                self.stdout.write(text.replace("\r\n", "\n"))
            self.stdout.flush()

        phone = Phone(tell)
        try:
            return await phone.call(plan, wav)
        finally:
            phone.close()

    def _conclude(self, report: CallReport, wav: str | None) -> None:
        for response in report.responses[-1:]:
            for name in ("Warning", "X-Twilio-Error", "Reason"):
                value = response.headers.get(name)
                if value:
                    self.stdout.write(f"{name}: {value}")
        if report.answered:
            self.stdout.write(
                f"answered, ended by the {report.ended_by}; heard {report.heard_seconds:.2f} s "
                f"in {report.packets} packets"
            )
            if report.digits:
                self.stdout.write(f"digits received: {report.digits}")
            if wav:
                self.stdout.write(f"saved as {wav}")
        if not report.answered or report.ended_by == "error":
            self.stdout.write(f"{report.ended_by}: {report.status} {report.reason}")
            sys.exit(1)


def _proxy(text: str) -> tuple[str, str, int] | None:
    if not text:
        return None
    transport, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if transport not in ("udp", "tcp") or not host or not port.isdigit():
        raise CommandError("--proxy: expected like udp:127.0.0.1:5060")
    return transport, host.strip("[]"), int(port)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f"--header: {text!r} is not like 'X-Account: 42'")
    return name.strip(), value.strip()
