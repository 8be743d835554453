"""The Django application: connects checks and the announcement of configuration changes."""

from django.apps import AppConfig


class SipdomainsConfig(AppConfig):
    name = "sipdomains"
    verbose_name = "SIP domains"

    def ready(self) -> None:
        from sipdomains import (
            audit,
            checks,  # noqa: F401 - registers the system checks
        )
        from sipdomains.models import configuration_changed
        from sipdomains.services import announcements

        audit.register()
        configuration_changed.connect(
            announcements.configuration_changed, dispatch_uid="sipdomains-announcements"
        )
