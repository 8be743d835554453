"""System checks: every misconfiguration that would cost an operator an hour, in words.

They run at each ``manage.py`` command; those that ask the database run with ``migrate`` and with
``check --database default``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.http.request import validate_host

from sipdomains.settings.env import EnvError, dns_server, listen_address, network, port_range

MIN_SECRET_LENGTH = 32
# Two ports (RTP and RTCP) per call.
MIN_RTP_PORTS = 20
RTP_PORTS_FOR_A_SERVER = 200


def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    from sipdomains.models.fields import cipher

    found: list[CheckMessage] = []
    for number, name in ((1, "SECRET_KEY"), (2, "SIP_NONCE_SECRET")):
        if len(getattr(settings, name)) < MIN_SECRET_LENGTH:
            found.append(
                Error(
                    f"{name} has fewer than {MIN_SECRET_LENGTH} characters.",
                    hint="Use 48 random characters, or leave it out: one is made in the data "
                    "folder.",
                    id=f"sipdomains.E00{number}",
                )
            )
    try:
        if not settings.FIELD_ENCRYPTION_KEYS:
            raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS is empty")
        cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))
    except ImproperlyConfigured as error:
        found.append(Error(str(error), id="sipdomains.E003"))
    return found


def check_home(**kwargs: Any) -> list[CheckMessage]:
    home = Path(settings.SIPDOMAINS_HOME)
    nearest = next(path for path in (home, *home.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return []
    return [
        Error(
            f"SIPDOMAINS_HOME: {home} cannot be written by this user.",
            hint="It holds the SQLite database, recordings, the audio cache and generated secrets.",
            id="sipdomains.E004",
        )
    ]


def check_listen(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    addresses: list[tuple[str, str, int]] = []
    for text in settings.SIP_LISTEN:
        try:
            addresses.append(listen_address(text))
        except EnvError as error:
            found.append(Error(f"SIP_LISTEN: {error}.", id="sipdomains.E010"))
    if not settings.SIP_LISTEN:
        found.append(
            Error(
                "SIP_LISTEN names no address: no phone can call.",
                hint="For example udp:0.0.0.0:5060,tcp:0.0.0.0:5060",
                id="sipdomains.E010",
            )
        )
    if len(set(addresses)) != len(addresses):
        found.append(Error("SIP_LISTEN names an address twice.", id="sipdomains.E011"))
    if settings.SIP_EXTERNAL_ADDRESS:
        found += _address_problem("SIP_EXTERNAL_ADDRESS", "sipdomains.E013")
    return found


def check_external_address(**kwargs: Any) -> list[CheckMessage]:
    """With ``check --deploy`` only: on one machine or a plain LAN the default is right."""
    if settings.SIP_EXTERNAL_ADDRESS:
        return []
    for text in settings.SIP_LISTEN:
        try:
            host = listen_address(text)[1]
        except EnvError:
            continue
        if ip_address(host).is_unspecified:
            return [
                Warning(
                    "SIP_LISTEN takes all addresses and SIP_EXTERNAL_ADDRESS is not set.",
                    hint="Phones are told the local address on which they reached us. Behind NAT "
                    "or a published container port that means no audio, or calls dropped after "
                    "32 s: name the address that phones can reach.",
                    id="sipdomains.W012",
                )
            ]
    return []


def _address_problem(name: str, code: str) -> list[CheckMessage]:
    text = str(getattr(settings, name)).removeprefix("[").removesuffix("]")
    try:
        unspecified = ip_address(text).is_unspecified
    except ValueError:
        return [Error(f"{name}: {text!r} is not an IP address.", id=code)]
    if unspecified and name == "SIP_EXTERNAL_ADDRESS":
        return [Error(f"{name}: phones cannot send to {text}.", id=code)]
    return []


def check_realm(**kwargs: Any) -> list[CheckMessage]:
    realm = settings.SIP_REALM
    if realm and len(realm) <= 255 and realm.isprintable() and not set(realm) & set('"\\'):
        return []
    return [
        Error(
            "SIP_REALM must be 1 to 255 printable characters without quotes and backslashes.",
            id="sipdomains.E014",
        )
    ]


def check_rtp(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.RTP_BIND:
        found += _address_problem("RTP_BIND", "sipdomains.E020")
    try:
        first, last = port_range(settings.RTP_PORT_RANGE)
    except EnvError as error:
        return [*found, Error(f"RTP_PORT_RANGE: {error}.", id="sipdomains.E021")]
    ports = last - first + 1
    if ports < MIN_RTP_PORTS:
        found.append(
            Error(
                f"RTP_PORT_RANGE has {ports} ports; at least {MIN_RTP_PORTS} are needed.",
                hint="Each call takes two, and rests them for a while after its end.",
                id="sipdomains.E022",
            )
        )
    elif ports < RTP_PORTS_FOR_A_SERVER:
        found.append(
            Warning(
                f"RTP_PORT_RANGE has only {ports} ports: enough for {ports // 2} calls at most.",
                id="sipdomains.W023",
            )
        )
    if first % 2 or not last % 2:
        found.append(
            Warning(
                "RTP_PORT_RANGE should begin with an even and end with an odd port.",
                hint="RTP uses even ports, RTCP the odd one above; the odd one out is never used.",
                id="sipdomains.W024",
            )
        )
    for text in settings.SIP_LISTEN:
        try:
            transport, _, port = listen_address(text)
        except EnvError:
            continue
        if transport == "udp" and first <= port <= last:
            found.append(
                Error(f"RTP_PORT_RANGE overlaps the SIP port {port}.", id="sipdomains.E025")
            )
    return found


def check_networks(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in ("SIP_TRUSTED_PROXIES", "EGRESS_ALLOW_NETWORKS", "EGRESS_DENY_NETWORKS"):
        for text in getattr(settings, name):
            try:
                checked = network(text)
            except EnvError as error:
                found.append(Error(f"{name}: {error}.", id="sipdomains.E030"))
                continue
            if name == "SIP_TRUSTED_PROXIES" and checked.endswith("/0"):
                found.append(
                    Error(
                        "SIP_TRUSTED_PROXIES trusts every address.",
                        hint="Any caller could then claim any source address.",
                        id="sipdomains.E031",
                    )
                )
    if settings.SIP_TEST_CALL_ADDRESS:
        try:
            listen_address(settings.SIP_TEST_CALL_ADDRESS)
        except EnvError as error:
            found.append(Error(f"SIP_TEST_CALL_ADDRESS: {error}.", id="sipdomains.E033"))
    for text in settings.DNS_SERVERS:
        try:
            dns_server(text)
        except EnvError as error:
            found.append(Error(f"DNS_SERVERS: {error}.", id="sipdomains.E032"))
    return found


def check_broker(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    several = connections["default"].vendor != "sqlite"  # one process would do with SQLite
    if settings.CELERY_BROKER_URL.startswith("memory:") and several:
        found.append(
            Warning(
                "CELERY_BROKER_URL is memory://, which joins only the parts of one process.",
                hint="Web, SIP node and workers as processes of their own need redis://.",
                id="sipdomains.W040",
            )
        )
    scheme = settings.BUS_URL.partition(":")[0]
    if scheme not in ("memory", "redis", "rediss", "unix"):
        found.append(
            Error(
                f"BUS_URL: there is no bus for {scheme}:// addresses.",
                hint="Use redis://host:6379/0, or memory:// when everything runs in one process.",
                id="sipdomains.E041",
            )
        )
    elif (scheme == "memory") != settings.CELERY_BROKER_URL.startswith("memory:"):
        found.append(
            Error(
                "One of BUS_URL and CELERY_BROKER_URL is memory:// and the other is not.",
                hint="Replies of workers would never reach the node: every call would fail.",
                id="sipdomains.E042",
            )
        )
    return found


def check_web(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    host, _, port = settings.WEB_LISTEN.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        found.append(Error("WEB_LISTEN must be of the form 127.0.0.1:8000.", id="sipdomains.E050"))
    public = host not in ("127.0.0.1", "localhost", "[::1]")
    if settings.DEBUG and public:
        found.append(
            Error(
                f"DEBUG is on while the web pages listen on {host}.",
                hint="Error pages of DEBUG show settings and source to anybody.",
                id="sipdomains.E051",
            )
        )
    return found


def check_public_url(**kwargs: Any) -> list[CheckMessage]:
    """RecordingUrl begins with it: applications and browsers must get there."""
    url = settings.PUBLIC_URL
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    plain = not (parts.query or parts.fragment or parts.username) if host else False
    if not plain or parts.scheme not in ("http", "https"):
        return [
            Error(
                f"PUBLIC_URL: {url!r} is not the address of a web server.",
                hint="For example https://calls.example.net",
                id="sipdomains.E052",
            )
        ]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it is what is warned of
        return [
            Warning(
                f"PUBLIC_URL is {url}, where nobody can reach this server.",
                hint="Set it to the address that applications and browsers use: the URLs of "
                "recordings begin with it.",
                id="sipdomains.W053",
            )
        ]
    shown = f"[{host}]" if ":" in host else host
    if not validate_host(shown, settings.ALLOWED_HOSTS):
        return [
            Warning(
                f"PUBLIC_URL names the host {host}, which is not in ALLOWED_HOSTS.",
                hint="Recordings could not be downloaded from there: add it.",
                id="sipdomains.W054",
            )
        ]
    return []


def check_stored_secrets(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What is in the database against the realm and the encryption keys."""
    if "default" not in (databases or ()):
        return []
    from sipdomains.models import Account, Credential
    from sipdomains.models.fields import DecryptionFailed

    found: list[CheckMessage] = []
    try:
        if Credential._meta.db_table not in connections["default"].introspection.table_names():
            return []  # before the first migration
        strangers = Credential.objects.exclude(realm=settings.SIP_REALM).count()
        _ = Account.objects.only("auth_token").order_by("-updated_at").first()
        _ = Credential.objects.only("ha1_md5").order_by("-updated_at").first()
    except DatabaseError as error:
        return [Error(f"The database does not answer: {error}", id="sipdomains.E060")]
    except (DecryptionFailed, ImproperlyConfigured) as error:
        return [
            Error(
                f"Stored secrets cannot be read: {error}.",
                hint="Put the key with which they were written back into FIELD_ENCRYPTION_KEYS.",
                id="sipdomains.E061",
            )
        ]
    if strangers:
        found.append(
            Error(
                f"{strangers} credentials were stored under another SIP_REALM than "
                f"{settings.SIP_REALM!r}: their users cannot authenticate.",
                hint="Set SIP_REALM back, or give those users their passwords again.",
                id="sipdomains.E062",
            )
        )
    return found


