"""The programs that tests talk to. A missing one fails its test: what is skipped proves nothing."""

from __future__ import annotations

import shutil

import pytest


def needed(name: str) -> str:
    """Where the program is."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: run deploy/install-test-tools", pytrace=False)
    return found
