"""Every bound the SIP parsers put on what a peer may send, in one place.

Generous against real traffic (an INVITE with SDP and ICE candidates stays below 8 kB) and small
against an attacker: no parser does more work than these numbers allow.
"""

from __future__ import annotations

from typing import Final

MAX_MESSAGE_SIZE: Final = 65_535
"""Octets of one message, head and body, on any transport."""

MAX_HEAD_SIZE: Final = 32_768
"""Octets of start line and header fields."""

MAX_HEADER_COUNT: Final = 256
"""Header fields of one message."""

MAX_HEADER_SIZE: Final = 8_192
"""Characters of one header field after unfolding."""

MAX_URI_SIZE: Final = 2_048
"""Characters of one URI; a longer Request-URI is answered 414."""

MAX_VIAS: Final = 70
"""Via elements of one message: what Max-Forwards: 70 can leave behind."""

MAX_ELEMENTS: Final = 128
"""Comma-separated elements read from one header name (Route, Contact, Supported, …)."""

MAX_PARAMS: Final = 64
"""Parameters of one URI, Via or name-addr."""

MAX_CSEQ: Final = 2**31 - 1
"""RFC 3261 8.1.1.5: the sequence number is less than 2**31."""

MAX_DELTA_SECONDS: Final = 2**32 - 1
"""RFC 3261 25.1: upper end of delta-seconds; RFC 4475 3.1.2.4 lets us refuse larger values."""
