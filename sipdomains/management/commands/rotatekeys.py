"""``manage.py rotatekeys``: encrypt all secrets anew with the first encryption key."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from sipdomains.models.fields import DecryptionFailed, EncryptedTextField

_CHUNK = 500


class Command(BaseCommand):
    help = (
        "Encrypt stored secrets with the first of FIELD_ENCRYPTION_KEYS. Put the new key in front, "
        "restart, run this, then take the old key away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for model in apps.get_app_config("sipdomains").get_models():
            names = [
                field.name
                for field in model._meta.concrete_fields
                if isinstance(field, EncryptedTextField)
            ]
            if not names:
                continue
            rows = model._default_manager
            keys = list(rows.values_list("pk", flat=True))
            for first in range(0, len(keys), _CHUNK):
                try:
                    chunk = list(rows.filter(pk__in=keys[first : first + _CHUNK]).only(*names))
                except DecryptionFailed as error:
                    raise CommandError(f"{error}; put its key back") from None
                rows.bulk_update(chunk, names)
            self.stdout.write(f"{model._meta.verbose_name_plural}: {len(keys)}")
