"""Names to addresses for SIP targets: literals at once, names through the system's resolver.

NAPTR and SRV (RFC 3263) arrive with outgoing trunks; in-dialog requests to a name need A/AAAA only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_POSITIVE_SECONDS = 30.0
_CACHE_LIMIT = 1000


def literal(host: str) -> str | None:
    """The address when ``host`` is an IP literal (brackets allowed), else None."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


class Resolver:
    """Caches answers for half a minute; a failed look-up is not cached."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._cache: dict[str, tuple[float, list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """Addresses in the system's order of preference. Raises OSError if there is none."""
        known = literal(host)
        if known is not None:
            return [known]
        cached = self._cache.get(host)
        now = self._loop.time()
        if cached is not None and cached[0] > now:
            return cached[1]
        try:
            found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except UnicodeError as error:  # a label too long or empty
            raise OSError(f"{host!r} is no host name") from error
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[host] = (now + _POSITIVE_SECONDS, addresses)
        return addresses
