"""All URLs: call log, files of recordings, admin, health, demo application."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from sipdomains import health
from sipdomains.api import recording_media
from sipdomains.security import API_DOCUMENTATION_POLICY, with_policy

urlpatterns = [
    path("", include("sipdomains.web.urls")),
    path("admin/", admin.site.urls),
    re_path(
        r"^2010-04-01/Accounts/(?P<account_sid>[^/]+)"
        r"/Recordings/(?P<name>RE[0-9a-f]{32}(?:\.wav|\.mp3)?)$",
        recording_media.recording_file,
        name="recording-file",
    ),
    path("2010-04-01/", include("sipdomains.api.urls")),
    path("api/openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path(
        "api/",
        with_policy(
            API_DOCUMENTATION_POLICY, SpectacularSwaggerSplitView.as_view(url_name="openapi")
        ),
        name="api-docs",
    ),
    path("demo/", include("sipdomains.demo.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
