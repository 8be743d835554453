"""Cutting a TCP or TLS byte stream into SIP messages (RFC 3261 18.3, RFC 5626 3.5.1).

The result does not depend on how the stream was chopped up on its way.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from sipserver.sip import limits
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.message import read_best_effort

# The first Content-Length of a head, in long or compact form, its value possibly folded.
_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*([^\r\n]*?)[ \t]*(?:\r\n|$)",
    re.IGNORECASE,
)
_HEAD_END: Final = b"\r\n\r\n"

PONG: Final = b"\r\n"
"""What answers a ping."""


class KeepAlive(enum.Enum):
    """What a stream carries between messages."""

    PING = "ping"
    """CRLF CRLF: the peer wants a CRLF back (RFC 5626 4.4.1)."""


class StreamFramer:
    """Incremental framer of one connection; after an error the connection is to be closed."""

    __slots__ = ("_buffer", "_error", "_searched", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no head end begins before this offset
        self._size = 0  # octets of the message at the front, 0 while its head is incomplete
        self._error: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take what was received; return the messages and pings that it completed.

        Raises RemoteProtocolError when the stream cannot be framed any further: no or a bad
        Content-Length, too large, or no SIP. Its ``request`` may be answered before closing. If
        complete messages stand before the bad spot they are returned, and the error is raised by
        the next call (also of ``feed(b"")``; see ``failed``).
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        frames: list[bytes | KeepAlive] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except RemoteProtocolError as error:
            self._error = error
            self._buffer.clear()
            if not frames:
                raise
        return frames

    @property
    def failed(self) -> bool:
        """Whether the stream is broken: answer what ``feed`` returned, then close."""
        return self._error is not None

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and is not complete (an idle peer may be cut off)."""
        return bool(self._buffer) and self._buffer != PONG

    def _next(self) -> bytes | KeepAlive | None:
        buffer = self._buffer
        if not self._size:
            while buffer.startswith(b"\r\n"):
                if len(buffer) < 4 and b"\r\n\r\n".startswith(buffer):
                    return None  # may become a ping
                if buffer.startswith(b"\r\n\r\n"):
                    del buffer[:4]
                    return KeepAlive.PING
                del buffer[:2]  # a pong, or a stray line end behind a message
            if not self._measure():
                return None
        if len(buffer) < self._size:
            return None
        message = bytes(buffer[: self._size])
        del buffer[: self._size]
        self._size = self._searched = 0
        return message

    def _measure(self) -> bool:
        """Find the end of the head and with it the size of the message; False if not there yet."""
        buffer = self._buffer
        end = buffer.find(_HEAD_END, self._searched)
        if end > limits.MAX_HEAD_SIZE or (end < 0 and len(buffer) > limits.MAX_HEAD_SIZE + 3):
            raise RemoteProtocolError("Header fields too large", 513)
        if end < 0:
            self._searched = max(0, len(buffer) - 3)
            return False
        head = bytes(buffer[: end + 4])
        match = _CONTENT_LENGTH.search(head)
        if match is None:
            raise RemoteProtocolError(
                "Content-Length is mandatory on a stream", 400, read_best_effort(head)
            )
        # ``isdigit`` of bytes is ASCII only; longer numbers are beyond every limit.
        if not match[1].isdigit() or len(match[1]) > 20:
            raise RemoteProtocolError("Bad Content-Length", 400, read_best_effort(head))
        size = end + 4 + int(match[1])
        if size > limits.MAX_MESSAGE_SIZE:
            raise RemoteProtocolError("Message too large", 513, read_best_effort(head))
        self._size = size
        return True
