"""Recordings become final once, with their file and their callback; what was lost is recovered."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
import soundfile
from django.core.files.storage import InMemoryStorage, default_storage
from django.db import DatabaseError

from sipdomains import checks
from sipdomains.models import (
    Call,
    Notification,
    OutboxMessage,
    Recording,
    SipNode,
)
from sipdomains.services import calls, recording_files, recording_sweep, recordings
from tests.sipdomains.sounds import NOON, start_recording, write_tone

pytestmark = pytest.mark.django_db
END = NOON + timedelta(seconds=4)


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "storage"
    settings.RECORDING_SPOOL = tmp_path / "spool"
    settings.PUBLIC_URL = "https://calls.example"
    settings.RECORDING_SPOOL.mkdir()


@pytest.fixture
def spool(settings):
    return settings.RECORDING_SPOOL


@pytest.fixture
def call(alice, domain):
    return Call.objects.create(
        account=alice, domain=domain, node="boot", direction="inbound", status="in-progress",
        from_uri="sip:a@x", to_uri="sip:b@x", started_at=NOON, updated_at=NOON,
    )  # fmt: skip


@pytest.fixture
def recording(alice, call, spool):
    row = start_recording(alice, call, spool=spool)
    write_tone(Path(row.spool_path), 4.0)
    return row


def finish(row, **changes):
    given = {"ended_by": "hangup", "seconds": 4.0, "failed": False, "heard": True, "now": END}
    return recordings.finish(row.sid, row.spool_path, **(given | changes))


def promises(row):
    return list(OutboxMessage.objects.filter(stream=row.sid).order_by("position"))


# --- ordinary endings ---


def test_names_of_a_new_recording_belong_together(spool):
    made = recordings.new("AC" + "0" * 32, spool, "https://calls.example")
    assert made.path == str(spool / f"{made.sid}.wav")
    assert made.url == (
        f"https://calls.example/2010-04-01/Accounts/AC{'0' * 32}/Recordings/{made.sid}"
    )
    assert not Path(made.path).exists()


def test_finished_recording_is_stored_and_told(recording, settings):
    assert finish(recording) == recordings.Settled("completed", 4)
    recording.refresh_from_db()
    assert (recording.status, recording.duration, recording.ended_by) == ("completed", 4, "hangup")
    assert recording.ended_at == END
    assert recording.file.name == f"recordings/2026/03/04/{recording.sid}.wav"
    stored = settings.MEDIA_ROOT / recording.file.name
    assert recording.size == stored.stat().st_size
    assert soundfile.info(stored).duration == 4.0
    assert (stored.stat().st_mode & 0o777, stored.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(settings.RECORDING_SPOOL.iterdir()) == []
    (told,) = promises(recording)
    assert (told.position, told.url, told.method) == (0, "http://app.example/recorded", "POST")
    parameters = dict(told.parameters)
    assert parameters["RecordingStatus"] == "completed"
    assert parameters["RecordingDuration"] == "4"
    assert parameters["CallSid"] == recording.call_id
    assert parameters["RecordingUrl"] == (
        f"https://calls.example/2010-04-01/Accounts/{recording.account_id}"
        f"/Recordings/{recording.sid}"
    )
    assert recording.published == 1


def test_file_is_moved_not_copied(recording, settings):
    inode = os.stat(recording.spool_path).st_ino
    finish(recording)
    recording.refresh_from_db()
    assert os.stat(settings.MEDIA_ROOT / recording.file.name).st_ino == inode


def test_finishing_twice_changes_nothing(recording):
    finish(recording)
    assert finish(recording, failed=True, seconds=0.0) == recordings.Settled("completed", 4)
    assert len(promises(recording)) == 1


def test_position_follows_what_was_promised_before(recording):
    Recording.objects.update(published=1)  # in-progress was told
    finish(recording)
    assert [message.position for message in promises(recording)] == [1]


@pytest.mark.parametrize(
    ("how", "status", "told"),
    [
        ({"heard": False}, "absent", "absent"),
        ({"seconds": 0.0}, "absent", "absent"),
        ({"failed": True, "seconds": 0.0}, "failed", "failed"),
        ({"failed": True}, "completed", "completed"),
        ({"seconds": 0.2}, "completed", "completed"),
    ],
)
def test_every_end_is_told(recording, how, status, told):
    assert finish(recording, **how).status == status
    recording.refresh_from_db()
    assert recording.status == status
    assert bool(recording.file) == (status == "completed")
    assert bool(recording.reason) == (how != {"seconds": 0.2})
    assert [dict(message.parameters)["RecordingStatus"] for message in promises(recording)] == [
        told
    ]
    # What failed stays where an operator may find it; what is absent shall not stay.
    assert Path(recording.spool_path or "/nowhere").exists() == (status == "failed")
    noted = Notification.objects.filter(call_id=recording.call_id)
    assert [note.code for note in noted] == ([12400] if status == "failed" else [])


@pytest.mark.parametrize(
    "callback", [{}, {"url": "http://app.example/", "method": "POST", "events": ["absent"]}]
)
def test_nothing_is_told_that_nobody_asked_for(recording, callback):
    Recording.objects.update(callback=callback)
    finish(recording)
    assert promises(recording) == []


def test_unknown_recording_is_not_made_up(spool):
    assert recordings.finish(
        "RE" + "f" * 32, "", ended_by="hangup", seconds=1, failed=False, heard=True
    ) == recordings.Settled("in-progress", 0)


# --- storage ---


def test_other_storages_are_copied_to(recording, monkeypatch):
    store = InMemoryStorage()
    monkeypatch.setattr(recording_files, "default_storage", store)
    finish(recording)
    recording.refresh_from_db()
    with store.open(recording.file.name) as file:
        assert soundfile.info(file).duration == 4.0
    assert not Path(recording.spool_path or "/nowhere").exists()


def test_full_storage_loses_nothing_and_the_sweep_tries_again(recording, monkeypatch, settings):
    def full(*args):
        raise OSError(28, "No space left on device")

    settings.WAV_REPAIR = f"{__name__}.repaired"
    SipNode.objects.create(boot_id="boot", contact="x", started_at=NOON, heartbeat_at=NOON)
    later = END + recording_sweep.SETTLING + timedelta(seconds=1)
    with monkeypatch.context() as patched:
        patched.setattr(default_storage, "save", full, raising=False)
        with pytest.raises(OSError, match="No space"):
            finish(recording)
        recording.refresh_from_db()
        assert (recording.status, promises(recording)) == ("in-progress", [])
        assert Path(recording.spool_path).exists()
        Call.objects.update(ended_at=END)
        assert recording_sweep.close_orphans(later) == 0
    assert (
        recording_sweep.close_orphans(END + timedelta(minutes=1)) == 0
    )  # it may still be finishing
    assert recording_sweep.close_orphans(later) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.ended_by) == ("completed", "call-ended")
    assert recording.ended_at == END
    assert len(promises(recording)) == 1


def test_file_that_was_stored_before_the_database_failed_is_found(recording, monkeypatch, settings):
    def down(records):
        raise DatabaseError("down")

    with monkeypatch.context() as patched:
        patched.setattr(calls, "apply", down)
        with pytest.raises(DatabaseError):
            finish(recording)
    assert not Path(recording.spool_path).exists()
    recording.refresh_from_db()
    assert recording.status == "in-progress"
    assert recording_sweep.close_orphans(END) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.duration) == ("completed", 4)
    assert soundfile.info(settings.MEDIA_ROOT / recording.file.name).duration == 4.0


# --- pauses ---


def test_paused_and_resumed_until_it_is_final(recording):
    assert recordings.mark(recording.sid, paused=True)
    recording.refresh_from_db()
    assert recording.status == "paused"
    assert recordings.in_progress(recording.sid) == recording
    assert recordings.mark(recording.sid, paused=False)
    recording.refresh_from_db()
    assert recording.status == "in-progress"
    recordings.mark(recording.sid, paused=True)
    assert finish(recording) == recordings.Settled("completed", 4)
    for paused in (True, False):
        assert not recordings.mark(recording.sid, paused=paused)
    recording.refresh_from_db()
    assert recording.status == "completed"
    assert [dict(m.parameters)["RecordingStatus"] for m in promises(recording)] == ["completed"]


@pytest.mark.usefixtures("_repair")
def test_paused_recording_of_a_lost_node_is_recovered(recording):
    recordings.mark(recording.sid, paused=True)
    Call.objects.update(ended_at=END)
    assert recording_sweep.close_orphans(END) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.ended_by) == ("completed", "node-lost")


def test_paused_recording_stays_in_the_spool(recording):
    recordings.mark(recording.sid, paused=True)
    path = Path(recording.spool_path)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    recording_sweep.forget_old(NOON + timedelta(days=30))
    assert path.exists()


# --- deleting ---


def test_deleted_with_all_its_forms(recording, settings):
    finish(recording)
    recording.refresh_from_db()
    folder = (settings.MEDIA_ROOT / recording.file.name).parent
    recording_files.variant(recording, "mp3", 1)
    assert len(list(folder.iterdir())) == 2
    recordings.delete(recording)
    assert list(folder.iterdir()) == []
    row = Recording.objects.get(sid=recording.sid)
    assert (row.status, bool(row.file), row.size, row.duration) == ("deleted", False, 0, 4)
    assert row.reason == "It was deleted."
    recordings.delete(row)  # nothing happens
    assert finish(recording) == recordings.Settled("deleted", 4)


@pytest.mark.parametrize("paused", [True, False])
def test_recording_under_way_is_not_deleted(recording, paused):
    recordings.mark(recording.sid, paused=paused)
    with pytest.raises(recordings.NotFinished):
        recordings.delete(recording)
    assert Path(recording.spool_path).exists()
    assert finish(recording).status == "completed"


def test_what_is_left_of_a_failed_one_is_deleted(recording):
    finish(recording, failed=True, seconds=0.0)
    recording.refresh_from_db()
    path = Path(recording.spool_path)
    assert path.exists()
    recordings.delete(recording)
    assert not path.exists()


def refuse(name):
    raise OSError("read-only")


def test_storage_that_does_not_delete_is_asked_again(recording, monkeypatch):
    finish(recording)
    recording.refresh_from_db()
    name = recording.file.name
    with monkeypatch.context() as patched:
        patched.setattr(recording_files, "delete", refuse)
        with pytest.raises(OSError, match="read-only"):
            recordings.delete(recording)
        recording_sweep.forget_old()
    recording.refresh_from_db()
    assert (recording.status, recording.file.name) == ("deleted", name)
    recording_sweep.forget_old()
    assert not default_storage.exists(name)
    recording.refresh_from_db()
    assert not recording.file


# --- orphans ---


def repaired(path):
    """Stands for the media's own repair, which has tests of its own."""
    Path(path).read_bytes()
    try:
        return soundfile.info(path).duration
    except soundfile.SoundFileError as error:
        raise ValueError(str(error)) from error


