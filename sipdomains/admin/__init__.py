"""The admin site, for staff: configuration to edit, the log to read."""

from django.contrib import admin

from sipdomains.admin import (  # noqa: F401 - registration
    accounts,
    apikeys,
    applications,
    domains,
    history,
    lists,
    live,
    log,
    people,
    recordings,
    registrations,
    trunks,
)
from sipdomains.login import AdminLoginForm

admin.site.login_form = AdminLoginForm
admin.site.login_template = "admin/sipdomains/login.html"
admin.site.site_header = "sipdomains"
admin.site.site_title = "sipdomains"
admin.site.index_title = "Configuration and log"
