"""G.711, tones, files and the quality estimate."""

import array
import struct

import numpy as np
import pytest

from sipserver.rtp import g711, tone, wav
from sipserver.rtp.quality import mean_opinion_score


def expanded_mu(octet):
    octet ^= 0xFF
    magnitude = (((octet & 15) << 3) + 132 << (octet >> 4 & 7)) - 132
    return -magnitude if octet & 0x80 else magnitude


def expanded_a(octet):
    octet ^= 0x55
    exponent, mantissa = octet >> 4 & 7, (octet & 15) << 4
    magnitude = mantissa + 8 if exponent == 0 else mantissa + 0x108 << exponent - 1
    return magnitude if octet & 0x80 else -magnitude


EXPANSIONS = [("PCMU", expanded_mu), ("PCMA", expanded_a)]


@pytest.mark.parametrize(("codec", "expanded"), EXPANSIONS)
def test_all_octets_expand_as_g711_has_it(codec, expanded):
    pcm = array.array("h", g711.decode(bytes(range(256)), codec))
    assert list(pcm) == [expanded(octet) for octet in range(256)]


@pytest.mark.parametrize(("codec", "expanded"), EXPANSIONS)
def test_all_octets_survive_a_round_trip(codec, expanded):
    octets = bytes(range(256))
    again = g711.encode(g711.decode(octets, codec), codec)
    assert [expanded(octet) for octet in again] == [expanded(octet) for octet in octets]


@pytest.mark.parametrize(("codec", "octet"), [("PCMU", b"\xff"), ("PCMA", b"\xd5")])
def test_silence(codec, octet):
    assert g711.SILENCE[codec] == octet == g711.encode(b"\0\0", codec)


def spectrum_peaks(encoded, codec):
    samples = np.frombuffer(g711.decode(encoded, codec), dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8000))
    low = 600 + int(spectrum[600:1050].argmax())
    high = 1100 + int(spectrum[1100:1750].argmax())
    return low, high


@pytest.mark.parametrize("key", sorted(tone.FREQUENCIES))
@pytest.mark.parametrize("codec", g711.CODECS)
def test_tones_have_their_two_frequencies(key, codec):
    found = spectrum_peaks(tone.tone(key, codec), codec)
    assert found == pytest.approx(tone.FREQUENCIES[key], abs=5)


def test_sixteen_keys():
    assert sorted(tone.FREQUENCIES) == sorted("0123456789*#ABCD")
    assert tone.FREQUENCIES["5"] == (770, 1336)
    assert tone.FREQUENCIES["#"] == (941, 1477)


def test_dialled_audio_keeps_time():
    assert len(tone.dial("1w2W", "PCMA")) == (200 + 500 + 200 + 1000) * 8


def wave(fmt=(1, 1, 8000, 16000, 2, 16), data_size=None, *, before=b"", samples=100):
    data = bytes(samples * 2)
    chunks = before + b"fmt " + struct.pack("<IHHIIHH", 16, *fmt)
    chunks += b"data" + struct.pack("<I", len(data) if data_size is None else data_size) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(
    ("data", "span"),
    [
        (wave(), wav.SampleSpan(44, 100)),
        (wave(before=b"LIST" + struct.pack("<I", 3) + b"abc\0"), wav.SampleSpan(56, 100)),
        (wave(data_size=0xFFFFFFFF), wav.SampleSpan(44, 100)),
        (wave(data_size=50), wav.SampleSpan(44, 25)),
        (wave(samples=0), wav.SampleSpan(44, 0)),
    ],
)
def test_samples_are_found(data, span):
    assert wav.locate(data[: wav.HEAD_SIZE], len(data)) == span


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFX" + wave()[4:],
        wave(fmt=(1, 2, 8000, 32000, 4, 16)),
        wave(fmt=(1, 1, 16000, 32000, 2, 16)),
        wave(fmt=(1, 1, 8000, 8000, 1, 8)),
        wave(fmt=(7, 1, 8000, 8000, 1, 8)),
        wave()[:40],
        wave()[:30],
        b"RIFF\0\0\0\0WAVE" + wave()[36:],  # data without format
        wave(before=b"LIST" + struct.pack("<I", 0xFFFFFFFF)),
    ],
)
def test_other_files_are_refused(data):
    with pytest.raises(wav.UnsupportedWav):
        wav.locate(data, len(data))


@pytest.mark.parametrize(
    ("loss", "jitter", "rtt", "low", "high"),
    [
        (0, 0, 0, 4.35, 4.45),
        (0.01, 0, 0, 4.2, 4.35),
        (0.05, 0, 100, 3.7, 4.0),
        (0, 0, 600, 3.3, 4.0),
        (1, 100, 1000, 1, 1.1),
    ],
)
def test_quality(loss, jitter, rtt, low, high):
    assert low <= mean_opinion_score(loss=loss, jitter_ms=jitter, rtt_ms=rtt) <= high


def test_quality_falls_with_each_impairment():
    best = mean_opinion_score(loss=0, jitter_ms=0, rtt_ms=0)
    assert mean_opinion_score(loss=0.02, jitter_ms=0, rtt_ms=0) < best
    assert mean_opinion_score(loss=0, jitter_ms=40, rtt_ms=0) < best
    assert mean_opinion_score(loss=0, jitter_ms=0, rtt_ms=200) < best
