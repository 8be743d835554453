"""The picture of a recording: what it shows, that it is made once, who may see it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from django.core.files.storage import default_storage

from sipdomains import access
from sipdomains.models import Account
from sipdomains.services import recording_files, waveforms
from sipdomains.services.waveforms import COLUMNS
from sipdomains.web.waveforms import CHANNEL, bars
from tests.sipdomains.sounds import start_recording

pytestmark = pytest.mark.django_db


@pytest.fixture
def record(settings, tmp_path, domain, make_call):
    settings.MEDIA_ROOT = tmp_path / "storage"

    def make(samples):
        row = start_recording(domain.account, make_call(domain=domain), spool=tmp_path,
                              status="completed")  # fmt: skip
        Path(row.spool_path).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(row.spool_path, samples.astype(np.int16), 8000, format="WAV")
        row.file.name = recording_files.wav_name(row)
        recording_files.store(row.spool_path, row.file.name)
        row.channels = 1 if samples.ndim == 1 else samples.shape[1]
        row.save()
        return row

    return make


def url_of(row):
    return f"/recordings/{row.account_id}/{row.sid}/waveform/"


def test_peaks_follow_the_sound(record):
    quiet, loud = np.full(4000, 0), np.full(4000, -32768)
    [channel] = waveforms.waveform(record(np.concatenate([quiet, loud]))).channels
    assert len(channel) == COLUMNS
    assert (set(channel[: COLUMNS // 2]), set(channel[COLUMNS // 2 :])) == ({0}, {100})


def test_channels_are_apart(record):
    both = np.stack([np.full(8000, 16384), np.zeros(8000)], axis=1)
    left, right = waveforms.waveform(record(both)).channels
    assert (set(left), set(right)) == ({50}, {0})


@pytest.mark.parametrize("frames", [1, 7, 399, 400, 401, 300_001])
def test_every_length_fits(record, frames):
    [channel] = waveforms.waveform(record(np.full(frames, 32767))).channels
    assert 1 <= len(channel) <= COLUMNS
    assert set(channel) == {99}


def test_empty_sound_has_no_picture(record, desk):
    row = record(np.zeros(0))
    assert waveforms.waveform(row).channels == [[]]
    assert desk.get(url_of(row)).status_code == 204


def test_it_is_computed_once_and_goes_with_the_recording(record, monkeypatch):
    row = record(np.full(800, 1000))
    first = waveforms.waveform(row)
    monkeypatch.setattr(waveforms, "_peaks", None)
    assert waveforms.waveform(row) == first
    recording_files.delete(row.file.name)
    assert not default_storage.exists(recording_files.waveform_name(row.file.name))


def test_kept_one_that_is_broken_is_made_anew(record):
    row = record(np.full(800, 1000))
    first = waveforms.waveform(row)
    Path(default_storage.path(recording_files.waveform_name(row.file.name))).write_text("{")
    assert waveforms.waveform(row) == first


def test_page_of_the_call_asks_for_the_picture(record, desk):
    row = record(np.full(8000, 20000))
    page = desk.get(f"/calls/{row.call_id}/").content.decode()
    assert f'hx-get="{url_of(row)}"' in page
    picture = desk.get(url_of(row)).content.decode()
    assert picture.startswith("<svg")
    assert 'class="played"' in picture


def test_file_that_is_gone_draws_nothing(record, desk):
    row = record(np.full(80, 1))
    default_storage.delete(row.file.name)
    assert desk.get(url_of(row)).status_code == 204


def test_too_many_at_once_are_put_off(record, desk, monkeypatch):
    row = record(np.full(80, 1))
    monkeypatch.setattr(recording_files, "CONVERSION_WAIT_SECONDS", 0.01)
    for _ in range(recording_files.MAX_CONVERSIONS):
        recording_files._conversions.acquire()
    try:
        answer = desk.get(url_of(row))
    finally:
        recording_files._conversions.release(recording_files.MAX_CONVERSIONS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_strangers_do_not_see_it(record, client, make_user):
    row = record(np.full(80, 1))
    other = Account.objects.create(friendly_name="Other")
    client.force_login(make_user("stranger", access.VIEWER, accounts=[other]))
    assert client.get(url_of(row)).status_code == 404
    client.force_login(make_user("nobody"))
    assert client.get(url_of(row)).status_code == 403
    assert client.get(f"/recordings/x/{row.sid}/waveform/").status_code == 403


def test_bars_stand_around_the_middle():
    assert bars([0, 100], CHANNEL) == "M0.5 71.5V72.5M1.5 50.0V94.0"
