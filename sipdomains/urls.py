"""All URLs: call log, admin, health, demo application."""

from django.contrib import admin
from django.urls import include, path

from sipdomains import health

urlpatterns = [
    path("", include("sipdomains.web.urls")),
    path("admin/", admin.site.urls),
    path("demo/", include("sipdomains.demo.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
