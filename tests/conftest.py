"""For every test."""

import pytest
from hypothesis import settings

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("sipdomains", settings(), deadline=None)
settings.load_profile("sipdomains")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with real processes or browsers come first: they are long, and one of them that begins
    last keeps one worker busy while the other has nothing left (see ``make unit``)."""
    marks = ("e2e", "integration")
    long = {item.path for item in items if any(item.get_closest_marker(mark) for mark in marks)}
    items.sort(key=lambda item: item.path not in long)
