"""Tells running nodes at once that the configuration has changed."""

from __future__ import annotations

import logging
from typing import Any

from sipdomains.bus import BusUnavailable, default_bus
from sipdomains.contracts import DirectoryChanged, to_wire

log = logging.getLogger(__name__)


def configuration_changed(**_signal: Any) -> None:
    """Receiver of ``models.configuration_changed``. Nodes that miss it poll the version instead."""
    try:
        default_bus().publish_all(to_wire(DirectoryChanged(domain="*")))
    except BusUnavailable as error:
        log.warning("nodes learn of the change from their next poll: %s", error)
