"""For every test."""

from collections.abc import Iterator

import pytest
from django.core.management.color import no_style
from django.db import connection, connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

# How long an example takes says more about the machine's load than about the code; and a run finds
# what the run before has found. ``--hypothesis-profile=search`` looks for what nobody has seen yet.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _PATIENT)
settings.register_profile("sipdomains", _PATIENT, derandomize=True)
settings.load_profile("sipdomains")


# What a migration leaves in the database, and no test changes.
LASTING = {
    "django_content_type", "auth_permission", "auth_group", "auth_group_permissions",
}  # fmt: skip


def _empty(case: TransactionTestCase) -> None:
    """After a test that commits. Django empties all tables and then makes the permissions and the
    groups anew, which takes most of the time."""
    for name in case._databases_names(include_mirrors=False):
        found = connections[name].introspection.django_table_names(True, include_views=False)
        operations = connections[name].ops
        emptied = [table for table in found if table not in LASTING]
        operations.execute_sql_flush(operations.sql_flush(no_style(), emptied))


TransactionTestCase._fixture_teardown = _empty


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
