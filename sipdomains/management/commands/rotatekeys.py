"""``manage.py rotatekeys``: encrypt all secrets anew with the first encryption key."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sipdomains.models.fields import DecryptionFailed, EncryptedTextField


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
            count = 0
            try:
                with transaction.atomic():
                    for row in model._default_manager.only(*names).iterator(chunk_size=500):
                        row.save(update_fields=names)
                        count += 1
            except DecryptionFailed as error:
                raise CommandError(f"{error}; put its key back") from None
            self.stdout.write(f"{model._meta.verbose_name_plural}: {count}")