def check_trunks(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Trunks that carry nothing or too much, and registration that nobody can use."""
    if "default" not in (databases or ()):
        return []
    from sipdomains.models import SipDomain, Trunk

    found: list[CheckMessage] = []
    try:
        if Trunk._meta.db_table not in connections["default"].introspection.table_names():
            return []
        trunks = list(
            Trunk.objects.filter(enabled=True)
            .defer("password")
            .select_related("account")
            .defer("account__auth_token", "account__secondary_auth_token")
            .prefetch_related("rules")
        )
        unusable = SipDomain.objects.filter(
            enabled=True, sip_registration=True, registration_credential_list_mappings=None
        )
        names = sorted(unusable.values_list("domain_name", flat=True))
    except DatabaseError:
        return []  # told by check_stored_secrets
    for trunk in trunks:
        found += _trunk_problems(trunk)
    if names:
        found.append(
            Warning(
                f"Registration is on at {', '.join(names)}, but no phone can register there.",
                hint="Map a credential list for registrations to the domain.",
                id="sipdomains.W072",
            )
        )
    return found


def _trunk_problems(trunk: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    allowed = [rule.prefix for rule in trunk.rules.all() if rule.allow]
    if not allowed:
        found.append(
            Warning(
                f"The trunk {trunk} carries nothing: none of its rules allows a number.",
                hint="Add a rule with a prefix that may be dialled, such as +49.",
                id="sipdomains.W070",
            )
        )
    account = trunk.account
    if "" in allowed and not (account.max_outgoing_calls and account.max_outgoing_per_minute):
        found.append(
            Warning(
                f"The trunk {trunk} carries every number, and the account {account} has no limit "
                "of outgoing calls.",
                hint="That invites toll fraud: allow the prefixes that are needed, or set limits.",
                id="sipdomains.W071",
            )
        )
    return found


_PLAIN: tuple[Callable[..., list[CheckMessage]], ...] = (
    check_secrets,
    check_home,
    check_listen,
    check_realm,
    check_rtp,
    check_networks,
    check_broker,
    check_web,
    check_public_url,
)
for _check in _PLAIN:
    register(_check, "sipdomains")
register(check_external_address, "sipdomains", deploy=True)
register(check_stored_secrets, Tags.database, "sipdomains")
register(check_trunks, Tags.database, "sipdomains")
