import os
import stat
import wave
from array import array

import pytest

from sipserver.media.trim import repair_wav, trim
from sipserver.rtp.wav import HEADER_SIZE, UnsupportedWav, header
from tests.media.conftest import tone


def write(path, *channels):
    samples = array("h", [value for frame in zip(*channels, strict=True) for value in frame])
    path.write_bytes(header(len(channels), len(samples) * 2) + samples.tobytes())
    return str(path)


def read(path):
    with wave.open(str(path)) as file:
        data = array("h", file.readframes(file.getnframes()))
        return [list(data[at :: file.getnchannels()]) for at in range(file.getnchannels())]


SECOND = [0] * 8000
SPOKEN = SECOND + tone(440, 8000) + SECOND


@pytest.mark.parametrize(
    ("leading", "trailing", "seconds", "kept"),
    [
        (True, True, 1.4, slice(6400, 17600)),
        (True, False, 2.2, slice(6400, None)),
        (False, True, 2.2, slice(0, 17600)),
        (False, False, 3.0, slice(None)),
    ],
)
def test_silence_goes_but_for_a_fifth_of_a_second(tmp_path, leading, trailing, seconds, kept):
    path = write(tmp_path / "a.wav", SPOKEN)
    assert trim(path, leading=leading, trailing=trailing) == pytest.approx(seconds)
    assert read(path) == [SPOKEN[kept]]
    assert os.listdir(tmp_path) == ["a.wav"]


def test_speech_of_either_channel_stays(tmp_path):
    left, right = SPOKEN + SECOND, SECOND + SPOKEN
    path = write(tmp_path / "a.wav", left, right)
    assert trim(path, leading=True, trailing=True) == pytest.approx(2.4)
    assert read(path) == [left[6400:25600], right[6400:25600]]


def test_opposite_channels_do_not_cancel(tmp_path):
    path = write(tmp_path / "a.wav", SPOKEN, [-value for value in SPOKEN])
    assert trim(path, leading=True, trailing=True) == pytest.approx(1.4)


def test_silence_alone_leaves_nothing(tmp_path):
    path = write(tmp_path / "a.wav", SECOND)
    assert trim(path, leading=True, trailing=True) == 0
    assert read(path) == [[]]
    assert trim(path, leading=True, trailing=True) == 0


def test_noise_is_silence_beside_speech(tmp_path):
    hum = tone(50, 8000)
    noise = [value // 60 for value in hum]  # -45 dBFS
    path = write(tmp_path / "a.wav", noise + tone(440, 8000) + noise)
    assert trim(path, leading=True, trailing=True) == pytest.approx(1.4, abs=0.05)


def test_long_files_are_read_in_parts(tmp_path):
    path = write(tmp_path / "a.wav", SECOND * 15 + tone(440, 8000) + SECOND * 15)
    assert trim(path, leading=True, trailing=True) == pytest.approx(1.4)
    assert read(path) == [[0] * 1600 + tone(440, 8000) + [0] * 1600]


def test_permissions_stay(tmp_path):
    path = write(tmp_path / "a.wav", SPOKEN)
    os.chmod(path, 0o640)
    trim(path, leading=True, trailing=True)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


@pytest.mark.parametrize("channels", [1, 2])
def test_a_header_is_repaired_by_the_size(tmp_path, channels):
    path = tmp_path / "a.wav"
    sound = array("h", tone(440, 8000)).tobytes()
    path.write_bytes(header(channels, 3200) + sound + b"\0" * (2 * channels - 1))
    assert repair_wav(path) == 1.0 / channels
    assert path.read_bytes() == header(channels, len(sound)) + sound
    assert repair_wav(path) == 1.0 / channels


@pytest.mark.parametrize("data", [b"", b"RIFF", header(1, 0)[: HEADER_SIZE - 1], bytes(100)])
def test_what_is_no_recording_is_left_alone(tmp_path, data):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    for action in (repair_wav, lambda path: trim(path, leading=True, trailing=True)):
        with pytest.raises(UnsupportedWav):
            action(path)
    assert path.read_bytes() == data


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        repair_wav(tmp_path / "none.wav")
