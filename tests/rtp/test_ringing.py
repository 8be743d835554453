"""Ring tones by country, decoded again."""

from itertools import pairwise

import numpy as np
import pytest

from sipserver.rtp import g711
from sipserver.rtp.ringing import RINGING, cycle

COUNTRIES = [
    "at", "au", "bg", "br", "be", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi",
    "fr", "gr", "hu", "il", "in", "it", "lt", "jp", "mx", "my", "nl", "no", "nz", "ph",
    "pl", "pt", "ru", "se", "sg", "th", "uk", "us", "us-old", "tw", "ve", "za",
]  # fmt: skip


def samples(country, codec="PCMU"):
    return np.frombuffer(g711.decode(cycle(country, codec), codec), dtype="<i2").astype(float)


def cadence(heard, step=80):
    """Runs of sound and silence in ms, by steps of 10 ms."""
    loud = np.abs(heard.reshape(-1, step)).max(axis=1) > 300
    edges = [0, *(np.flatnonzero(np.diff(loud)) + 1), len(loud)]
    return [(b - a) * 10 for a, b in pairwise(edges)]


def peaks(heard):
    """Frequencies of at least a tenth of the strongest, in Hz."""
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), 8000))
    return {
        hz
        for hz in range(1, 4000)
        if spectrum[hz] > spectrum.max() / 10
        and spectrum[hz] == spectrum[max(0, hz - 8) : hz + 9].max()
    }


def test_the_table_has_every_country_of_the_attribute():
    assert set(RINGING) == set(COUNTRIES)


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("codec", g711.CODECS)
def test_each_sounds_as_the_table_says(country, codec):
    ringing = RINGING[country]
    heard = samples(country, codec)
    assert cadence(heard) == [ms for pair in ringing.cadence for ms in pair]
    assert np.abs(heard).max() < 8000
    power = np.sqrt(np.mean(heard[: ringing.cadence[0][0] * 8] ** 2))
    assert -21 < 20 * np.log10(power / (22380 / np.sqrt(2))) < -9  # dBm0


@pytest.mark.parametrize(
    ("country", "frequencies"),
    [
        ("de", {425}),
        ("us", {440, 480}),
        ("uk", {400, 450}),
        ("us-old", {380, 420, 460}),
        ("hu", {425}),
        ("jp", {384, 400, 416}),
    ],
)
def test_frequencies(country, frequencies):
    first = RINGING[country].cadence[0][0] * 8
    assert peaks(samples(country)[:first]) == frequencies


def test_a_cycle_is_made_once():
    assert cycle("us", "PCMA") is cycle("us", "PCMA")


def test_an_unknown_country():
    with pytest.raises(KeyError):
        cycle("xx", "PCMU")
