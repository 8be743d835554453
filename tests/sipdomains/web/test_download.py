"""Files of recordings: who may have them, in which form, and which part."""

import asyncio
from base64 import b64encode
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy
import pytest
import soundfile
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.test import AsyncClient

from sipdomains.api.ranges import Unsatisfiable, byte_range
from sipdomains.models import Account
from sipdomains.services import apikeys, recording_files, recordings
from tests.sipdomains.sounds import NOON, start_recording, write_tone


@pytest.fixture(autouse=True)
def _nobody_has_guessed_yet():
    cache.clear()


@pytest.fixture
def acme(db):
    return Account.objects.create(
        friendly_name="Acme", auth_token="a" * 32, secondary_auth_token="b" * 32
    )


@pytest.fixture
def other(db):
    return Account.objects.create(friendly_name="Other", auth_token="c" * 32)


@pytest.fixture
def stored(settings, tmp_path):
    """Make a finished recording of tones, one for each channel."""
    settings.MEDIA_ROOT = tmp_path / "storage"

    def make(account, seconds=2.0, hertz=(440,), number=1, **fields):
        row = start_recording(
            account, spool=tmp_path, number=number, status="completed", channels=len(hertz),
            duration=round(seconds), ended_at=NOON + timedelta(seconds=seconds), **fields,
        )  # fmt: skip
        path = write_tone(Path(row.spool_path), seconds, hertz)
        row.file.name = recording_files.wav_name(row)
        row.size = recording_files.store(str(path), row.file.name)
        row.spool_path = ""
        row.save()
        return row

    return make


def address(row, suffix="", account=None):
    return f"/2010-04-01/Accounts/{(account or row.account).sid}/Recordings/{row.sid}{suffix}"


def basic(sid, token):
    return {"Authorization": "Basic " + b64encode(f"{sid}:{token}".encode()).decode()}


def get(client, *args, **kwargs):
    """A response whose ``sound`` has been read to the end, which closes the file."""
    response = client.get(*args, **kwargs)
    response.sound = response.getvalue()
    return response


def pitch(sound, rate=8000):
    """The strongest frequency, in Hz."""
    return int(numpy.abs(numpy.fft.rfft(sound)).argmax() * rate / len(sound))


# --- who may ---


def test_account_may_with_either_of_its_tokens(client, acme, stored):
    row = stored(acme)
    for token in ("a" * 32, "b" * 32):
        response = get(client, address(row), headers=basic(acme.sid, token))
        assert response.status_code == 200
        assert soundfile.info(BytesIO(response.sound)).duration == 2.0


