import pytest
from django.core.cache import cache

from tests.sipdomains.conftest import alice

__all__ = ["alice"]


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
