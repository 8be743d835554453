"""Limits after ITU-T Q.24. Levels are dBm0 of each frequency (a full sine has +3.14)."""

import numpy as np
import pytest
import soxr
from py_nanotts import NanoTTS

from sipserver.rtp import g711, tone
from sipserver.rtp.inband import ToneDetector

KEYS = sorted(tone.FREQUENCIES)


def dtmf(key, *, low=-10.0, high=-10.0, shift=0.0, ms=60, snr=None, seed=1, gap_ms=75):
    """One key between two pauses, as it comes through G.711."""
    chance = np.random.default_rng(seed)
    at = np.arange(int(ms * 8)) / 8000
    sound = sum(
        32768
        * 10 ** ((level - 3.14) / 20)
        * np.sin(2 * np.pi * frequency * (1 + shift) * at + chance.uniform(0, 2 * np.pi))
        for frequency, level in zip(tone.FREQUENCIES[key], (low, high), strict=True)
    )
    lead = np.zeros(chance.integers(300, 700))
    power = np.mean(sound**2)
    sound = np.concatenate((lead, sound, np.zeros(gap_ms * 8)))
    if snr is not None:
        sound += chance.normal(0, np.sqrt(power / 10 ** (snr / 10)), len(sound))
    pcm = np.clip(sound, -32768, 32767).astype("<i2").tobytes()
    return g711.decode(g711.encode(pcm, "PCMU"), "PCMU")


def heard(pcm, size=320):
    detector = ToneDetector()
    return "".join(detector.feed(pcm[at : at + size]) for at in range(0, len(pcm), size))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("level", [-3, -10, -20, -25])
@pytest.mark.parametrize("twist", [-6, 0, 6])
def test_levels_and_twist(key, level, twist):
    for shift in (-0.015, 0, 0.015):
        for snr in (None, 15):
            pcm = dtmf(key, low=level - twist / 2, high=level + twist / 2, shift=shift, snr=snr)
            assert heard(pcm) == key, (shift, snr)


@pytest.mark.parametrize("key", KEYS)
def test_clipped_tones(key):
    assert heard(dtmf(key, low=0, high=0)) == key


@pytest.mark.parametrize(("ms", "accepted"), [(15, False), (20, False), (40, True), (2000, True)])
def test_duration(ms, accepted):
    for seed, key in enumerate(KEYS):
        assert heard(dtmf(key, ms=ms, seed=seed)) == (key if accepted else "")


@pytest.mark.parametrize("shift", [-0.035, 0.035])
def test_frequencies_too_far_off(shift):
    assert [heard(dtmf(key, shift=shift)) for key in KEYS] == [""] * 16


@pytest.mark.parametrize(("low", "high"), [(-5, -20), (-20, -5)])
def test_too_much_twist(low, high):
    assert [heard(dtmf(key, low=low, high=high)) for key in KEYS] == [""] * 16


@pytest.mark.parametrize("size", [160, 320, 480, 640, 960, 2])
def test_any_packet_interval(size):
    assert heard(dtmf("5") + dtmf("5") + dtmf("#"), size) == "55#"


def test_fast_dialling():
    pcm = b"".join(dtmf(key, ms=40, gap_ms=40)[600:] for key in KEYS)
    assert heard(pcm) == "".join(KEYS)


@pytest.mark.parametrize(("ms", "told"), [(10, "7"), (20, "7"), (40, "77"), (100, "77")])
def test_a_short_break_does_not_repeat_a_key(ms, told):
    step = g711.decode(tone.tone("7", "PCMA"), "PCMA")
    assert heard(bytes(800) + step + bytes(16 * ms) + step + bytes(800)) == told


def test_a_lost_packet_does_not_repeat_a_key_and_a_gap_ends_it():
    step = g711.decode(tone.tone("7", "PCMA"), "PCMA")
    detector = ToneDetector()
    assert detector.feed(step[:640] + step[960:]) == "7"
    detector.gap()
    assert detector.feed(step) == "7"


def test_digits_we_send_ourselves():
    assert heard(g711.decode(tone.dial("0123456789*#ABCD", "PCMU"), "PCMU")) == "0123456789*#ABCD"


def test_single_tones_and_noise_are_no_keys():
    chance = np.random.default_rng(3)
    at = np.arange(4000)
    for frequency in (350, 440, 697, 770, 852, 941, 1000, 1209, 1336, 1477, 1633, 2100):
        sine = (8000 * np.sin(2 * np.pi * frequency * at / 8000)).astype("<i2")
        assert heard(sine.tobytes()) == ""
    for level in (300, 3000, 12000):
        noise = np.clip(chance.normal(0, level, 160_000), -32768, 32767)
        assert heard(noise.astype("<i2").tobytes(), 640) == ""


SPOKEN = {
    "de-DE": "Guten Tag, Sie haben die Zentrale erreicht. Unsere Sprechzeiten sind montags bis "
    "freitags von neun bis siebzehn Uhr. Bitte hinterlassen Sie eine Nachricht.",
    "es-ES": "Buenos días, gracias por llamar. Todos nuestros agentes están ocupados; su llamada "
    "será atendida en breve, por favor espere.",
    "fr-FR": "Bonjour et bienvenue. Pour joindre le service commercial, restez en ligne, un "
    "conseiller va prendre votre appel dans quelques instants.",
    "it-IT": "Buongiorno, tutti gli operatori sono al momento occupati. Si prega di attendere in "
    "linea per non perdere la priorità acquisita.",
}


def test_voices_are_no_keys():
    engine = NanoTTS()
    seconds = 0.0
    for name, text in SPOKEN.items():
        for pitch in (0.7, 1.0, 1.5):
            spoken = np.frombuffer(engine.speak(text, voice=name, pitch=pitch), "<i2")
            sound = soxr.resample(spoken, 16000, 8000).astype(float)
            seconds += len(sound) / 8000
            for loudest in (30000, 3000):
                pcm = (sound * loudest / np.abs(sound).max()).astype("<i2").tobytes()
                assert heard(g711.decode(g711.encode(pcm, "PCMU"), "PCMU"), 640) == ""
    assert seconds > 60
