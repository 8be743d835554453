"""Host names to addresses: literals at once, names by the system's resolver or name servers of our
own choice. What SIP asks DNS for besides (NAPTR, SRV) is in ``locate``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from sipserver.net.dns import FAILURE_SECONDS, DnsClient, Remembered

_POSITIVE_SECONDS = 30.0


def literal(host: str) -> str | None:
    """The address when ``host`` is an IP literal (brackets allowed), else None."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


class Resolver:
    """Remembers answers for half a minute, failures for some seconds.

    With ``dns``, names with a dot are looked up there first. ``localhost``, short names and what
    these servers do not know are the system's business (/etc/hosts).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, dns: DnsClient | None = None) -> None:
        self._loop = loop
        self._dns = dns
        self._known: Remembered[str, list[str] | OSError] = Remembered()

    async def addresses(self, host: str) -> list[str]:
        """Addresses in order of preference. Raises OSError if there is none."""
        known = literal(host)
        if known is not None:
            return [known]
        found = await self._known.get(host.lower(), lambda: self._look_up(host))
        if isinstance(found, OSError):
            # A new one each time: the same exception raised again would grow its traceback.
            raise OSError(*found.args)
        return found

    async def _look_up(self, host: str) -> tuple[list[str] | OSError, float]:
        if self._dns is not None and "." in host and not host.lower().endswith("localhost"):
            found = await self._dns.addresses(host)
            if found:
                # The DNS client remembers for as long as the records may be; so need not we.
                return list(found), 0.0
        try:
            answers = await self._loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except OSError as error:
            return error, FAILURE_SECONDS
        except UnicodeError:  # a label too long or empty
            return OSError(f"{host!r} is no host name"), FAILURE_SECONDS
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers)), _POSITIVE_SECONDS
