"""Host names and addresses as domains are called by. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_ACCOUNT_NAME = re.compile(r"ac[0-9a-f]{32}(\.|\Z)")
MAX_HOST_LENGTH = 253


def normalise_host(text: str) -> str:
    """Lower case, without a final dot; an IP address in its shortest form, without brackets.

    Never fails: what is no host at all comes back as it is and :func:`is_host` says no.
    """
    host = text.strip().lower().removesuffix(".")
    if ":" in host:
        try:
            return ip_address(host.removeprefix("[").removesuffix("]")).compressed
        except ValueError:
            return host
    return host


def is_host(host: str) -> bool:
    """Whether a normalised text is a host name or an IP address."""
    if ":" in host:
        try:
            return ip_address(host).version == 6
        except ValueError:
            return False
    labels = host.split(".")
    if all(label.isdigit() for label in labels):
        try:
            return ip_address(host).version == 4
        except ValueError:
            return False
    return len(host) <= MAX_HOST_LENGTH and all(_LABEL.match(label) for label in labels)


def is_reserved(host: str) -> bool:
    """Names that begin with an AccountSid belong to that account (sip-domain.md section 1)."""
    return bool(_ACCOUNT_NAME.match(host))


def ancestors(host: str) -> list[str]:
    """The names above ``host``, nearest first: ``a.b.c`` has ``b.c`` and ``c``."""
    labels = host.split(".")
    return [".".join(labels[index:]) for index in range(1, len(labels))]
