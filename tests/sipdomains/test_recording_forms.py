"""The forms of a recording: made when somebody asks for them, kept, and gone with it."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
import soundfile
from django.core.files.storage import default_storage

from sipdomains.models import Recording
from sipdomains.services import recording_files, recording_sweep, recordings, waveforms
from tests.sipdomains.sounds import NOON, start_recording, write_tone

pytestmark = pytest.mark.django_db


@pytest.fixture
def recording(alice, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "storage"
    settings.RECORDING_SPOOL = tmp_path
    row = start_recording(alice, spool=tmp_path)
    write_tone(Path(row.spool_path), 4.0)
    return row


def finish(row):
    recordings.finish(row.sid, row.spool_path, ended_by="hangup", seconds=4.0, failed=False,
                      heard=True, now=NOON + timedelta(seconds=4))  # fmt: skip


def test_forms_are_made_once_and_kept(recording, settings, monkeypatch):
    Recording.objects.update(channels=2)
    write_tone(Path(recording.spool_path), 2.0, hertz=(440, 1000))
    finish(recording)
    recording.refresh_from_db()
    base = settings.MEDIA_ROOT / recording.file.name
    name = {
        (kind, channels): recording_files.variant(recording, kind, channels)
        for kind in ("wav", "mp3")
        for channels in (1, 2)
    }
    assert name["wav", 2] == recording.file.name
    for (kind, channels), stored in name.items():
        info = soundfile.info(settings.MEDIA_ROOT / stored)
        assert (info.format, info.channels) == (kind.upper(), channels)
        assert info.duration == pytest.approx(2.0, abs=0.1)
    monkeypatch.setattr(recording_files, "_convert", pytest.fail)
    assert recording_files.variant(recording, "mp3", 1) == name["mp3", 1]
    recording_files.delete(recording.file.name)
    assert list(base.parent.iterdir()) == []


def test_conversions_are_bounded(recording, monkeypatch):
    finish(recording)
    recording.refresh_from_db()
    monkeypatch.setattr(recording_files, "_conversions", threading.BoundedSemaphore(1))
    monkeypatch.setattr(recording_files, "CONVERSION_WAIT_SECONDS", 0.01)
    with recording_files._conversions, pytest.raises(recording_files.Busy):
        recording_files.variant(recording, "mp3", 1)
    assert recording_files.variant(recording, "mp3", 1).endswith(".mp3")


def test_sound_that_is_gone_cannot_be_converted(recording):
    finish(recording)
    recording.refresh_from_db()
    default_storage.delete(recording.file.name)
    with pytest.raises(recording_files.Unreadable):
        recording_files.variant(recording, "mp3", 1)


@pytest.mark.parametrize("how", ["by a user", "by age"])
@pytest.mark.parametrize("what", ["mp3", "waveform"])
def test_nothing_is_left_of_a_recording_that_is_deleted_while_it_is_read(
    recording, settings, monkeypatch, how, what
):
    finish(recording)
    recording.refresh_from_db()
    folder = (settings.MEDIA_ROOT / recording.file.name).parent
    settings.RECORDING_KEEP_DAYS = 30

    def deletes() -> None:
        if how == "by a user":
            recordings.delete(Recording.objects.get())
        else:
            assert recording_sweep.forget_old(NOON + timedelta(days=31)) == 1

    module, name, ask = {
        "mp3": (recording_files, "_transcode", lambda: recording_files.variant(recording, what, 1)),
        "waveform": (waveforms, "_peaks", lambda: waveforms.waveform(recording)),
    }[what]
    read = getattr(module, name)

    def reads(*given):
        result = read(*given)
        deletes()
        return result

    monkeypatch.setattr(module, name, reads)
    with pytest.raises(recording_files.Unreadable):
        ask()
    assert list(folder.iterdir()) == []
