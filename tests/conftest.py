"""For every test."""

from collections.abc import Iterator

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

# How long an example takes says more about the machine's load than about the code; and a run finds
# what the run before has found. ``--hypothesis-profile=search`` looks for what nobody has seen yet.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _PATIENT)
settings.register_profile("sipdomains", _PATIENT, derandomize=True)
settings.load_profile("sipdomains")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with real processes or browsers come first: they are long, and one of them that begins
    last keeps one worker busy while the other has nothing left (see ``make unit``)."""
    marks = ("e2e", "integration")
    long = {item.path for item in items if any(item.get_closest_marker(mark) for mark in marks)}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL drops no database that somebody is connected to, and threads of servers that
    tests have run in this process may still be."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
