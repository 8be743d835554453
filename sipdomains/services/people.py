"""The groups of the desk, as ``access`` defines them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission

from sipdomains import access


def ensure_groups(**_: Any) -> None:
    """After each migration: the groups are there, with their permissions. Who wants another mix
    makes a group of another name."""
    for name, codenames in access.GROUPS.items():
        group, _made = Group.objects.get_or_create(name=name)
        group.permissions.set(
            Permission.objects.filter(content_type__app_label="sipdomains", codename__in=codenames)
        )
