from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.db import connections

from sipdomains import checks
from sipdomains.models import Account, Trunk, TrunkRule


@pytest.fixture(autouse=True)
def sqlite(monkeypatch) -> None:
    """Also where the suite runs on another database."""
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")


def ids(check, **kwargs) -> list[str]:
    return [found.id.removeprefix("sipdomains.") for found in check(**kwargs)]


@pytest.mark.parametrize("check", checks._PLAIN, ids=lambda check: check.__name__)
def test_the_defaults_are_fine(check) -> None:
    assert ids(check) == []


@pytest.mark.parametrize(
    ("check", "changes", "expected"),
    [
        (checks.check_secrets, {"SECRET_KEY": "short"}, ["E001"]),
        (checks.check_secrets, {"SIP_NONCE_SECRET": ""}, ["E002"]),
        (checks.check_secrets, {"FIELD_ENCRYPTION_KEYS": ["nonsense"]}, ["E003"]),
        (checks.check_secrets, {"FIELD_ENCRYPTION_KEYS": []}, ["E003"]),
        (checks.check_home, {"SIPDOMAINS_HOME": f"{__file__}/home"}, ["E004"]),
        (checks.check_listen, {"SIP_LISTEN": ["udp:localhost:5060"]}, ["E010"]),
        (checks.check_listen, {"SIP_LISTEN": []}, ["E010"]),
        (checks.check_listen, {"SIP_LISTEN": ["udp:127.0.0.1:5060"] * 2}, ["E011"]),
        (checks.check_listen, {"SIP_EXTERNAL_ADDRESS": "sip.example.net"}, ["E013"]),
        (checks.check_listen, {"SIP_EXTERNAL_ADDRESS": "0.0.0.0"}, ["E013"]),
        (checks.check_listen, {"SIP_EXTERNAL_ADDRESS": "[2001:db8::1]"}, []),
        (checks.check_external_address, {}, ["W012"]),
        (checks.check_external_address, {"SIP_EXTERNAL_ADDRESS": "203.0.113.1"}, []),
        (checks.check_external_address, {"SIP_LISTEN": ["udp:127.0.0.1:5060"]}, []),
        (checks.check_realm, {"SIP_REALM": ""}, ["E014"]),
        (checks.check_realm, {"SIP_REALM": 'a"b'}, ["E014"]),
        (checks.check_rtp, {"RTP_BIND": "eth0"}, ["E020"]),
        (checks.check_rtp, {"RTP_PORT_RANGE": "20000"}, ["E021"]),
        (checks.check_rtp, {"RTP_PORT_RANGE": "20000-20005"}, ["E022"]),
        (checks.check_rtp, {"RTP_PORT_RANGE": "20000-20099"}, ["W023"]),
        (checks.check_rtp, {"RTP_PORT_RANGE": "20001-29999"}, ["W024"]),
        (checks.check_rtp, {"RTP_PORT_RANGE": "5000-9999"}, ["E025"]),
        (checks.check_networks, {"SIP_TRUSTED_PROXIES": ["proxy"]}, ["E030"]),
        (checks.check_networks, {"EGRESS_DENY_NETWORKS": ["10/8/9"]}, ["E030"]),
        (checks.check_networks, {"SIP_TRUSTED_PROXIES": ["0.0.0.0/0"]}, ["E031"]),
        (checks.check_networks, {"DNS_SERVERS": ["10.0.0.53", "ns"]}, ["E032"]),
        (checks.check_broker, {"BUS_URL": "amqp://mq", "CELERY_BROKER_URL": "amqp://mq"}, ["E041"]),
        (checks.check_broker, {"BUS_URL": "redis://r"}, ["E042"]),
        (checks.check_web, {"WEB_LISTEN": "8000"}, ["E050"]),
        (checks.check_web, {"DEBUG": True, "WEB_LISTEN": "0.0.0.0:8000"}, ["E051"]),
        (checks.check_web, {"DEBUG": True}, []),
    ],
)
def test_a_misconfiguration_is_found(settings, check, changes, expected) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids(check) == expected


def test_a_broker_within_one_process_beside_a_shared_database(monkeypatch) -> None:
    monkeypatch.setattr(connections["default"], "vendor", "postgresql")
    assert ids(checks.check_broker) == ["W040"]


def test_no_message_shows_a_secret(settings) -> None:
    settings.SECRET_KEY = settings.SIP_NONCE_SECRET = "hunter2"
    settings.FIELD_ENCRYPTION_KEYS = ["hunter2"]
    found = checks.check_secrets()
    assert len(found) == 3
    assert "hunter2" not in " ".join(f"{one.msg} {one.hint}" for one in found)


def test_stored_credentials_under_another_realm_are_found(settings, phones) -> None:
    stored = {"databases": ["default"]}
    assert ids(checks.check_stored_secrets, **stored) == []
    settings.SIP_REALM = "elsewhere"
    assert ids(checks.check_stored_secrets, **stored) == ["E062"]
    assert ids(checks.check_stored_secrets, databases=None) == []


def test_a_lost_encryption_key_is_found(settings, alice) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert Account.objects.count() == 1
    assert ids(checks.check_stored_secrets, databases=["default"]) == ["E061"]


@pytest.mark.parametrize(
    ("rules", "limits", "expected"),
    [
        ([], (50, 120), ["W070"]),
        ([("+49", False)], (50, 120), ["W070"]),
        ([("+49", True)], (0, 0), []),
        ([("", True)], (50, 120), []),
        ([("", True)], (50, 0), ["W071"]),
        ([("", True)], (0, 120), ["W071"]),
    ],
)
def test_trunks_that_carry_nothing_or_too_much(alice, rules, limits, expected) -> None:
    alice.max_outgoing_calls, alice.max_outgoing_per_minute = limits
    alice.save()
    trunk = Trunk.objects.create(account=alice, friendly_name="provider", host="sip.example.org")
    for prefix, allow in rules:
        TrunkRule.objects.create(trunk=trunk, prefix=prefix, allow=allow)
    assert ids(checks.check_trunks, databases=["default"]) == expected
    trunk.enabled = False
    trunk.save()
    assert ids(checks.check_trunks, databases=["default"]) == []
    assert ids(checks.check_trunks, databases=None) == []


def test_registration_without_a_list_is_found(domain) -> None:
    domain.sip_registration = True
    domain.save()
    assert ids(checks.check_trunks, databases=["default"]) == ["W072"]
