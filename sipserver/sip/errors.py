"""Whose fault a protocol error is: the peer's, or ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipserver.sip.message import Request


class RemoteProtocolError(Exception):
    """The peer sent something malformed.

    ``status_hint`` is the SIP status that tells the peer so. ``request`` is what could be read of
    the offending request when that suffices to answer it statelessly: its top Via can be read, it
    has a CSeq and is no ACK. Any other typed property of it may raise again. None means there is
    nobody to answer: drop it.
    """

    def __init__(
        self, message: str, status_hint: int = 400, request: Request | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_hint = status_hint
        self.request = request


class LocalProtocolError(Exception):
    """Our own code asked for a message that must not be sent."""
