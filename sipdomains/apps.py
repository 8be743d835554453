"""The Django application: connects checks and the announcement of configuration changes."""

from django.apps import AppConfig


class SipdomainsConfig(AppConfig):
    name = "sipdomains"
    verbose_name = "SIP domains"

    def ready(self) -> None:
        from sipdomains import checks  # noqa: F401 - registers the system checks
