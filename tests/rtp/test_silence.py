import audioop

import numpy as np
import pytest

from sipserver.rtp.silence import SilenceDetector

RNG = np.random.default_rng(5)


def tone(dbfs, ms, frequency=440):
    at = np.arange(ms * 8)
    level = 32768 * 10 ** (dbfs / 20) * np.sqrt(2)
    return (level * np.sin(2 * np.pi * frequency * at / 8000)).astype("<i2").tobytes()


def noise(dbfs, ms):
    return RNG.normal(0, 32768 * 10 ** (dbfs / 20), ms * 8).astype("<i2").tobytes()


def fed(*parts, size=320):
    detector = SilenceDetector()
    pcm = b"".join(parts)
    for at in range(0, len(pcm), size):
        detector.feed(pcm[at : at + size])
    return detector


@pytest.mark.parametrize(
    ("parts", "speech_ms", "silent_ms"),
    [
        ([bytes(16000)], 0, 1000),
        ([noise(-55, 1000)], 0, 1000),
        ([tone(-20, 1000)], 1000, 0),
        ([tone(-20, 1000), bytes(8000)], 1000, 500),
        ([bytes(8000), tone(-30, 200), bytes(8000)], 200, 500),
        ([bytes(8000), tone(-10, 20), bytes(8000)], 0, 1020),  # a click
        ([tone(-20, 30000)], 30000, 0),  # long, steady and loud: no noise floor
    ],
)
def test_what_is_speech(parts, speech_ms, silent_ms):
    detector = fed(*parts)
    assert (detector.speech_ms, detector.silent_ms) == (speech_ms, silent_ms)


def test_noise_of_the_line_becomes_silence():
    detector = fed(noise(-45, 5000))
    assert detector.silent_ms > 2500
    spoken = detector.speech_ms
    detector.feed(tone(-20, 400) + noise(-45, 500))
    assert detector.speech_ms - spoken == pytest.approx(400, abs=40)
    assert detector.silent_ms == pytest.approx(500, abs=40)


@pytest.mark.parametrize("size", [160, 480, 2, 6400])
def test_frames_do_not_depend_on_packets(size):
    pcm = bytes(3200) + tone(-20, 400) + bytes(3200)
    whole, cut = fed(pcm), fed(pcm, size=size)
    assert (cut.speech_ms, cut.silent_ms, cut.peak) == (
        whole.speech_ms,
        whole.silent_ms,
        whole.peak,
    )


def test_peak():
    pcm = tone(-20, 100)
    assert fed(bytes(320), pcm).peak == audioop.max(pcm, 2)