def test_operator_may_when_logged_in(client, operator, acme, stored):
    row = stored(acme)
    assert get(client, address(row)).status_code == 401
    client.force_login(operator)
    assert get(client, address(row)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Bearer aaaa"},
        {"Authorization": "Basic " + "A" * 9000},
        "wrong token",
        "empty token",
        "unknown account",
    ],
)
def test_strangers_may_not(client, acme, other, stored, headers):
    row = stored(acme)
    headers = {
        "wrong token": basic(acme.sid, "d" * 32),
        "empty token": basic(other.sid, ""),
        "unknown account": basic("AC" + "f" * 32, ""),
    }.get(headers if isinstance(headers, str) else "", headers)
    for suffix in ("", ".wav", ".mp3"):
        response = get(client, address(row, suffix), headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Basic realm=")
        assert response.json()["code"] == 20003


def test_recordings_of_others_do_not_exist_for_an_account(client, acme, other, stored):
    row = stored(acme)
    for account in (acme, other):
        response = get(client, address(row, account=account), headers=basic(other.sid, "c" * 32))
        assert (response.status_code, response.json()["code"]) == (404, 20404)


def test_api_keys_and_the_parent_account_may(client, acme, other, stored):
    row = stored(acme)
    key, secret = apikeys.create(acme, "reader")
    parent = Account.objects.create(friendly_name="Parent", auth_token="e" * 32)
    Account.objects.filter(sid=acme.sid).update(parent=parent)
    for credentials in ((key.sid, secret), (parent.sid, "e" * 32)):
        assert get(client, address(row), headers=basic(*credentials)).status_code == 200
    other_key, other_secret = apikeys.create(other, "reader")
    response = get(client, address(row), headers=basic(other_key.sid, other_secret))
    assert response.status_code == 404


def test_credentials_cannot_be_guessed(client, acme, stored, settings, monkeypatch):
    monkeypatch.setattr("sipdomains.throttling.time.time", lambda: 1_800_000_000.0)
    cache.clear()
    settings.API_FAILED_LOGINS_PER_MINUTE = 3
    row = stored(acme)
    for _ in range(3):
        assert get(client, address(row), headers=basic(acme.sid, "x")).status_code == 401
    response = get(client, address(row), headers=basic(acme.sid, "a" * 32))
    assert (response.status_code, response.json()["code"]) == (429, 20429)
    assert int(response["Retry-After"]) >= 1


def test_suspended_account_may_not(client, acme, stored):
    row = stored(acme)
    Account.objects.update(status="suspended")
    response = get(client, address(row), headers=basic(acme.sid, "a" * 32))
    assert (response.status_code, response.json()["code"]) == (403, 20006)


def test_only_reading_is_possible(desk, acme, stored):
    row = stored(acme)
    for method in (desk.post, desk.delete):
        response = method(address(row))
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


# --- what there is ---


def test_there_is_nothing_at_other_addresses(client, acme, stored):
    row = stored(acme)
    for suffix in (".ogg", ".wav.wav", "x", "%00"):
        response = get(client, address(row, suffix), headers=basic(acme.sid, acme.auth_token))
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "in-progress"}, b"not finished"),
        ({"status": "paused"}, b"not finished"),
        ({"status": "deleted", "reason": "It was deleted."}, b"It was deleted"),
        ({"status": "absent", "reason": "Nothing was heard."}, b"Nothing was heard"),
        ({"status": "completed", "reason": "Deleted."}, b"Deleted"),
    ],
)
def test_recording_without_a_file_says_why(desk, acme, tmp_path, fields, words):
    row = start_recording(acme, spool=tmp_path, **fields)
    response = get(desk, address(row))
    assert response.status_code == 404
    assert words in response.content


def test_lost_file_is_no_crash(desk, acme, stored):
    row = stored(acme)
    default_storage.delete(row.file.name)
    for suffix in ("", ".mp3"):
        assert get(desk, address(row, suffix)).status_code == 404


def test_too_many_conversions_are_told_to_wait(desk, acme, stored, monkeypatch):
    monkeypatch.setattr(recording_files, "CONVERSION_WAIT_SECONDS", 0.01)
    row = stored(acme)
    slots = recording_files._conversions
    with slots, slots:
        response = get(desk, address(row, ".mp3"))
        assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert get(desk, address(row, ".mp3")).status_code == 200


# --- forms ---


@pytest.mark.parametrize(
    ("suffix", "kind", "form"),
    [("", "audio/wav", "WAV"), (".wav", "audio/wav", "WAV"), (".mp3", "audio/mpeg", "MP3")],
)
def test_forms_sound_the_same(desk, acme, stored, suffix, kind, form):
    row = stored(acme)
    response = get(desk, address(row, suffix))
    assert response["Content-Type"] == kind
    sound = response.sound
    assert int(response["Content-Length"]) == len(sound)
    assert soundfile.info(BytesIO(sound)).format == form
    heard, rate = soundfile.read(BytesIO(sound))
    assert rate == 8000
    assert len(heard) / rate == pytest.approx(2.0, abs=0.1)
    assert pitch(heard) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_channels_are_as_asked(desk, acme, stored, kind):
    row = stored(acme, hertz=(440, 1000))
    both = soundfile.read(BytesIO(get(desk, address(row, f".{kind}")).sound))[0]
    assert [pitch(both[:, 0]), pitch(both[:, 1])] == pytest.approx([440, 1000], abs=3)
    one = soundfile.read(
        BytesIO(get(desk, address(row, f".{kind}") + "?RequestedChannels=1").sound)
    )[0]
    assert one.ndim == 1
    spectrum = numpy.abs(numpy.fft.rfft(one))
    rise = len(one) / 8000
    assert min(spectrum[round(440 * rise)], spectrum[round(1000 * rise)]) > spectrum.max() / 2


@pytest.mark.parametrize(("wanted", "code"), [("2", 16113), ("3", 20422), ("dual", 20422)])
def test_one_channel_does_not_become_two(client, acme, stored, wanted, code):
    response = get(
        client,
        address(stored(acme), ".mp3") + f"?RequestedChannels={wanted}",
        headers=basic(acme.sid, "a" * 32),
    )
    assert response.status_code == 400
    assert response.json() == {
        "code": code,
        "message": response.json()["message"],
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": 400,
    }


