"""The node's configuration is built from the settings once, and wrong values name themselves."""

from __future__ import annotations

import pytest
from django.conf import settings

from sipdomains.settings.env import EnvError
from sipserver.config import Listen, SipServerConfig


class Changed:
    """The test settings with one of them changed."""

    def __init__(self, **values: object) -> None:
        self._values = values

    def __getattr__(self, name: str) -> object:
        return self._values[name] if name in self._values else getattr(settings, name)


def test_the_settings_make_a_configuration() -> None:
    config = SipServerConfig.from_settings(
        Changed(
            SIP_LISTEN=["udp:127.0.0.1:5060", "tcp:[::1]:5070"],
            RTP_PORT_RANGE="20001-20100",
            SIP_TRUSTED_PROXIES=["10.0.0.1"],
            SIP_EXTERNAL_ADDRESS="203.0.113.9",
            SIP_DIGEST_ALGORITHMS=["sha-256"],
            DNS_SERVERS=["192.0.2.53", "[::1]:5353"],
        )
    )
    assert config.listen == (Listen("udp", "127.0.0.1", 5060), Listen("tcp", "::1", 5070))
    assert config.rtp_ports == (20002, 20100)
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.1/32"]
    assert config.digest_algorithms == ("SHA-256",)
    assert config.dns_servers == (("192.0.2.53", 53), ("::1", 5353))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIP_LISTEN", ["tls:127.0.0.1:5061"]),
        ("SIP_LISTEN", ["udp:example.net:5060"]),
        ("RTP_PORT_RANGE", "30000-20000"),
        ("SIP_TRUSTED_PROXIES", ["proxy.example.net"]),
        ("SIP_EXTERNAL_ADDRESS", "pbx.example.net"),
        ("SIP_DIGEST_ALGORITHMS", ["SHA-1"]),
        ("SIP_DIGEST_ALGORITHMS", []),
        ("DNS_SERVERS", ["ns.example.net"]),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(EnvError, match=name):
        SipServerConfig.from_settings(Changed(**{name: value}))
