"""The listener's view of the configuration: cached look-ups, dropped when anything changes.

Two ways tell of a change: the bus message at once, and the version counter polled each second, so
that an edit takes effect within two seconds even while the bus is down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from django.db import Error as DatabaseFailure

from sipdomains.policy import CredentialHashes, DomainPolicy, RegisteredContact, TrunkPolicy
from sipdomains.services import domains, registrations, trunks
from sipserver.adapters.dbpool import DatabasePool
from sipserver.calls.ports import DirectoryUnavailable

log = logging.getLogger(__name__)

K = TypeVar("K", str, tuple[str, str])
T = TypeVar("T")

POLL_SECONDS = 1.0
# How long the cache may serve while the database is down.
STALE_SECONDS = 60.0
LOOKUP_SECONDS = 3.0
_CACHE_LIMIT = 20_000
_LONGEST_NAME = 255  # no domain or user name is longer; strangers fill the cache too


class CachedDirectory:
    """Implements ``calls.ports.Directory``. Unknown names are cached too: scanners ask a lot."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._domains: dict[str, DomainPolicy | None] = {}
        self._credentials: dict[tuple[str, str], CredentialHashes | None] = {}
        self._registration_credentials: dict[tuple[str, str], CredentialHashes | None] = {}
        self._trunks: dict[str, tuple[TrunkPolicy, ...]] = {}
        self._version: int | None = None
        self._verified_at = asyncio.get_running_loop().time()
        self._generation = 0

    async def domain(self, name: str) -> DomainPolicy | None:
        key = name.lower().rstrip(".")
        if len(key) > _LONGEST_NAME:
            return None
        return await self._cached(self._domains, key, lambda: self._load_domain(key))

    async def credential(self, domain_sid: str, username: str) -> CredentialHashes | None:
        if len(username) > _LONGEST_NAME:
            return None
        key = (domain_sid, username)
        return await self._cached(
            self._credentials, key, lambda: self._load_credential(domain_sid, username)
        )

    async def registration_credential(
        self, domain_sid: str, username: str
    ) -> CredentialHashes | None:
        if len(username) > _LONGEST_NAME:
            return None
        return await self._cached(
            self._registration_credentials,
            (domain_sid, username),
            lambda: self._pool.run(lambda: domains.registration_credential(domain_sid, username)),
        )

    async def contacts(self, domain_sid: str, username: str) -> tuple[RegisteredContact, ...]:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._pool.run(lambda: registrations.contacts(domain_sid, username))
        except (DatabaseFailure, TimeoutError) as error:
            raise DirectoryUnavailable(str(error) or "the database is too slow") from error

    async def trunks(self, account_sid: str) -> tuple[TrunkPolicy, ...]:
        return await self._cached(self._trunks, account_sid, lambda: self._load_trunks(account_sid))

    async def _load_trunks(self, account_sid: str) -> tuple[TrunkPolicy, ...]:
        return await self._pool.run(lambda: trunks.of_account(account_sid))

    def changed(self) -> None:
        """Drop everything: configuration is small and look-ups are cheap."""
        self._generation += 1
        self._domains.clear()
        self._credentials.clear()
        self._registration_credentials.clear()
        self._trunks.clear()

    async def poll_forever(self) -> None:
        while True:
            await self.poll()
            await asyncio.sleep(POLL_SECONDS)

    async def poll(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            version = await self._pool.run(domains.config_version)
        except DatabaseFailure as error:
            if loop.time() - self._verified_at > STALE_SECONDS and self._domains:
                log.error("directory cache dropped, database down: %s", error)
                self.changed()
            return
        self._verified_at = loop.time()
        if version != self._version:
            self._version = version
            self.changed()
            log.info("configuration %d is in force", version)

    async def _cached(self, cache: dict[K, T], key: K, load: Callable[[], Awaitable[T]]) -> T:
        if key in cache:
            return cache[key]
        generation = self._generation
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                value = await load()
        except (DatabaseFailure, TimeoutError) as error:
            raise DirectoryUnavailable(str(error) or "the database is too slow") from error
        if generation == self._generation:  # else it may already be out of date
            if len(cache) >= _CACHE_LIMIT:
                cache.clear()
            cache[key] = value
        return value

    async def _load_domain(self, name: str) -> DomainPolicy | None:
        return await self._pool.run(lambda: domains.policy(name))

    async def _load_credential(self, domain_sid: str, username: str) -> CredentialHashes | None:
        return await self._pool.run(lambda: domains.credential(domain_sid, username))
