"""Two legs joined: what one hears, the other is sent."""

from __future__ import annotations

from sipserver.media.receiver import BUFFER, VIEWS
from sipserver.media.sender import Sender
from sipserver.rtp import g711
from sipserver.rtp.packet import HEADER, HEADER_SIZE, PLAIN, MalformedPacket, payload_span
from sipserver.rtp.telephone_event import DIGITS

_MARKER = 0x80
_FLASH = 16  # the last event that we offer (RFC 4733 section 3.2 and sdp.codecs)
_MAX_GAP = 100  # packets lost at once or late by, beyond which the source has jumped
_MAX_DRIFT = 8000  # timestamp units that the relayed stream may be away from our clock


class Relay:
    """One direction: the packets of one leg's source, as they come, into the stream of the other.

    The outgoing stream keeps its SSRC. Its sequence numbers and timestamps are those of the source
    plus an offset: loss, reordering and pauses look to the peer as they look to us, which is what
    its jitter buffer needs. The offset is chosen anew, with the marker set, whenever the source
    has jumped or become another one, and after the other leg has sent something of its own.
    Packets stay as long as they come: a receiver takes any packet interval (RFC 3551 section 4.2).
    """

    __slots__ = (
        "_based",
        "_due",
        "_event",
        "_first",
        "_marker",
        "_next",
        "_offset",
        "_sender",
        "_shift",
        "_table",
        "swallow",
    )

    def __init__(self, sender: Sender) -> None:
        self.swallow = ""  # digits that are not passed on
        self._sender = sender
        self._table: bytes | None = None
        self._based = False
        self._shift = 0  # of sequence numbers
        self._offset = 0  # of timestamps
        self._first = 0  # what is older has no place in the outgoing stream
        self._next = 0  # the sender's sequence number unless it has sent something of its own
        self._due = -1  # timestamp of the next packet if nothing is missing between
        self._event = -1  # timestamp of the last event passed on
        self._marker = 0

    def tune(self, source: str, target: str) -> None:
        """The codecs of both sides, now or again."""
        self._table = g711.TRANSCODING.get((source, target))

    def reset(self) -> None:
        """What comes from now on does not continue what came: another source, or one that was not
        heard for a while."""
        self._based = False

    # --- packets, in receiver.BUFFER --------------------------------------------------------

    def audio(self, extended: int, timestamp: int, size: int) -> None:
        """A packet of the source's codec with this extended sequence number. Hot path."""
        sender = self._sender
        if sender.queue or not sender.sending:
            self._based = False
            return
        if BUFFER[0] != PLAIN:
            size = _unwrap(size)
        if size <= HEADER_SIZE:
            self.skip(extended)
            return
        end = timestamp + size - HEADER_SIZE
        sequence = extended + self._shift
        if (
            timestamp == self._due
            and sequence == sender.sequence
            and BUFFER[1] < _MARKER  # a talkspurt may begin late without its timestamp saying so
            and self._based
        ):
            sender.sequence = self._next = sequence + 1
            self._due = end & 0xFFFFFFFF
            sender.until = end + self._offset
        elif not self._place(extended, timestamp, end):
            return
        if self._table is not None:
            BUFFER[HEADER_SIZE:size] = BUFFER[HEADER_SIZE:size].translate(self._table)
        if sender.taps.listeners:
            sender.taps.hear(timestamp + self._offset, bytes(BUFFER[HEADER_SIZE:size]))
        self._send(extended, timestamp, sender.payload_type, size)

    def event(self, extended: int, timestamp: int, size: int) -> None:
        """A packet of a telephone-event (RFC 4733)."""
        sender = self._sender
        if sender.queue or not sender.sending:
            self._based = False
            return
        size = _unwrap(size)
        payload_type = sender.dtmf_payload
        if payload_type is None or size < HEADER_SIZE + 4 or not self._passes(BUFFER[HEADER_SIZE]):
            self.skip(extended)
            return
        if timestamp == self._event and not self._in_step():
            return  # cut in two by something of our own: the rest would be another digit
        end = timestamp + (BUFFER[HEADER_SIZE + 2] << 8 | BUFFER[HEADER_SIZE + 3])
        if self._place(extended, end, end):
            self._event = timestamp
            self._send(extended, timestamp, payload_type, size)

    def digit(self, digit: str) -> None:
        """An event has begun: a tone for a peer that does not know events."""
        sender = self._sender
        if sender.dtmf_payload is None and sender.sending and digit not in self.swallow:
            sender.pass_on(digit)

    def skip(self, extended: int) -> None:
        """This packet is not passed on, and is not to look lost."""
        sequence = extended + self._shift
        if sequence == self._next:
            self._shift -= 1
            self._first = extended + 1
        elif sequence > self._next:
            self._based = False

    def _passes(self, code: int) -> bool:
        return code <= _FLASH and (code == _FLASH or DIGITS[code] not in self.swallow)

    # --- place in the outgoing stream -------------------------------------------------------

    def _in_step(self) -> bool:
        return self._based and self._sender.sequence == self._next

    def _place(self, extended: int, reference: int, end: int) -> bool:
        """Find the place of a packet that is not simply the next; False: it has none. ``reference``
        is the timestamp of what it tells as new, ``end`` where that ends."""
        sender = self._sender
        step = extended + self._shift - self._next
        if not self._in_step() or abs(step) > _MAX_GAP or self._drifted(reference):
            self._rebase(extended, reference)
            step = 0
        if step < 0:
            if extended < self._first:
                return False
            sender.skipped -= 1
            return True
        sender.skipped += step
        sender.sequence = self._next = extended + self._shift + 1
        self._due = end & 0xFFFFFFFF
        sender.until = end + self._offset
        return True

    def _drifted(self, reference: int) -> bool:
        ahead = (reference + self._offset - self._sender.timestamp()) & 0xFFFFFFFF
        return _MAX_DRIFT < ahead < (1 << 32) - _MAX_DRIFT

    def _rebase(self, extended: int, reference: int) -> None:
        sender = self._sender
        self._shift = sender.sequence - extended
        self._offset = sender.free_timestamp() - reference
        self._first = extended
        self._marker = _MARKER
        self._based = True

    def _send(self, extended: int, timestamp: int, payload_type: int, size: int) -> None:
        sender = self._sender
        HEADER.pack_into(
            BUFFER,
            0,
            PLAIN,
            payload_type | BUFFER[1] & _MARKER | self._marker,
            (extended + self._shift) & 0xFFFF,
            (timestamp + self._offset) & 0xFFFFFFFF,
            sender.ssrc,
        )
        self._marker = 0
        try:
            sender.transmit(VIEWS[size])
            sender.octets += size - HEADER_SIZE
        except OSError:
            sender.errors += 1


def _unwrap(size: int) -> int:
    """Move the payload to where it is in a plain packet; the new size, 0 if there is no payload to
    be found."""
    try:
        start, end = payload_span(BUFFER, size)
    except MalformedPacket:
        return 0
    if start != HEADER_SIZE:
        BUFFER[HEADER_SIZE : HEADER_SIZE + end - start] = BUFFER[start:end]
    return HEADER_SIZE + end - start
