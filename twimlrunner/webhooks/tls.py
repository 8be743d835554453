"""TLS of outbound connections: contexts, names of failures. TLS 1.2 and later."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Any

import certifi

from twimlrunner.webhooks.policy import Failure

_NAME_ERRORS = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_DATE_ERRORS = frozenset({9, 10})  # not yet valid, expired
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})


class TlsContexts:
    """Client contexts, made when first used: loading the trust store takes milliseconds."""

    def __init__(self, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._made: dict[tuple[bool, bool], ssl.SSLContext] = {}

    def context(self, *, verify: bool, sni: bool) -> ssl.SSLContext:
        """With ``verify`` but without ``sni`` the name is left to :func:`name_matches`."""
        key = (verify, sni)
        if key not in self._made:
            self._made[key] = self._make(verify=verify, sni=sni)
        return self._made[key]

    def _make(self, *, verify: bool, sni: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        # The system's store where there is one, and ours for machines without.
        context.load_verify_locations(certifi.where())
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        context.check_hostname = sni
        return context


def name_matches(certificate: dict[str, Any], host: str) -> bool:
    """Whether ``getpeercert()`` names ``host`` (RFC 9525: subjectAltName only, one leading
    wildcard label)."""
    names = certificate.get("subjectAltName", ())
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        return any(kind == "IP Address" and ip_address(name) == address for kind, name in names)
    host = host.lower().rstrip(".")
    parent = host.partition(".")[2]
    for kind, name in names:
        if kind != "DNS":
            continue
        pattern = str(name).lower().rstrip(".")
        if pattern == host or (pattern.startswith("*.") and parent and pattern[2:] == parent):
            return True
    return False


def classify(error: ssl.SSLError) -> Failure:
    """errors.md section 4 tells certificate problems apart."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_ERRORS:
            return Failure.TLS_NAME
        if error.verify_code in _DATE_ERRORS:
            return Failure.TLS_EXPIRED
        return Failure.TLS_UNTRUSTED
    if error.reason in _NOT_TLS:
        return Failure.VIOLATION
    return Failure.TLS_HANDSHAKE
