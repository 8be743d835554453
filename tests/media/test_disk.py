import os
import resource
import signal
from time import monotonic, sleep

import pytest

from sipserver.media.disk import Disk, WavFile
from sipserver.rtp import wav


def closed(file):
    file.close()
    limit = monotonic() + 30
    while not file.done and monotonic() < limit:
        sleep(0.001)
    assert file.done
    return file


def test_each_write_leaves_a_file_that_tells_its_length(tmp_path):
    path = tmp_path / "a.wav"
    jobs = []
    disk = Disk()
    disk.submit = jobs.append  # one after another, when we say so
    file = WavFile(disk, str(path), 2)
    for pcm in (b"\1\0" * 100, b"\2\0" * 60):
        file.write(pcm)
    for size in (0, 200, 320):
        jobs.pop(0)()
        data = path.read_bytes()
        assert data[: wav.HEADER_SIZE] == wav.header(2, size)
        assert len(data) == wav.HEADER_SIZE + size
    assert (file.done, file.error) == (False, "")


def test_a_file_that_is_there_is_overwritten_but_no_link_followed(tmp_path):
    path, link = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(bytes(5000))
    link.symlink_to(path)
    assert closed(WavFile(Disk(), str(link), 1)).error
    assert path.read_bytes() == bytes(5000)
    assert closed(WavFile(Disk(), str(path), 1)).error == ""
    assert path.read_bytes() == wav.header(1, 0)


def test_no_directory(tmp_path):
    file = WavFile(Disk(), str(tmp_path / "none" / "a.wav"), 1)
    file.write(bytes(320))
    assert "No such file" in closed(file).error


def test_a_disk_that_fills_up_leaves_what_it_took(tmp_path):
    """A limit of the process stands for the end of the disk: EFBIG instead of ENOSPC."""
    path = tmp_path / "a.wav"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = WavFile(Disk(), str(path), 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for _ in range(4):
            file.write(bytes(400))
        closed(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "File too large" in file.error
    assert path.read_bytes()[: wav.HEADER_SIZE] == wav.header(1, 800)


def test_a_disk_that_stalls_is_given_up(tmp_path):
    disk = Disk()
    disk.submit = lambda job: None
    file = WavFile(disk, str(tmp_path / "a.wav"), 1)
    for _ in range(6):
        file.write(bytes(1 << 20))
    assert "slow" in file.error


def test_what_closes_is_closed(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    disk = Disk()
    for number in range(5):
        closed(WavFile(disk, str(tmp_path / f"{number}.wav"), 1))
    assert len(os.listdir("/proc/self/fd")) == pytest.approx(before, abs=1)
