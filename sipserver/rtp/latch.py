"""Where RTP is sent, and whose RTP is believed (symmetric RTP, RFC 4961)."""

from __future__ import annotations

Address = tuple[str, int]

PROBATION = 2  # packets in sequence from an address that the SDP did not name


class SourceLatch:
    """Starts with the address of the SDP, follows the peer once to where it really sends from.

    The announced address is believed at once, another one (a peer behind NAT) after PROBATION
    packets in sequence of one SSRC. Then everyone else is foreign, until the source has been
    silent for ``relatch_after`` seconds or a new offer names another address.
    """

    __slots__ = (
        "_announced",
        "_candidate",
        "_heard_at",
        "_relatch_after",
        "_seen",
        "changes",
        "foreign",
        "latched",
        "remote",
    )

    def __init__(self, announced: Address, relatch_after: float) -> None:
        self._announced = announced
        self._relatch_after = relatch_after
        self._heard_at = 0.0
        self._candidate: tuple[Address, int, int] | None = None
        self._seen = 0
        self.remote = announced
        self.latched = False
        self.changes = 0
        self.foreign = 0

    def announce(self, address: Address) -> bool:
        """Address of a new offer or answer. True if it is another one: the latch is open again."""
        if address == self._announced:
            return False
        self._announced = self.remote = address
        self.latched = False
        self._candidate = None
        self.changes += 1
        return True

    def heard(self, now: float) -> None:
        """A packet of the latched source came."""
        self._heard_at = now

    def silent(self, now: float) -> bool:
        """The latched source may be replaced."""
        return self.latched and now - self._heard_at >= self._relatch_after

    def consider(self, source: Address, ssrc: int, sequence: int, now: float) -> bool:
        """Take this packet, plausible in payload type, or not?"""
        if self.latched:
            if source == self.remote:
                self._heard_at = now
                return True
            if not self.silent(now):
                self.foreign += 1
                return False
        if source != self._announced and not self._in_sequence(source, ssrc, sequence):
            self.foreign += 1
            return False
        if self.latched and source != self.remote:
            self.changes += 1
        self.remote, self.latched, self._heard_at = source, True, now
        self._candidate = None
        return True

    def _in_sequence(self, source: Address, ssrc: int, sequence: int) -> bool:
        expected = self._candidate
        self._candidate = (source, ssrc, (sequence + 1) & 0xFFFF)
        self._seen = self._seen + 1 if expected == (source, ssrc, sequence) else 1
        return self._seen >= PROBATION
