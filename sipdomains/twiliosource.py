"""What stands in a Twilio account, read through its API by the twilio package (an optional extra).

Imported by ``manage.py importtwilio`` alone, since the package may not be there.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from sipdomains.services.importing import Collection, Domain, Entry, Snapshot

_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)  # the client tells of every request

_TIMEOUT = 30.0
_PAGE = 1000
_TRIES = 6
_LONGEST_WAIT = 30.0

_VOICE = (
    "voice_url", "voice_fallback_url", "voice_method", "voice_fallback_method",
)  # fmt: skip
_DOMAIN = (
    "domain_name", "friendly_name", *_VOICE, "voice_status_callback_url",
    "voice_status_callback_method", "sip_registration", "secure",
)  # fmt: skip
_ADDRESS = ("friendly_name", "ip_address", "cidr_prefix_length")
_APPLICATION = ("friendly_name", *_VOICE, "status_callback", "status_callback_method")
_MESSAGING = (
    "sms_url", "sms_method", "sms_fallback_url", "sms_fallback_method", "sms_status_callback",
    "message_status_callback", "voice_caller_id_lookup", "public_application_connect_enabled",
)  # fmt: skip
_LEFT_BEHIND = ("byoc_trunk_sid", "emergency_caller_sid", "emergency_calling_enabled")


class PatientHttp(TwilioHttpClient):  # type: ignore[misc] # without types
    """Asks again when it is told that it asks too often."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        for tries in range(1, _TRIES + 1):
            answer = super().request(*args, **kwargs)
            if answer.status_code != 429 or tries == _TRIES:
                break
            wait = str((answer.headers or {}).get("Retry-After", ""))
            time.sleep(min(float(wait) if wait.isdecimal() else 2.0**tries, _LONGEST_WAIT))
        return answer


def connect(account_sid: str, user: str, secret: str, base_url: str) -> Client:
    """``user`` and ``secret``: the account and its token, or an API key. ``base_url`` may be empty:
    Twilio itself."""
    client = Client(
        user, secret, account_sid, http_client=PatientHttp(timeout=_TIMEOUT, logger=_log)
    )
    if base_url:
        client.api.base_url = base_url.rstrip("/")
    return client


def read(client: Client) -> Snapshot:
    """Raises twilio's and requests' exceptions."""
    sip = client.sip
    return Snapshot(
        account_sid=client.account_sid,
        applications=tuple(_application(row) for row in client.applications.list(page_size=_PAGE)),
        credential_lists=tuple(
            _collection(row, sip.credential_lists(row.sid).credentials, "username")
            for row in sip.credential_lists.list(page_size=_PAGE)
        ),
        acls=tuple(
            _collection(row, sip.ip_access_control_lists(row.sid).ip_addresses, *_ADDRESS)
            for row in sip.ip_access_control_lists.list(page_size=_PAGE)
        ),
        domains=tuple(_domain(client, row) for row in sip.domains.list(page_size=_PAGE)),
    )


def _collection(row: Any, entries: Any, *names: str) -> Collection:
    return Collection(
        row.sid,
        _values(row, "friendly_name"),
        tuple(Entry(one.sid, _values(one, *names)) for one in entries.list(page_size=_PAGE)),
    )


def _domain(client: Client, row: Any) -> Domain:
    auth = client.sip.domains(row.sid).auth
    return Domain(
        row.sid,
        _values(row, *_DOMAIN),
        call_credential_lists=_sids(auth.calls.credential_list_mappings),
        call_acls=_sids(auth.calls.ip_access_control_list_mappings),
        registration_credential_lists=_sids(auth.registrations.credential_list_mappings),
        left_behind=tuple(
            f"{name} {value}" for name in _LEFT_BEHIND if (value := getattr(row, name, None))
        ),
    )


def _sids(mappings: Any) -> tuple[str, ...]:
    return tuple(row.sid for row in mappings.list(page_size=_PAGE))


def _application(row: Any) -> Entry:
    values = _values(row, *_APPLICATION)
    values["friendly_name"] = values["friendly_name"] or "Application"
    messaging = {name: getattr(row, name, None) for name in _MESSAGING}
    values["messaging"] = {name: value for name, value in messaging.items() if value}
    return Entry(row.sid, values)


def _values(row: Any, *names: str) -> dict[str, Any]:
    return {name: _plain(name, getattr(row, name)) for name in names}


def _plain(name: str, value: Any) -> Any:
    """As our models hold it: no text is empty, no method is POST."""
    if name.endswith("_method"):
        return (value or "POST").upper()
    if name in ("sip_registration", "secure"):
        return bool(value)
    if name == "cidr_prefix_length":
        return value
    return value or ""
