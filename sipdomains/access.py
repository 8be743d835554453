"""Who may see and do what: the one place that decides, for pages, admin and downloads.

Two questions, and the answer to both is no unless something says yes. *What* a user may do is said
by permissions, which come with the groups below. *Where* is said by the accounts the user is bound
to; the group ``every account`` (and being a superuser) lifts that bound. What lies beyond it does
not exist for the user: lists leave it out, pages of it are not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet

from sipdomains.models import AccountMember

SEE_CALLS = "sipdomains.view_call"
HEAR_RECORDINGS = "sipdomains.view_recording"
OPERATE_CALLS = "sipdomains.operate_call"
SEE_DOMAINS = "sipdomains.view_sipdomain"
ALLOW_ADDRESSES = "sipdomains.add_ipaddress"
SEE_EVERY_ACCOUNT = "sipdomains.see_every_account"

VIEWER, OPERATOR, ADMINISTRATOR = "viewer", "operator", "administrator"
EVERY_ACCOUNT = "every account"

_CONFIGURATION = (
    "application", "callaclmapping", "callcredentiallistmapping", "credential", "credentiallist",
    "domainalias", "ipaccesscontrollist", "ipaddress", "registrationcredentiallistmapping",
    "sipdomain", "trunk", "trunkrule",
)  # fmt: skip
_LOG = (
    "account", "call", "callcommand", "callevent", "callorder", "notification", "outboxmessage",
    "recording", "registration", "sipnode", "transfer", "webhookrequest",
)  # fmt: skip
_EDITED = ("add", "change", "delete")

_LOOK = frozenset(f"view_{model}" for model in (*_CONFIGURATION, *_LOG))
_OPERATE = _LOOK | {"operate_call", "change_outboxmessage", "delete_registration"}
_ADMINISTER = _OPERATE | {
    f"{verb}_{model}" for model in (*_CONFIGURATION, "account") for verb in _EDITED
}
_ADMINISTER |= {f"{verb}_apikey" for verb in ("view", *_EDITED)}

# Code names of permissions of this application; each migration sets them anew.
GROUPS: dict[str, frozenset[str]] = {
    VIEWER: _LOOK,
    OPERATOR: _OPERATE,
    ADMINISTRATOR: _ADMINISTER,
    EVERY_ACCOUNT: frozenset({"see_every_account"}),
}

_Rows = TypeVar("_Rows", bound=QuerySet[Any, Any])


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts that somebody sees. None: every one, and what belongs to none."""

    accounts: frozenset[str] | None

    @property
    def everything(self) -> bool:
        return self.accounts is None

    def sees(self, account_sid: str | None) -> bool:
        return self.accounts is None or account_sid in self.accounts

    def narrow(self, rows: _Rows, path: str = "account_id") -> _Rows:
        """``rows`` without those of other accounts. ``path`` leads from a row to the SID of its
        account; without one the rows belong to none."""
        if self.accounts is None:
            return rows
        if not path or not self.accounts:
            return rows.none()
        return rows.filter(**{f"{path}__in": sorted(self.accounts)})


EVERYTHING = Scope(None)
NOTHING = Scope(frozenset())


def scope_of(user: AbstractBaseUser | AnonymousUser) -> Scope:
    """One query, once for each user object."""
    known: Scope | None = getattr(user, "_desk_scope", None)
    if known is None:
        known = _scope_of(user)
        user._desk_scope = known  # type: ignore[union-attr] # kept with the object
    return known


def _scope_of(user: Any) -> Scope:
    if not user.is_authenticated or not user.is_active:
        return NOTHING
    if user.has_perm(SEE_EVERY_ACCOUNT):
        return EVERYTHING
    mine = AccountMember.objects.filter(user=user).values_list("account_id", flat=True)
    return Scope(frozenset(mine))


def may(user: AbstractBaseUser | AnonymousUser, permission: str, account_sid: str | None) -> bool:
    """Whether ``user`` has ``permission`` over what belongs to that account."""
    person: Any = user
    return bool(person.has_perm(permission)) and scope_of(user).sees(account_sid)