@pytest.fixture
def _repair(settings):
    settings.WAV_REPAIR = f"{__name__}.repaired"


@pytest.mark.usefixtures("_repair")
def test_recording_of_a_lost_node_is_recovered(recording, settings):
    Call.objects.update(ended_at=END)
    assert recording_sweep.close_orphans(END) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.ended_by, recording.duration) == (
        "completed", "node-lost", 4,
    )  # fmt: skip
    assert "node was lost" in recording.reason
    assert [dict(m.parameters)["RecordingStatus"] for m in promises(recording)] == ["completed"]
    assert recording_sweep.close_orphans(END) == 0


@pytest.mark.usefixtures("_repair")
def test_recording_of_a_running_node_is_left_alone(recording):
    SipNode.objects.create(boot_id="boot", contact="x", started_at=NOON, heartbeat_at=NOON)
    assert recording_sweep.close_orphans(NOON + timedelta(days=2)) == 0


@pytest.mark.usefixtures("_repair")
def test_sound_on_another_machine_is_waited_for_then_given_up(recording):
    Path(recording.spool_path).unlink()
    Call.objects.update(ended_at=END)
    assert recording_sweep.close_orphans(END + timedelta(hours=23)) == 0
    assert recording_sweep.close_orphans(END + timedelta(hours=25)) == 1
    recording.refresh_from_db()
    assert (recording.status, recording.error_code) == ("failed", 12400)
    assert "never found" in recording.reason
    assert [dict(m.parameters)["RecordingStatus"] for m in promises(recording)] == ["failed"]


