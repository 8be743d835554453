"""``manage.py importtwilio``: copy SIP configuration and applications out of a Twilio account."""

from __future__ import annotations

import csv
import os
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sipdomains import audit, sids
from sipdomains.services import importing
from sipdomains.services.importing import Line, NewPassword, Options, Snapshot

_MISSING = (
    "The twilio package is not installed. It is this project's extra 'twilio': "
    "pip install 'twilio>=9,<10'"
)


class Command(BaseCommand):
    help = (
        "Copy SIP domains, credential lists, IP access control lists, their mappings and "
        "applications out of a Twilio account. May be repeated: what is the same already is left "
        "alone, nothing is deleted. The credentials of the source come from the environment: "
        "TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--source-account", required=True, metavar="AC…", help="the account to copy from"
        )
        parser.add_argument(
            "--source-url", default="", metavar="URL", help="another server than Twilio's"
        )
        into = parser.add_mutually_exclusive_group(required=True)
        into.add_argument("--account", default="", metavar="AC…", help="copy into this account")
        into.add_argument(
            "--account-name",
            default="",
            metavar="NAME",
            help="copy into the account of this name, which is made when there is none",
        )
        parser.add_argument(
            "--domain-suffix",
            default="",
            metavar="HOST",
            help="x.sip.twilio.com becomes x.HOST; without it such domains are skipped",
        )
        parser.add_argument(
            "--generate-passwords",
            action="store_true",
            help="make users with new passwords and print those, once; without it users are "
            "skipped, for their passwords cannot be read",
        )
        parser.add_argument(
            "--passwords-file",
            default="",
            metavar="FILE",
            help="write the new passwords to this new file (CSV, readable by you alone) instead",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would happen and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = options["source_account"]
        if not sids.is_sid(source, sids.ACCOUNT):
            raise CommandError("--source-account is no AccountSid: AC and 32 hex digits")
        if options["passwords_file"] and not options["generate_passwords"]:
            raise CommandError("--passwords-file needs --generate-passwords")
        snapshot = self._read(source, options["source_url"])
        counts: Counter[str] = Counter()

        def report(line: Line) -> None:
            counts[line.outcome] += 1
            if line.outcome != "unchanged" or options["verbosity"] > 1:
                self.stdout.write(f"{line.outcome:9} {line.what}{line.text and ': '}{line.text}")

        with audit.by_credential(f"importtwilio {source}"), self._passwords(options) as hand_over:
            plan = Options(options["domain_suffix"], hand_over)
            with transaction.atomic() if options["dry_run"] else nullcontext():
                self._copy(snapshot, options, plan, report)
                if options["dry_run"]:
                    transaction.set_rollback(True)
        summary = ", ".join(
            f"{counts[name]} {name}"
            for name in ("made", "changed", "unchanged", "skipped", "refused")
        )
        self.stdout.write(
            ("Dry run, nothing was changed: " if options["dry_run"] else "") + summary
        )
        if counts["refused"]:
            raise CommandError(f"{counts['refused']} could not be copied: see above")

    def _copy(
        self,
        snapshot: Snapshot,
        options: dict[str, Any],
        plan: Options,
        report: Callable[[Line], None],
    ) -> None:
        try:
            account, made = importing.target(
                options["account"], options["account_name"], snapshot.account_sid
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        report(Line("made" if made else "unchanged", f"account {account}", account.sid))
        importing.copy(snapshot, account, plan, report)

    def _read(self, source: str, url: str) -> Snapshot:
        user, secret = self._credentials(source)
        if url.startswith("http:"):
            self.stderr.write("--source-url is not https: the credentials travel in the clear.")
        try:
            from requests import RequestException
            from twilio.base.exceptions import TwilioException

            from sipdomains import twiliosource
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("twilio", "requests"):
                raise
            raise CommandError(_MISSING) from None
        try:
            return twiliosource.read(twiliosource.connect(source, user, secret, url))
        except RequestException as error:
            raise CommandError(f"The source cannot be reached: {error}") from None
        except TwilioException as error:
            raise CommandError(f"The source refuses: {_reason(error)}") from None

    @staticmethod
    def _credentials(source: str) -> tuple[str, str]:
        key, secret = os.environ.get("TWILIO_API_KEY"), os.environ.get("TWILIO_API_SECRET")
        if key and secret:
            return key, secret
        if token := os.environ.get("TWILIO_AUTH_TOKEN"):
            return source, token
        raise CommandError(
            "Set TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET, in the environment."
        )

    @contextmanager
    def _passwords(self, options: dict[str, Any]) -> Iterator[Callable[[NewPassword], None] | None]:
        """What becomes of new passwords; None when none shall be made."""
        if not options["generate_passwords"]:
            yield None
        elif options["dry_run"]:
            yield lambda new: None
        elif not options["passwords_file"]:
            yield lambda new: self.stdout.write(
                f"password  {new.username} of {new.list_name}: {new.password}"
            )
        else:
            try:
                # Never over a file that may hold the passwords of an earlier run.
                handle = os.open(
                    options["passwords_file"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
                )
            except OSError as error:
                raise CommandError(f"--passwords-file: {error}") from None
            path = Path(options["passwords_file"])
            with open(handle, "w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)

                def write(new: NewPassword) -> None:
                    if not path.stat().st_size:
                        table.writerow(("credential_list", "name", "username", "password"))
                    table.writerow((new.list_sid, new.list_name, new.username, new.password))
                    file.flush()

                yield write
            if not path.stat().st_size:
                path.unlink()


def _reason(error: Exception) -> str:
    """Of a refused fetch or a refused list: the client tells them in different ways."""
    answer = next((arg for arg in error.args if hasattr(arg, "status_code")), None)
    if answer is None:
        return str(getattr(error, "msg", error))
    status = answer.status_code
    return f"HTTP status {status}" + (" (wrong credentials?)" if status in (401, 403) else "")
