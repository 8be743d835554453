"""Calls of fakes take no real time: what is late, in a test, is late because the test says so."""

from tests.fakes.virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualLoop}
