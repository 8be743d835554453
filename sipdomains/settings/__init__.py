"""The active settings: see base.py (all of them, grouped) and test.py."""

from sipdomains.settings.base import *  # noqa: F403 - the purpose of this module
