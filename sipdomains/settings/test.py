"""Settings of the test suite: in-memory broker, fast hashers, no network."""

from sipdomains.settings.base import *  # noqa: F403
