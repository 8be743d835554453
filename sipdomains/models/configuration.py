"""What all configuration models share: a change is counted and announced, in this one place.

Each insert, update and delete of a configuration row raises ``ConfigVersion`` in the same
transaction. The live side polls that number and drops what it cached; ``configuration_changed`` is
sent after the commit for those that want to know sooner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.signals import post_delete
from django.dispatch import Signal
from django.utils import timezone

configuration_changed = Signal()
"""Sent once per change after its commit, without arguments."""


class ConfigVersion(models.Model):
    """One row: how often the configuration has changed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="config_version_is_one_row")
        ]

    def __str__(self) -> str:
        return str(self.version)


def bump() -> None:
    """Count a change of configuration. Call inside the transaction of the change."""
    changed = {"version": models.F("version") + 1, "changed_at": timezone.now()}
    if not ConfigVersion.objects.filter(id=1).update(**changed):
        ConfigVersion.objects.bulk_create([ConfigVersion(id=1)], ignore_conflicts=True)
        ConfigVersion.objects.filter(id=1).update(**changed)
    pending = transaction.get_connection().run_on_commit
    if not any(callback is _announce for _, callback, _ in pending):  # once per transaction
        transaction.on_commit(_announce, robust=True)


def _announce() -> None:
    configuration_changed.send(sender=ConfigVersion)


_Row = TypeVar("_Row", bound=models.Model)


class ConfigurationQuerySet(models.QuerySet[_Row]):
    """Bulk writes are counted too; bulk deletes obey the rules of single ones."""

    def update(self, **values: Any) -> int:
        with transaction.atomic():
            count = super().update(**values)
            bump()
        return count

    update.alters_data = True  # type: ignore[attr-defined] # Django marks functions so

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic():
            created = super().bulk_create(objs, *args, **kwargs)
            bump()
        return created

    def delete(self) -> tuple[int, dict[str, int]]:
        row: Any  # a ConfigurationModel
        for row in self:
            row.check_deletable()
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined] # Django marks functions so
    delete.queryset_only = True  # type: ignore[attr-defined] # likewise


class ConfigurationManager(models.Manager[_Row]):
    def get_queryset(self) -> ConfigurationQuerySet[_Row]:
        return ConfigurationQuerySet(self.model, using=self._db)


class ConfigurationModel(models.Model):
    """Base of what operators configure."""

    created_at = models.DateTimeField("created", auto_now_add=True)
    updated_at = models.DateTimeField("changed", auto_now=True)

    objects = ConfigurationManager()

    class Meta:
        abstract = True

    def check_deletable(self) -> None:
        """Raise ValidationError, with the vendor's code, when the row is still in use."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            bump()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self.check_deletable()
        return super().delete(*args, **kwargs)


def _deleted(sender: type[models.Model], **_: Any) -> None:
    # Also reached by cascades, inside the transaction of the delete.
    if issubclass(sender, ConfigurationModel):
        bump()


post_delete.connect(_deleted, dispatch_uid="sipdomains-configuration-deleted")


def check_room(
    siblings: models.QuerySet[Any], row: models.Model, limit: int, code: str, text: str
) -> None:
    """Raise ValidationError when a new ``row`` would be one more than ``limit`` siblings."""
    if row._state.adding and siblings.count() >= limit:
        raise ValidationError(text, code=code, params={"limit": limit})


def check_same_account(strangers: models.QuerySet[Any]) -> None:
    """Raise ValidationError when there are mappings that lead to another account."""
    if strangers.exists():
        raise ValidationError(
            {
                "account": ValidationError(
                    "A domain and the lists mapped to it must belong to the same account.",
                    code="20404",
                )
            }
        )
