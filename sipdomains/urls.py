"""All URLs: call log, files of recordings, admin, health, demo application."""

from django.contrib import admin
from django.urls import include, path

from sipdomains import health
from sipdomains.web import download

urlpatterns = [
    path("", include("sipdomains.web.urls")),
    path("admin/", admin.site.urls),
    path(
        "2010-04-01/Accounts/<str:account_sid>/Recordings/<str:name>",
        download.recording_file,
        name="recording-file",
    ),
    path("demo/", include("sipdomains.demo.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
