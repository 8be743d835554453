"""Recordings from the node's side: names, trimming, storing off the loop, and a kill in between."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import soundfile
from django.db import OperationalError

from sipdomains.models import Account, Call, OutboxMessage
from sipdomains.services import recording_sweep, recordings
from sipserver.adapters.dbpool import DatabasePool
from sipserver.adapters.recordings import RecordingStore
from sipserver.calls.ports import FinishedRecording
from tests.sipdomains.sounds import NOON, start_recording, write_tone

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "storage"
    settings.RECORDING_SPOOL = tmp_path / "spool"


@pytest.fixture
def store(settings):
    pool = DatabasePool(threads=2)
    yield RecordingStore(pool, settings.RECORDING_SPOOL, "https://calls.example")
    pool.close()


@pytest.fixture
def call():
    account = Account.objects.create(friendly_name="Acme")
    return Call.objects.create(
        account=account, node="boot", direction="inbound", status="in-progress",
        from_uri="sip:a@x", to_uri="sip:b@x", started_at=NOON, updated_at=NOON,
    )  # fmt: skip


@pytest.fixture
def recording(store, call, settings):
    """Two seconds of a tone between two of silence."""
    row = start_recording(call.account, call, spool=settings.RECORDING_SPOOL)
    write_tone(Path(row.spool_path), 2.0)
    sound, rate = soundfile.read(row.spool_path, dtype="int16")
    silence = numpy.zeros(2 * rate, dtype="int16")
    soundfile.write(row.spool_path, numpy.concatenate([silence, sound, silence]), rate)
    return row


def finish(store, row, **changes):
    given = {"ended_by": "hangup", "seconds": 6.0, "failed": False, "heard": True} | changes
    return asyncio.run(store.finish(row.sid, **given))


def test_names_are_for_the_spool_and_the_world(store, settings):
    sid, path, url = store.new("AC" + "1" * 32)
    assert path == str(settings.RECORDING_SPOOL / f"{sid}.wav")
    assert url == f"https://calls.example/2010-04-01/Accounts/AC{'1' * 32}/Recordings/{sid}"
    assert settings.RECORDING_SPOOL.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("trimmed", "seconds"), [(False, 6), (True, 2)])
def test_recording_is_trimmed_as_its_row_says(store, recording, trimmed, seconds):
    recording.trim = trimmed
    recording.save()
    assert finish(store, recording) == FinishedRecording(seconds, "completed")
    recording.refresh_from_db()
    assert recording.duration == seconds
    with recording.file.open() as file:
        assert soundfile.info(file).duration == pytest.approx(seconds, abs=0.7)


def test_nothing_heard_is_absent(store, recording):
    assert finish(store, recording, heard=False) == FinishedRecording(0, "absent")


def test_what_was_written_before_a_failure_is_kept(store, recording):
    cut = Path(recording.spool_path).read_bytes()[: 44 + 16000 * 3]
    Path(recording.spool_path).write_bytes(cut)
    done = finish(store, recording, ended_by="lost", seconds=0.0, failed=True, heard=False)
    assert done == FinishedRecording(3, "completed")
    recording.refresh_from_db()
    assert "broke off" in recording.reason
    with recording.file.open() as file:
        assert soundfile.info(file).duration == 3.0


@pytest.mark.parametrize("content", [None, b"", b"RIFF"])
def test_failure_before_the_first_sample_is_told(store, recording, content):
    path = Path(recording.spool_path)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = finish(store, recording, ended_by="failed", seconds=0.0, failed=True, heard=False)
    assert done == FinishedRecording(0, "failed")


def test_loop_goes_on_while_a_recording_is_stored(store, recording, monkeypatch):
    finish_for_real = recordings.finish

    def slow(*args, **kwargs):
        time.sleep(0.3)
        return finish_for_real(*args, **kwargs)

    monkeypatch.setattr(recordings, "finish", slow)

    async def scenario():
        work = asyncio.ensure_future(
            store.finish(recording.sid, ended_by="key", seconds=6.0, failed=False, heard=True)
        )
        ticks = 0
        while not work.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks, work.result()

    ticks, done = asyncio.run(scenario())
    assert done.status == "completed"
    assert ticks > 10


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OperationalError("x")])
def test_failure_to_store_is_left_to_the_sweep(store, recording, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(recordings, "finish", fail)
        assert finish(store, recording) == FinishedRecording(0, "failed")
    recording.refresh_from_db()
    assert recording.status == "in-progress"
    assert recording_sweep.close_orphans(NOON) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.duration) == ("completed", 6)


def test_recording_without_a_row_is_failed(store):
    sid, _, _ = store.new("AC" + "1" * 32)
    done = asyncio.run(store.finish(sid, ended_by="key", seconds=1, failed=False, heard=True))
    assert done.status == "failed"


RECORDER = """
import sys, time
from sipserver.media.disk import Disk, WavFile
file = WavFile(Disk(), sys.argv[1], 1)
while True:
    file.write(bytes(8000))
    time.sleep(0.01)
"""


def test_kill_in_mid_recording_leaves_a_playable_file_and_a_truthful_row(store, call, settings):
    row = start_recording(call.account, call, spool=settings.RECORDING_SPOOL)
    path = Path(row.spool_path)
    writer = subprocess.Popen([sys.executable, "-c", RECORDER, str(path)])
    try:
        deadline = time.monotonic() + 20
        while (not path.exists() or path.stat().st_size < 50_000) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    with path.open("ab") as file:
        file.write(b"\1")  # half a sample: the kill may come anywhere
    Call.objects.update(ended_at=NOON)
    assert recording_sweep.close_orphans(NOON) == 1
    row.refresh_from_db()
    assert (row.status, row.ended_by) == ("completed", "node-lost")
    with row.file.open() as file:
        assert soundfile.info(file).duration == pytest.approx(row.duration, abs=0.5)
    assert row.duration >= 3
    assert [m.stream for m in OutboxMessage.objects.all()] == [row.sid]
