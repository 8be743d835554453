"""The listener's cached view of the configuration, over the real services and database."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError

from sipdomains.models import SipDomain
from sipdomains.services import domains
from sipdomains.services.provisioning import DomainPlan, provision
from sipserver.adapters.dbpool import DatabasePool
from sipserver.adapters.directory import CachedDirectory
from sipserver.adapters.directory import log as directory_log
from sipserver.calls.ports import DirectoryUnavailable

pytestmark = pytest.mark.django_db(transaction=True)


def make_domain() -> SipDomain:
    return provision(
        DomainPlan(
            name="pbx.example.net",
            voice_url="http://127.0.0.1/voice",
            username="alice",
            password="Correct9HorseX",
            allow=["192.0.2.0/24"],
            aliases=["pbx.local"],
        )
    )


@pytest.fixture
async def directory() -> AsyncIterator[CachedDirectory]:
    pool = DatabasePool(2)
    yield CachedDirectory(pool)
    pool.close()


async def test_by_name_and_alias_in_any_case(directory: CachedDirectory) -> None:
    domain = await sync_to_async(make_domain)()
    for name in ("pbx.example.net", "PBX.Example.NET.", "pbx.local"):
        policy = await directory.domain(name)
        assert policy is not None
        assert policy.domain_sid == domain.sid
    assert policy.has_acl
    assert policy.has_credentials
    assert [network for _, network in policy.acl_networks] == [ip_network("192.0.2.0/24")]
    assert await directory.domain("other.example.net") is None


async def test_credential_holds_hashes_only(directory: CachedDirectory) -> None:
    domain = await sync_to_async(make_domain)()
    found = await directory.credential(domain.sid, "alice")
    assert found is not None
    assert (len(found.ha1_md5), len(found.ha1_sha256)) == (32, 64)
    assert await directory.credential(domain.sid, "Alice") is None


async def test_an_edit_is_seen_at_the_next_poll(
    directory: CachedDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await sync_to_async(make_domain)()
    await directory.poll()
    before = await directory.domain("pbx.example.net")
    assert before is not None

    def edit() -> None:
        domain = SipDomain.objects.get()
        domain.voice_url = "http://127.0.0.1/other"
        domain.save()

    await sync_to_async(edit)()
    assert await directory.domain("pbx.example.net") == before
    caplog.clear()
    await directory.poll()
    version = await sync_to_async(domains.config_version)()
    told = [one.getMessage() for one in caplog.records if one.name == directory_log.name]
    assert told == [f"configuration {version} is in force"]
    after = await directory.domain("pbx.example.net")
    assert after is not None
    assert after.voice_url == "http://127.0.0.1/other"


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
async def test_database_down_serves_the_cache_and_refuses_the_rest(
    directory: CachedDirectory, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    await sync_to_async(make_domain)()
    known = await directory.domain("pbx.example.net")

    def down(*args: object) -> None:
        raise kind("no database")

    monkeypatch.setattr(domains, "policy", down)
    monkeypatch.setattr(domains, "config_version", down)
    await directory.poll()
    assert await directory.domain("pbx.example.net") == known
    with pytest.raises(DirectoryUnavailable):
        await directory.domain("other.example.net")


async def test_names_longer_than_any_are_neither_looked_up_nor_kept(
    directory: CachedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "policy", None)
    monkeypatch.setattr(domains, "credential", None)
    assert await directory.domain("a" * 256) is None
    assert await directory.credential("SD1", "a" * 256) is None