@pytest.mark.usefixtures("_repair")
def test_damaged_sound_is_given_up_and_kept_for_the_operator(recording):
    Path(recording.spool_path).write_bytes(b"not a sound")
    Call.objects.update(ended_at=END)
    assert recording_sweep.close_orphans(END) == 1
    recording.refresh_from_db()
    assert recording.status == "failed"
    assert "could not be recovered" in recording.reason
    assert Path(recording.spool_path).exists()


@pytest.mark.usefixtures("_repair")
def test_one_hopeless_recording_does_not_keep_the_others(recording, alice, call, spool):
    Path(recording.spool_path).unlink()
    Path(recording.spool_path).mkdir()  # which no repair can read
    other = start_recording(alice, call, spool=spool, number=2)
    write_tone(Path(other.spool_path), 1.0)
    Call.objects.update(ended_at=END)
    assert recording_sweep.close_orphans(END) == 1
    other.refresh_from_db()
    assert other.status == "completed"


# --- retention ---


def test_old_files_are_deleted_and_rows_say_so(
    recording, alice, call, spool, settings, monkeypatch
):
    finish(recording)
    recording.refresh_from_db()
    name = recording.file.name
    recording_files.variant(recording, "mp3", 1)
    young = start_recording(alice, call, spool=spool, number=2, started_at=NOON + timedelta(days=2))
    write_tone(Path(young.spool_path), 1.0)
    finish(young)
    now = NOON + timedelta(days=31)
    assert recording_sweep.forget_old(now) == 0
    settings.RECORDING_KEEP_DAYS = 30
    with monkeypatch.context() as patched:
        patched.setattr(recording_files, "delete", refuse)
        assert recording_sweep.forget_old(now) == 0
    assert recording_sweep.forget_old(now) == 1
    assert recording_sweep.forget_old(now) == 0
    recording.refresh_from_db()
    young.refresh_from_db()
    assert (recording.status, bool(recording.file)) == ("completed", False)
    assert "deleted after 30 days" in recording.reason
    assert list((settings.MEDIA_ROOT / name).parent.iterdir()) == []
    assert default_storage.exists(young.file.name)


