"""Configuration of another account, copied into one of ours. Repeating it writes what differs.

``Snapshot`` is what stands there, as it came; ``copy`` writes it, row by row, each in a transaction
of its own: what is refused is reported and the rest goes on. Nothing here is ever deleted. SIDs are
kept where they are free. Where another account has one already, a SID that follows from both is
taken: the next run finds the row by it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models, transaction

from sipdomains.models import (
    Account,
    Application,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
)
from sipdomains.models.names import normalise_host
from sipdomains.services import configuration
from sipdomains.services.bootstrap import generated_password

VENDOR_HOST = "sip.twilio.com"
_VENDOR_PAGES = ("twilio.com", "twil.io")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the source. ``values`` are by the names of our models."""

    sid: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Collection(Entry):
    """A credential list or an IP access control list with what is in it."""

    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain(Entry):
    """With the SIDs of the lists mapped to it. ``left_behind`` names settings that are not ours."""

    call_credential_lists: tuple[str, ...] = ()
    call_acls: tuple[str, ...] = ()
    registration_credential_lists: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    account_sid: str
    domains: tuple[Domain, ...] = ()
    credential_lists: tuple[Collection, ...] = ()
    acls: tuple[Collection, ...] = ()
    applications: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """``outcome``: made, changed, unchanged, skipped, refused, or note."""

    outcome: str
    what: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class NewPassword:
    list_sid: str
    list_name: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Options:
    """``hand_over`` gets each new password, in the transaction that stores its hashes: should it
    fail, the user is not made. Without it, users that are not here yet are skipped."""

    domain_suffix: str = ""
    hand_over: Callable[[NewPassword], None] | None = None


def target(sid: str, name: str, source_sid: str) -> tuple[Account, bool]:
    """The account to copy into, and whether it was made: by its SID, or by its name. A new one
    keeps the source's SID if that is free. Raises ValidationError."""
    if sid:
        found = Account.objects.filter(sid=sid).first()
        if found is None:
            raise ValidationError(f"There is no account {sid}.", code="20404")
        return found, False
    found = Account.objects.filter(friendly_name=name).order_by("created_at").first()
    if found is not None:
        return found, False
    made = Account(friendly_name=name)
    if not Account.objects.filter(sid=source_sid).exists():
        made.sid = source_sid
    return configuration.write(made, {}), True


def copy(
    snapshot: Snapshot, account: Account, options: Options, report: Callable[[Line], None]
) -> None:
    _Copy(snapshot, account, options, report).run()


