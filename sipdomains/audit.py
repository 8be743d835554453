"""Who changed what: every change of configuration leaves an entry, by way of django-auditlog.

Whoever is logged in to the pages stands in the entry as its actor; of the REST API, whose clients
are no users, the credential that was used (AccountSid or key SID) stands in its additional data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from auditlog.middleware import AuditlogMiddleware
from auditlog.registry import auditlog
from django.http import HttpRequest

from sipdomains import models

_credential: ContextVar[str] = ContextVar("credential", default="")

# Nothing of these is shown in an entry, not even that it is long.
SECRETS = {
    models.Account: ("auth_token", "secondary_auth_token"),
    models.Credential: ("ha1_md5", "ha1_sha256"),
    models.Trunk: ("password",),
    models.ApiKey: ("secret_hash",),
}
# What changes with use, or with every other change.
_NOISE = ("created_at", "updated_at", "last_used_at")
_AUDITED = (
    models.Account,
    models.ApiKey,
    models.Application,
    models.CallAclMapping,
    models.CallCredentialListMapping,
    models.Credential,
    models.CredentialList,
    models.DomainAlias,
    models.IpAccessControlList,
    models.IpAddress,
    models.RegistrationCredentialListMapping,
    models.SipDomain,
    models.Trunk,
    models.TrunkRule,
)


class AuditMiddleware(AuditlogMiddleware):  # type: ignore[misc] # without types
    """The address is that of the connection: anybody can write X-Forwarded-For. Behind a proxy the
    web server has put the right one there."""

    @staticmethod
    def _get_remote_addr(request: HttpRequest) -> str | None:
        return request.META.get("REMOTE_ADDR") or None


def additional_data() -> dict[str, str] | None:
    """For the entry that is being written."""
    credential = _credential.get()
    return {"credential": credential} if credential else None


@contextmanager
def by_credential(sid: str) -> Iterator[None]:
    """Changes in this block are those of the API client that has shown this credential."""
    token = _credential.set(sid)
    try:
        yield
    finally:
        _credential.reset(token)


def register() -> None:
    """Once, when the application is ready."""
    for model in _AUDITED:
        auditlog.register(
            model,
            exclude_fields=[*_NOISE],
            mask_fields=[*SECRETS.get(model, ())],
            mask_callable="sipdomains.audit.masked",
        )
        model.get_additional_data = lambda self: additional_data()  # type: ignore[union-attr] # what auditlog looks for


def masked(value: str) -> str:
    return "(hidden)" if value else ""