def test_spool_is_cleaned_of_what_is_over(recording, alice, call, spool):
    left = spool / f"RE{'e' * 32}.wav"
    foreign = spool / "notes.txt"
    for path in (left, foreign, Path(recording.spool_path)):
        path.write_bytes(b"x")
        os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    recording_sweep.forget_old(NOON + timedelta(days=6))
    assert left.exists()
    recording_sweep.forget_old(NOON + timedelta(days=8))
    assert not left.exists()
    assert foreign.exists()
    assert Path(recording.spool_path).exists()  # in progress


# --- configuration ---


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:8000", None),
        ("https://calls.example", None),
        ("https://[2001:db8::1]:8443/base", None),
        ("calls.example", "E052"),
        ("ftp://calls.example", "E052"),
        ("https://calls.example/?a=b", "E052"),
        ("https://me@calls.example", "E052"),
        ("https://calls.example:port", "E052"),
        ("http://0.0.0.0:8000", "W053"),
        ("http://[::]:8000", "W053"),
        ("https://elsewhere.example", "W054"),
    ],
)
def test_public_url_is_checked(settings, url, code):
    settings.PUBLIC_URL = url
    settings.ALLOWED_HOSTS = ["127.0.0.1", "calls.example", "[2001:db8::1]"]
    found = [message.id for message in checks.check_public_url()]
    assert found == ([f"sipdomains.{code}"] if code else [])