@dataclass(slots=True)
class _Copy:
    snapshot: Snapshot
    account: Account
    options: Options
    report: Callable[[Line], None]
    lists: dict[str, Any] = field(default_factory=dict)  # by the source's SID

    def run(self) -> None:
        for application in self.snapshot.applications:
            name = f"application {application.values['friendly_name']}"
            self._row(Application, application, name, application.values, account=self.account)
            self._note_urls(name, application.values)
        for users in self.snapshot.credential_lists:
            self._list(CredentialList, users, "credential list", self._credential)
        for acl in self.snapshot.acls:
            self._list(IpAccessControlList, acl, "IP access control list", self._address)
        # A sub-domain needs the domain above it.
        for domain in sorted(
            self.snapshot.domains, key=lambda one: str(one.values["domain_name"]).count(".")
        ):
            self._domain(domain)

    # --- kinds of rows ----------------------------------------------------------------------

    def _list(
        self,
        model: type[Any],
        source: Collection,
        kind: str,
        copy_entry: Callable[[Any, Entry], None],
    ) -> None:
        name = f"{kind} {source.values['friendly_name']}"
        row = self._row(model, source, name, source.values, account=self.account)
        if row is None:
            return
        self.lists[source.sid] = row
        for entry in source.entries:
            copy_entry(row, entry)

    def _credential(self, users: CredentialList, source: Entry) -> None:
        username = str(source.values["username"])
        name = f"user {username} of {users}"
        if users.credentials.filter(username=username).exists():
            self.report(Line("unchanged", name))
            return
        if self.options.hand_over is None:
            self.report(
                Line(
                    "skipped",
                    name,
                    "its password cannot be read from the source: --generate-passwords makes one",
                )
            )
            return
        user = Credential(credential_list=users, username=username)
        self._give_sid(user, source.sid, name)
        password = generated_password()
        given = NewPassword(users.sid, users.friendly_name, username, password)
        try:
            with transaction.atomic():
                user.set_password(password)
                configuration.write(user, {})
                self.options.hand_over(given)
        except ValidationError as error:
            self._refused(name, error)
        else:
            self.report(Line("made", name, "with a new password"))

    def _address(self, acl: IpAccessControlList, source: Entry) -> None:
        values = {**source.values, **_network(source.values)}
        name = f"address {values['ip_address']}/{values['cidr_prefix_length']} of {acl}"
        same = acl.addresses.filter(
            ip_address=values["ip_address"], cidr_prefix_length=values["cidr_prefix_length"]
        )
        self._row(IpAddress, source, name, values, instead=same, acl=acl)

    def _domain(self, source: Domain) -> None:
        name = normalise_host(str(source.values["domain_name"]))
        renamed = self._renamed(name)
        if renamed is None:
            self.report(
                Line(
                    "skipped",
                    f"domain {name}",
                    f"a name under {VENDOR_HOST} leads to Twilio: give --domain-suffix",
                )
            )
            return
        what = f"domain {renamed}" + (f" (was {name})" if renamed != name else "")
        values = {**source.values, "domain_name": renamed}
        same = SipDomain.objects.filter(account=self.account, domain_name=renamed)
        row = self._row(SipDomain, source, what, values, instead=same, account=self.account)
        if row is None:
            return
        for text in source.left_behind:
            self.report(Line("note", what, f"not copied: {text}"))
        if row.secure:
            self.report(Line("note", what, "it is secure: check that this server does TLS"))
        self._note_urls(what, values)
        self._map(row, CallCredentialListMapping, source.call_credential_lists, "for calls")
        self._map(row, CallAclMapping, source.call_acls, "for calls")
        self._map(
            row,
            RegistrationCredentialListMapping,
            source.registration_credential_lists,
            "for registrations",
        )

    def _renamed(self, name: str) -> str | None:
        """None when the name cannot be used here."""
        if name != VENDOR_HOST and not name.endswith(f".{VENDOR_HOST}"):
            return name
        suffix = normalise_host(self.options.domain_suffix)
        return name.removesuffix(VENDOR_HOST) + suffix if suffix else None

    def _map(self, domain: SipDomain, model: type[Any], sids: Iterable[str], use: str) -> None:
        for sid in sids:
            mapped = self.lists.get(sid)
            if mapped is None:
                self.report(Line("skipped", f"list {sid} at {domain} {use}", "it was not copied"))
                continue
            name = f"{mapped} at {domain} {use}"
            link = {"domain": domain, model.LIST_FIELD: mapped}
            if model.objects.filter(**link).exists():
                self.report(Line("unchanged", name))
                continue
            try:
                configuration.write(model(), link)
            except ValidationError as error:
                self._refused(name, error)
            else:
                self.report(Line("made", name))

    # --- one row ----------------------------------------------------------------------------

    def _row(
        self,
        model: type[Any],
        source: Entry,
        name: str,
        values: Mapping[str, Any],
        instead: models.QuerySet[Any] | None = None,
        **owner: Any,
    ) -> Any:
        """The row that was made, changed or left alone; None when it was refused. ``instead`` finds
        one that was made here by hand."""
        wanted = (source.sid, self._other_sid(source.sid))
        row = model.objects.filter(sid__in=wanted, **owner).first()
        if row is None and instead is not None:
            row = instead.first()
        outcome = "made" if row is None else "changed"
        if row is None:
            row = model(**owner)
            self._give_sid(row, source.sid, name)
        else:
            values = {key: new for key, new in values.items() if getattr(row, key) != new}
            if not values:
                self.report(Line("unchanged", name))
                return row
        try:
            configuration.write(row, values)
        except ValidationError as error:
            self._refused(name, error)
            if outcome == "made":
                return None
            row.refresh_from_db()  # what is mapped to it, or in it, is still copied
            return row
        text = row.sid if outcome == "made" else ", ".join(sorted(values))
        self.report(Line(outcome, name, text))
        return row

    def _give_sid(self, row: models.Model, sid: str, name: str) -> None:
        if not type(row)._default_manager.filter(pk=sid).exists():
            row.pk = sid
            return
        row.pk = self._other_sid(sid)
        self.report(Line("note", name, f"{sid} is taken here: it becomes {row.pk}"))

    def _other_sid(self, sid: str) -> str:
        """The same in every run."""
        digest = hashlib.sha256(f"{self.account.sid} {sid}".encode()).hexdigest()
        return sid[:2] + digest[:32]

    def _refused(self, name: str, error: ValidationError) -> None:
        self.report(Line("refused", name, " ".join(error.messages)))

    def _note_urls(self, name: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, str) and value.startswith("http") and _is_vendors(value):
                self.report(Line("note", name, f"{key} leads to Twilio itself: {value}"))


def _is_vendors(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == name or host.endswith(f".{name}") for name in _VENDOR_PAGES)


def _network(values: Mapping[str, Any]) -> dict[str, Any]:
    """As our rows hold it: the first address of the network. What is no network stays as it is,
    for the model to refuse."""
    address, prefix = values["ip_address"], values["cidr_prefix_length"]
    try:
        network = ip_network(f"{address}/{prefix}" if prefix is not None else address, strict=False)
    except ValueError:
        return {}
    return {"ip_address": str(network.network_address), "cidr_prefix_length": network.prefixlen}
