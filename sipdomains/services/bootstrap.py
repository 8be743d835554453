"""The demo of ``make run``: an administrator, and a domain to dial whose application we serve."""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from sipdomains.models import SipDomain
from sipdomains.models.domains import name_taken
from sipdomains.models.names import normalise_host
from sipdomains.services.provisioning import DomainPlan, provision
from sipdomains.settings.env import EnvError, listen_address
from sipdomains.settings.home import write_private

DEMO_DOMAIN = "demo.local"
DEMO_USER = "demo"
DEMO_ACCOUNT = "Demo"
DEMO_FILE = "demo.json"
VOICE_PATH = "/demo/voice"
ADMIN_USER = "admin"


@dataclass(frozen=True, slots=True)
class Demo:
    """What to print. ``admin_password`` is empty unless the administrator was made just now."""

    account_sid: str
    domain_sid: str
    domain_name: str
    username: str
    password: str
    admin_username: str
    admin_password: str

    def __repr__(self) -> str:
        return f"Demo({self.domain_name})"


def bootstrap_demo() -> Demo:
    """Make what is missing; leave alone what an operator has changed."""
    password = _demo_password(Path(settings.SIPDOMAINS_HOME))
    with transaction.atomic():
        admin_username, admin_password = _ensure_admin()
        domain = provision(
            DomainPlan(
                name=DEMO_DOMAIN,
                voice_url=_voice_url(),
                username=DEMO_USER,
                password=password,
                aliases=_free_aliases(),
                account_name=DEMO_ACCOUNT,
                description="Demo: greets, plays a tune, says goodbye",
            )
        )
    return Demo(
        account_sid=domain.account_id,
        domain_sid=domain.sid,
        domain_name=domain.domain_name,
        username=DEMO_USER,
        password=password,
        admin_username=admin_username,
        admin_password=admin_password,
    )


def generated_password() -> str:
    """A random password that satisfies the rules for credentials."""
    # Not token first: it may begin with a dash, which a command line takes for an option.
    return f"Aa{secrets.randbelow(10)}-{secrets.token_urlsafe(12)}"


def _demo_password(home: Path) -> str:
    """Kept readable in the data folder, so that each run can print it."""
    path = home / DEMO_FILE
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps({"password": generated_password()}) + "\n")
    return str(json.loads(path.read_text("utf-8"))["password"])


def _ensure_admin() -> tuple[str, str]:
    users = get_user_model().objects
    present = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if present is not None:
        return present.get_username(), ""
    password = generated_password()
    users.create_superuser(ADMIN_USER, password=password)
    return ADMIN_USER, password


def _voice_url() -> str:
    """Our application's address, unless the operator has sent the demo domain elsewhere."""
    present = SipDomain.objects.filter(domain_name=DEMO_DOMAIN).first()
    if present is not None and present.voice_url and not present.voice_url.endswith(VOICE_PATH):
        return ""
    host, _, port = settings.WEB_LISTEN.rpartition(":")
    address = host.removeprefix("[").removesuffix("]")
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if address != "::" else "[::1]"
    return f"http://{host}:{port}{VOICE_PATH}"


def _free_aliases() -> list[str]:
    """The addresses that callers on this machine and its network dial, unless they are taken."""
    demo = SipDomain.objects.filter(domain_name=DEMO_DOMAIN).first()
    names = {"localhost", "127.0.0.1", "::1"}
    if settings.SIP_EXTERNAL_ADDRESS:
        names.add(normalise_host(settings.SIP_EXTERNAL_ADDRESS))
    for text in settings.SIP_LISTEN:
        try:
            host = ip_address(listen_address(text)[1])
        except EnvError:
            continue  # the checks and the node complain about it
        if host.is_unspecified:
            names.update(_own_addresses(host.version))
        else:
            names.add(host.compressed)
    mine = set(demo.aliases.values_list("name", flat=True)) if demo else set()
    return sorted(name for name in names - mine if not name_taken(name))


def _own_addresses(version: int) -> set[str]:
    """The address from which this machine speaks to the network, if it has one. Sends nothing."""
    family, beyond = (
        (socket.AF_INET, "192.0.2.1") if version == 4 else (socket.AF_INET6, "2001:db8::1")
    )
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((beyond, 9))
            return {normalise_host(str(probe.getsockname()[0]))}
    except OSError:
        return set()
