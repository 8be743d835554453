"""Ringing tones of national networks, at 8 kHz.

Frequencies and cadences are those of ITU-T E.180 Supplement 2 ("Various tones used in national
networks", list of 02/2003) where it has the country; Australia by ACIF S002, New Zealand by
TNA 102, Singapore by IDA TS PSTN 1, the United Kingdom by BT SIN 350; ``us-old`` is the tone of the
United States before the precise tone plan. The countries are those of the ``ringTone`` attribute
(twiml-voice.md, Dial).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache
from itertools import chain
from math import gcd, pi, sin

from sipserver.rtp import g711

_RATE = 8  # samples per ms
_AMPLITUDE = 5000  # about -13 dBm0, within the -10 +-5 of E.180 section 7
_DEPTH = 0.9  # of amplitude modulation
_RAMP = 16  # samples of fading in and out: no clicks

_ONCE = {pause: ((1000, pause),) for pause in (2000, 3000, 4000, 5000)}
_TWICE = ((400, 200), (400, 2000))
_LONG = ((2000, 4000),)


@dataclass(frozen=True, slots=True)
class Ringing:
    """``frequencies`` in Hz sound together; ``modulation`` in Hz of their amplitude, 0 for none;
    ``cadence`` of (tone, silence) in ms, over and over."""

    frequencies: tuple[int, ...]
    cadence: tuple[tuple[int, int], ...]
    modulation: int = 0


RINGING = {
    "at": Ringing((420,), _ONCE[5000]),
    "au": Ringing((413, 438), _TWICE),
    "be": Ringing((425,), _ONCE[3000]),
    "bg": Ringing((425,), _ONCE[4000]),
    "br": Ringing((425,), _ONCE[4000]),
    "ch": Ringing((425,), _ONCE[4000]),
    "cl": Ringing((400,), _ONCE[3000]),
    "cn": Ringing((450,), _ONCE[4000]),
    "cz": Ringing((425,), _ONCE[4000]),
    "de": Ringing((425,), _ONCE[4000]),
    "dk": Ringing((425,), _ONCE[4000]),
    "ee": Ringing((425,), _ONCE[4000]),
    "es": Ringing((425,), ((1500, 3000),)),
    "fi": Ringing((425,), _ONCE[4000]),
    "fr": Ringing((440,), ((1500, 3500),)),
    "gr": Ringing((425,), _ONCE[4000]),
    "hu": Ringing((425,), ((1250, 3750),)),
    "il": Ringing((400,), _ONCE[3000]),
    "in": Ringing((400,), _TWICE, modulation=25),
    "it": Ringing((425,), _ONCE[4000]),
    "jp": Ringing((400,), _ONCE[2000], modulation=16),
    "lt": Ringing((425,), _ONCE[4000]),
    "mx": Ringing((425,), _ONCE[4000]),
    "my": Ringing((425,), _TWICE),
    "nl": Ringing((425,), _ONCE[4000]),
    "no": Ringing((425,), _ONCE[4000]),
    "nz": Ringing((400, 450), _TWICE),
    "ph": Ringing((425, 480), _ONCE[4000]),
    "pl": Ringing((425,), _ONCE[4000]),
    "pt": Ringing((425,), _ONCE[5000]),
    "ru": Ringing((425,), _ONCE[4000]),
    "se": Ringing((425,), _ONCE[5000]),
    "sg": Ringing((425,), _TWICE, modulation=24),
    "th": Ringing((400,), _ONCE[4000]),
    "tw": Ringing((440, 480), _ONCE[2000]),
    "uk": Ringing((400, 450), _TWICE),
    "us": Ringing((440, 480), _LONG),
    "us-old": Ringing((420,), _LONG, modulation=40),
    "ve": Ringing((425,), _ONCE[4000]),
    "za": Ringing((400,), _TWICE, modulation=33),
}


@cache
def cycle(country: str, codec: str) -> bytes:
    """One turn of the cadence, encoded; shared by all who play it. Raises KeyError for a country
    that is not in :data:`RINGING`, or another codec."""
    ringing = RINGING[country]
    wave = _period(ringing)
    silence = g711.SILENCE[codec]
    return b"".join(
        chain.from_iterable(
            (g711.encode(_burst(wave, on * _RATE), codec), silence * (off * _RATE))
            for on, off in ringing.cadence
        )
    )


def _period(ringing: Ringing) -> array[float]:
    """The shortest stretch after which the wave repeats, or all that is needed if that is less."""
    steps = [2 * pi * frequency / 8000 for frequency in ringing.frequencies]
    scale = _AMPLITUDE / len(steps) ** 0.5  # the same power for one and for two
    sway = 2 * pi * ringing.modulation / 8000
    depth = _DEPTH if ringing.modulation else 0.0
    count = min(
        8000 // gcd(8000, ringing.modulation, *ringing.frequencies),
        max(on for on, _ in ringing.cadence) * _RATE,
    )
    return array(
        "d",
        (
            scale * sum(sin(step * n) for step in steps) * (1 + depth * sin(sway * n)) / (1 + depth)
            for n in range(count)
        ),
    )


def _burst(wave: array[float], count: int) -> bytes:
    """``count`` samples of the wave, faded in and out."""
    samples = (wave * (count // len(wave) + 1))[:count]
    for n in range(_RAMP):
        fade = (n + 1) / _RAMP
        samples[n] *= fade
        samples[count - 1 - n] *= fade
    return array("h", map(int, samples)).tobytes()
