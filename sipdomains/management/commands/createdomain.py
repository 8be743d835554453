"""``manage.py createdomain``: set up a domain from a script; repeating it is harmless."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sipdomains.models import SipDomain
from sipdomains.services.provisioning import DomainPlan, provision


class Command(BaseCommand):
    help = (
        "Create a SIP domain, or add what is missing to it. Callers must come from an allowed "
        "address and authenticate, whichever of both is given; with neither, no call gets in."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="domain name, such as pbx.example.net")
        parser.add_argument("--voice-url", default="", help="asked for TwiML for each call")
        parser.add_argument("--fallback-url", default="", help="asked when the voice URL fails")
        parser.add_argument("--username", default="", help="a user that may call the domain")
        parser.add_argument(
            "--password",
            default="",
            help="of that user: 12 characters or more, with a digit, small and capital letters",
        )
        parser.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="CIDR",
            help="address or network to take calls from, such as 10.0.0.0/8 (repeatable)",
        )
        parser.add_argument(
            "--alias",
            action="append",
            default=[],
            metavar="NAME",
            help="another host name or address at which the domain is dialled (repeatable)",
        )
        parser.add_argument(
            "--account",
            default="",
            metavar="SID",
            help="owner of the domain; without it the account named default, made when missing",
        )
        parser.add_argument(
            "--register",
            action="store_true",
            help="let phones register, as users of the domain's credential list",
        )
        parser.add_argument(
            "--inband-dtmf", action="store_true", help="listen for keys in the sound itself"
        )
        parser.add_argument(
            "--type-ahead", action="store_true", help="keep keys pressed before a Gather begins"
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument(
            "--show-token",
            action="store_true",
            help="print the account's auth token too, with which requests are signed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["password"] and not options["username"]:
            raise CommandError("--password needs --username")
        plan = DomainPlan(
            name=options["name"],
            voice_url=options["voice_url"],
            fallback_url=options["fallback_url"],
            username=options["username"],
            password=options["password"],
            allow=options["allow"],
            aliases=options["alias"],
            account_sid=options["account"],
            registration=options["register"],
            inband_dtmf=options["inband_dtmf"],
            type_ahead=options["type_ahead"],
        )
        try:
            domain = provision(plan)
        except ValidationError as error:
            raise CommandError("\n".join(lines(error))) from None
        result = _describe(domain)
        if options["show_token"]:
            result["auth_token"] = domain.account.auth_token
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=1))
        else:
            for name, value in result.items():
                shown = ", ".join(value) if isinstance(value, list) else value
                self.stdout.write(f"{name + ':':20} {shown}")
        if not domain.auth_type:
            self.stderr.write(
                "Nobody can call this domain yet: give --username and --password, or --allow."
            )


def lines(error: ValidationError) -> list[str]:
    """Each message with its field and code."""
    if not hasattr(error, "error_dict"):
        return [f"{'; '.join(one.messages)} ({one.code})" for one in error.error_list]
    return [
        f"{'' if field == '__all__' else field + ': '}{'; '.join(one.messages)} ({one.code})"
        for field, errors in error.error_dict.items()
        for one in errors
    ]


def _describe(domain: SipDomain) -> dict[str, Any]:
    return {
        "account_sid": domain.account_id,
        "domain_sid": domain.sid,
        "domain_name": domain.domain_name,
        "aliases": list(domain.aliases.values_list("name", flat=True)),
        "auth_type": domain.auth_type,
        "voice_url": domain.voice_url,
        "voice_method": domain.voice_method,
        "voice_fallback_url": domain.voice_fallback_url,
    }