def test_as_many_channels_as_there_are(desk, acme, stored):
    for hertz, number in (((440,), 1), ((440, 1000), 2)):
        row = stored(acme, hertz=hertz, number=number)
        response = get(desk, address(row) + f"?RequestedChannels={len(hertz)}")
        assert soundfile.info(BytesIO(response.sound)).channels == len(hertz)


def test_deleted_recording_is_gone(client, acme, stored):
    row = stored(acme)
    owner = basic(acme.sid, "a" * 32)
    assert get(client, address(row, ".mp3"), headers=owner).status_code == 200
    recordings.delete(row)
    for suffix in ("", ".wav", ".mp3"):
        response = get(client, address(row, suffix), headers=owner)
        assert (response.status_code, response.json()["code"]) == (404, 20404)


def test_download_has_a_name(desk, acme, stored):
    row = stored(acme)
    assert get(desk, address(row))["Content-Disposition"] == f'inline; filename="{row.sid}.wav"'
    saved = get(desk, address(row, ".mp3") + "?download")
    assert saved["Content-Disposition"] == f'attachment; filename="{row.sid}.mp3"'


def test_nobody_in_between_keeps_it(desk, acme, stored):
    response = get(desk, address(stored(acme)))
    assert response["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(response["Vary"].split(", "))


# --- parts ---


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", (0, 999)),
        ("bytes=0-0", (0, 0)),
        ("bytes=100-199", (100, 199)),
        ("bytes=100-5000", (100, 999)),
        ("bytes=-1", (999, 999)),
        ("bytes=-5000", (0, 999)),
        ("Bytes = 5 - 6", (5, 6)),
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5", None),
        ("bytes=6-5", None),
        ("bytes=a-b", None),
        ("bytes=٣-", None),
        ("bytes=--5", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_range_is_read(header, expected):
    assert byte_range(header, 1000) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=1000-", 1000), ("bytes=-0", 1000), ("bytes=0-", 0)]
)
def test_range_beyond_the_end_is_refused(header, size):
    with pytest.raises(Unsatisfiable):
        byte_range(header, size)


def test_parts_make_the_whole(desk, acme, stored):
    row = stored(acme, seconds=20)  # more than one block
    whole = get(desk, address(row)).sound
    size = len(whole)
    parts = []
    for first in range(0, size, 100_000):
        response = get(desk, address(row), headers={"Range": f"bytes={first}-{first + 99_999}"})
        assert response.status_code == 206
        parts.append(response.sound)
        last = first + len(parts[-1]) - 1
        assert response["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert b"".join(parts) == whole
    beyond = get(desk, address(row), headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{size}")


def test_head_tells_all_but_the_sound(desk, acme, stored):
    row = stored(acme)
    response = desk.head(address(row))
    assert response.status_code == 200
    assert int(response["Content-Length"]) == row.size
    assert response["Accept-Ranges"] == "bytes"
    assert response.content == b""


def test_what_is_known_is_not_sent_again(desk, acme, stored):
    row = stored(acme)
    first = get(desk, address(row))
    again = get(desk, address(row), headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    since = get(desk, address(row), headers={"If-Modified-Since": first["Last-Modified"]})
    assert since.status_code == 304
    assert get(desk, address(row, ".mp3"))["ETag"] != first["ETag"]


def test_part_of_something_else_is_not_sent(desk, acme, stored):
    row = stored(acme)
    first = get(desk, address(row))
    for validator, status in (
        (first["ETag"], 206),
        (first["Last-Modified"], 206),
        ('"other"', 200),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 200),
    ):
        headers = {"Range": "bytes=0-9", "If-Range": validator}
        assert get(desk, address(row), headers=headers).status_code == status


@pytest.mark.django_db(transaction=True)
def test_asgi_server_streams_without_reading_all(acme, stored):
    row = stored(acme, seconds=20)
    whole = (Path(default_storage.path(row.file.name))).read_bytes()

    async def fetch():
        response = await AsyncClient().get(
            address(row), headers=basic(acme.sid, "a" * 32) | {"Range": "bytes=10-"}
        )
        assert response.is_async
        blocks = [block async for block in response]
        response.close()
        return blocks

    blocks = asyncio.run(fetch())
    assert len(blocks) > 1
    assert b"".join(blocks) == whole[10:]
