"""``manage.py createtrunk``: a way out to the telephone network; repeating it is harmless."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sipdomains.management.commands.createdomain import lines
from sipdomains.services.provisioning import TrunkPlan, provision_trunk


class Command(BaseCommand):
    help = "Create a trunk, or add what is missing to it. Numbers without a rule stay denied."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("host", help="host name or address of the provider or gateway")
        parser.add_argument("--port", type=int, default=None, help="else as DNS says, else 5060")
        parser.add_argument("--transport", default="", choices=["", "udp", "tcp"])
        parser.add_argument("--username", default="")
        parser.add_argument("--password", default="")
        parser.add_argument(
            "--allow-prefix",
            action="append",
            default=[],
            metavar="PREFIX",
            help="numbers that may be dialled, such as +49 (repeatable)",
        )
        parser.add_argument("--priority", type=int, default=10, help="lower is tried first")
        parser.add_argument(
            "--account", default="", metavar="SID", help="owner; else the account named default"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        plan = TrunkPlan(
            name=options["name"],
            host=options["host"],
            port=options["port"],
            transport=options["transport"],
            username=options["username"],
            password=options["password"],
            prefixes=options["allow_prefix"],
            priority=options["priority"],
            account_sid=options["account"],
        )
        try:
            trunk = provision_trunk(plan)
        except ValidationError as error:
            raise CommandError("\n".join(lines(error))) from None
        rules = ", ".join(str(rule) for rule in trunk.rules.all()) or "none: every number is denied"
        self.stdout.write(f"trunk {trunk} ({trunk.sid}) at {trunk.host}; rules: {rules}")
