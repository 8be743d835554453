"""Every bound the SDP parser puts on what a peer may send."""

from __future__ import annotations

from typing import Final

MAX_SIZE: Final = 16_384
"""Octets of one description."""

MAX_LINES: Final = 512
MAX_LINE_SIZE: Final = 2_048
MAX_MEDIA: Final = 32
MAX_FORMATS: Final = 128
