"""Who changed what: every change of configuration leaves an entry, by way of django-auditlog.

Whoever is logged in to the pages stands in the entry as its actor; of the REST API, whose clients
are no users, the credential that was used (AccountSid or key SID) stands in its additional data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from auditlog.middleware import AuditlogMiddleware
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from auditlog.signals import accessed
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from sipdomains import models, redaction

_credential: ContextVar[str] = ContextVar("credential", default="")

# Nothing of these is shown in an entry, not even that it is long.
SECRETS = {
    models.Account: ("auth_token", "secondary_auth_token"),
    models.Credential: ("ha1_md5", "ha1_sha256"),
    models.Trunk: ("password",),
    models.ApiKey: ("secret_hash",),
    models.Authenticator: ("key",),
}
# What changes with use, or with every other change.
_NOISE = (
    "created_at",
    "updated_at",
    "last_used_at",
    "last_t",
    "throttling_failure_timestamp",
    "throttling_failure_count",
)
AUDITED = (
    models.Account,
    models.AccountMember,
    models.ApiKey,
    models.Application,
    models.Authenticator,
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


def was_read(row: Model) -> None:
    """Put on record that somebody was shown what is secret of this row."""
    accessed.send(sender=type(row), instance=row)


def history(
    model: type[Model], pk: str, children: Sequence[tuple[type[Model], str]] = ()
) -> QuerySet[LogEntry]:
    """Entries of one row and of its ``children`` (a model and the name of its foreign key to the
    row), among them those that are no more; newest first."""
    own = Q(content_type=ContentType.objects.get_for_model(model), object_pk=pk)
    for child, name in children:
        kind = ContentType.objects.get_for_model(child)
        pointed = Q(**{f"changes__{name}__0": pk}) | Q(**{f"changes__{name}__1": pk})
        belonged = LogEntry.objects.filter(pointed, content_type=kind).values("object_pk")
        own |= Q(content_type=kind, object_pk__in=belonged)
    entries: QuerySet[LogEntry] = LogEntry.objects.filter(own)
    return entries.select_related("actor", "content_type").order_by("-pk")


def who(entry: LogEntry) -> str:
    """Who made the change that ``entry`` is about."""
    if entry.actor is not None:
        return str(entry.actor.get_username())
    credential = (entry.additional_data or {}).get("credential", "")
    return credential or "the system"


def changes(entry: LogEntry) -> list[tuple[str, str, str]]:
    """Name of the field, old and new value, without passwords of URLs. Nothing of what was deleted:
    it is all the same."""
    if entry.action == LogEntry.Action.DELETE:
        return []
    texts = {
        name: ["" if value == "None" else redaction.masked(str(value)) for value in change]
        for name, change in (entry.changes or {}).items()
    }
    return [(name, old, new) for name, (old, new) in sorted(texts.items()) if old or new]


def register() -> None:
    """Once, when the application is ready."""
    for model in AUDITED:
        auditlog.register(
            model,
            exclude_fields=[*_NOISE, *_reverse(model)],
            mask_fields=[*SECRETS.get(model, ())],
            mask_callable="sipdomains.audit.masked",
        )
        model.get_additional_data = lambda self: additional_data()  # type: ignore[union-attr] # what auditlog looks for


def _reverse(model: type[Model]) -> list[str]:
    """What points to the row, which is no part of it."""
    return [field.name for field in model._meta.get_fields() if field.auto_created]


def masked(value: str) -> str:
    """ "None" is what an entry says of a field that had no value."""
    return "(hidden)" if value not in ("", "None") else ""
