import pytest

from sipserver.rtp.latch import SourceLatch

SDP, NAT, EVIL = ("192.0.2.1", 4000), ("198.51.100.7", 6000), ("203.0.113.9", 6666)

# Each row: packets (source, ssrc, sequence, at), which of them are taken, remote, changes, foreign
STORIES = {
    "announced source at once": ([(SDP, 1, 10, 0)], [True], SDP, 0, 0),
    "another after two in sequence": (
        [(NAT, 1, 10, 0), (NAT, 1, 11, 0.02)],
        [False, True],
        NAT,
        0,
        1,
    ),
    "not out of sequence": ([(NAT, 1, 10, 0), (NAT, 1, 17, 0)], [False, False], SDP, 0, 2),
    "not with two SSRCs": ([(NAT, 1, 10, 0), (NAT, 2, 11, 0)], [False, False], SDP, 0, 2),
    "not from two places": ([(NAT, 1, 10, 0), (EVIL, 1, 11, 0)], [False, False], SDP, 0, 2),
    "sequence wraps": ([(NAT, 1, 0xFFFF, 0), (NAT, 1, 0, 0)], [False, True], NAT, 0, 1),
    "others are foreign then": (
        [(SDP, 1, 10, 0), (EVIL, 1, 11, 0.5), (EVIL, 1, 12, 0.6), (SDP, 1, 11, 0.7)],
        [True, False, False, True],
        SDP,
        0,
        2,
    ),
    "a silent source may be replaced": (
        [(SDP, 1, 10, 0), (NAT, 1, 11, 3), (NAT, 1, 12, 3.02)],
        [True, False, True],
        NAT,
        1,
        1,
    ),
    "a silent source may come back": ([(SDP, 1, 10, 0), (SDP, 1, 11, 9)], [True, True], SDP, 0, 0),
    "a busy one may not be replaced": (
        [(SDP, 1, n, n * 0.5) for n in range(8)] + [(NAT, 1, 9, 3.6), (NAT, 1, 10, 3.62)],
        [True] * 8 + [False, False],
        SDP,
        0,
        2,
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_latch(story):
    packets, taken, remote, changes, foreign = STORIES[story]
    latch = SourceLatch(SDP, relatch_after=2)
    assert [latch.consider(*packet) for packet in packets] == taken
    assert (latch.remote, latch.changes, latch.foreign) == (remote, changes, foreign)


def test_a_new_offer_with_the_same_address_keeps_the_latch():
    latch = SourceLatch(SDP, 2)
    latch.consider(NAT, 1, 1, 0)
    latch.consider(NAT, 1, 2, 0)
    assert not latch.announce(SDP)
    assert (latch.remote, latch.latched) == (NAT, True)


def test_a_new_offer_with_another_address_opens_it():
    latch = SourceLatch(SDP, 2)
    latch.consider(SDP, 1, 1, 0)
    assert latch.announce(NAT)
    assert (latch.remote, latch.latched, latch.changes) == (NAT, False, 1)
    assert latch.consider(NAT, 9, 9, 0)


def test_silence_is_measured_from_the_last_packet_told_of():
    latch = SourceLatch(SDP, 2)
    assert not latch.silent(100)
    latch.consider(SDP, 1, 1, 0)
    latch.heard(5)
    assert not latch.silent(6.9)
    assert latch.silent(7)
