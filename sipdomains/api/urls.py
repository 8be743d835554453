"""All addresses of the REST API, relative to ``/2010-04-01/``."""

from __future__ import annotations

from django.urls import path, re_path

from sipdomains.api import (
    accounts,
    applications,
    calls,
    events,
    notifications,
    recordings,
    sip,
)
from sipdomains.api.resources import Nowhere, routes

_EVERYTHING = "list create retrieve update destroy"
_READ = "list retrieve"
_MAPPING = "list create retrieve destroy"
_CALL = "Calls/<str:call_sid>"
_DOMAIN = "SIP/Domains/<str:domain_sid>"

urlpatterns = [
    path("Accounts.json", accounts.Accounts.as_view({"get": "list", "post": "create"})),
    path(
        "Accounts/<str:sid>.json", accounts.Accounts.as_view({"get": "retrieve", "post": "update"})
    ),
    *routes("Applications", applications.Applications, _EVERYTHING),
    *routes("Calls", calls.Calls, _EVERYTHING),
    *routes(f"{_CALL}/Recordings", recordings.CallRecordings, _EVERYTHING),
    *routes(f"{_CALL}/Notifications", notifications.CallNotifications, _READ),
    *routes(f"{_CALL}/Events", events.CallEvents, "list"),
    *routes("Recordings", recordings.Recordings, "list retrieve destroy"),
    *routes("Notifications", notifications.Notifications, _READ),
    *routes("SIP/Domains", sip.Domains, _EVERYTHING),
    *routes("SIP/CredentialLists", sip.CredentialLists, _EVERYTHING),
    *routes("SIP/CredentialLists/<str:list_sid>/Credentials", sip.Credentials, _EVERYTHING),
    *routes("SIP/IpAccessControlLists", sip.IpAccessControlLists, _EVERYTHING),
    *routes("SIP/IpAccessControlLists/<str:list_sid>/IpAddresses", sip.IpAddresses, _EVERYTHING),
    *routes(
        f"{_DOMAIN}/Auth/Calls/CredentialListMappings", sip.CallCredentialListMappings, _MAPPING
    ),
    *routes(f"{_DOMAIN}/Auth/Calls/IpAccessControlListMappings", sip.CallAclMappings, _MAPPING),
    *routes(
        f"{_DOMAIN}/Auth/Registrations/CredentialListMappings",
        sip.RegistrationCredentialListMappings,
        _MAPPING,
    ),
    *routes(f"{_DOMAIN}/CredentialListMappings", sip.LegacyCredentialListMappings, _MAPPING),
    *routes(f"{_DOMAIN}/IpAccessControlListMappings", sip.LegacyAclMappings, _MAPPING),
    re_path(r"", Nowhere.as_view(dict.fromkeys(("get", "post", "delete"), "nothing"))),
]
