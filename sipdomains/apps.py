"""The Django application: connects checks and the announcement of configuration changes."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SipdomainsConfig(AppConfig):
    name = "sipdomains"
    verbose_name = "SIP domains"

    def ready(self) -> None:
        from sipdomains import (
            audit,
            checks,  # noqa: F401 - registers the system checks
        )
        from sipdomains.models import configuration_changed
        from sipdomains.services import announcements, people

        audit.register()
        configuration_changed.connect(
            announcements.configuration_changed, dispatch_uid="sipdomains-announcements"
        )
        post_migrate.connect(people.ensure_groups, sender=self, dispatch_uid="sipdomains-groups")
