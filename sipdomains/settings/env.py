"""Typed readers of environment variables. Pure: the mapping and the file reader are handed in.

A variable that is set to an empty string counts as not set. Every error names the variable and
what was expected; the value itself is shown only by readers that cannot hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?\Z")
_ADDRESS_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+)):([0-9]{1,5})\Z")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_LOWEST_PORT, _HIGHEST_PORT = 1024, 65535

TRANSPORTS = ("udp", "tcp")


class EnvError(ValueError):
    """A variable holds something unusable; the text names it and says what is expected."""


class Env:
    """Readers over one mapping. ``read_file`` returns a file's text or raises OSError."""

    def __init__(self, values: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self._values = values
        self._read_file = read_file

    def text(self, name: str, default: str = "") -> str:
        """The value without surrounding blanks."""
        return self._values.get(name, "").strip() or default

    def boolean(self, name: str, default: bool) -> bool:
        """``1 true yes on`` or ``0 false no off``, in any case."""
        value = self.text(name).lower()
        if not value:
            return default
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise EnvError(f"{name}: {value!r} is neither true nor false")

    def integer(
        self, name: str, default: int, *, minimum: int = 0, maximum: int | None = None
    ) -> int:
        """A decimal number within the bounds, both included."""
        value = self.text(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            raise EnvError(f"{name}: {value!r} is not a whole number") from None
        if number < minimum or (maximum is not None and number > maximum):
            upper = "" if maximum is None else f" and at most {maximum}"
            raise EnvError(f"{name}: {number} must be at least {minimum}{upper}")
        return number

    def seconds(self, name: str, default: float) -> float:
        """A duration such as ``250ms``, ``5``, ``5s``, ``2m``, ``1h`` or ``30d``, in seconds."""
        value = self.text(name).lower()
        if not value:
            return default
        match = _DURATION.match(value)
        if match is None:
            raise EnvError(f"{name}: {value!r} is not a duration such as 500ms, 5s, 2m or 1h")
        return float(match[1]) * _UNIT_SECONDS[match[2]]

    def items(self, name: str, default: list[str] | None = None) -> list[str]:
        """Comma separated texts without blanks and empty items."""
        value = self.text(name)
        if not value:
            return list(default or [])
        return [item for part in value.split(",") if (item := part.strip())]

    def ports(self, name: str) -> list[int]:
        """Comma separated port numbers; empty when not set."""
        items = self.items(name)
        wrong = [item for item in items if not item.isdecimal() or not 0 < int(item) <= 65535]
        if wrong:
            raise EnvError(f"{name}: {wrong[0]!r} is not a port number")
        return [int(item) for item in items]

    def secret(self, name: str, default: str = "") -> str:
        """The value of ``name``, or else what stands in the file that ``name_FILE`` names."""
        value = self.text(name)
        path = self.text(f"{name}_FILE")
        if value and path:
            raise EnvError(f"{name} and {name}_FILE are both set: keep one")
        if not path:
            return value or default
        try:
            content = self._read_file(path).strip()
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise EnvError(f"{name}_FILE: cannot read {path}: {reason}") from None
        if not content:
            raise EnvError(f"{name}_FILE: {path} is empty")
        return content

    def secrets(self, name: str, default: list[str]) -> list[str]:
        """Several secrets separated by commas or white space, also from ``name_FILE``."""
        return self.secret(name).replace(",", " ").split() or list(default)


def listen_address(text: str) -> tuple[str, str, int]:
    """``udp:0.0.0.0:5060`` or ``tcp:[::]:5060`` as (transport, host without brackets, port).

    Raises EnvError. Port 0 asks the system for a free one.
    """
    transport, _, rest = text.strip().partition(":")
    host, _, port = rest.rpartition(":")
    if transport not in TRANSPORTS:
        raise EnvError(f"{text!r} must begin with {' or '.join(f'{t}:' for t in TRANSPORTS)}")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise EnvError(f"{text!r} is not of the form {transport}:address:port")
    bracketed = host.startswith("[") and host.endswith("]")
    address = host[1:-1] if bracketed else host
    try:
        version = ip_address(address).version
    except ValueError:
        raise EnvError(f"{text!r}: {address!r} is not an IP address") from None
    if bracketed != (version == 6):
        raise EnvError(f"{text!r}: write an IPv6 address in brackets, an IPv4 address without")
    return transport, address, int(port)


def dns_server(text: str) -> tuple[str, int]:
    """``10.0.0.53``, ``10.0.0.53:5353``, ``2001:db8::53`` or ``[2001:db8::53]:5353`` as (address,
    port). Raises EnvError."""
    match = _ADDRESS_AND_PORT.match(text)
    address, port = (match[1] or match[2], int(match[3])) if match else (text.strip("[]"), 53)
    try:
        ip_address(address)
    except ValueError:
        port = 0
    if not 0 < port <= _HIGHEST_PORT:
        raise EnvError(f"{text!r} is not an IP address such as 10.0.0.53 or 10.0.0.53:5353")
    return address, port


def port_range(text: str) -> tuple[int, int]:
    """``20000-29999`` as (first, last), both included. Raises EnvError."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash or not first.isdecimal() or not last.isdecimal():
        raise EnvError(f"{text!r} is not a range such as 20000-29999")
    if not _LOWEST_PORT <= int(first) < int(last) <= _HIGHEST_PORT:
        raise EnvError(f"{text!r} must lie within {_LOWEST_PORT}-{_HIGHEST_PORT} and rise")
    return int(first), int(last)


def network(text: str) -> str:
    """A checked CIDR network or single address, in canonical form. Raises EnvError."""
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise EnvError(f"{text!r} is not an IP address or network such as 10.0.0.0/8") from None
