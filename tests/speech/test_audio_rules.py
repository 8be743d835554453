"""Pure rules of fetched audio: caching (webhooks.md section 1) and types (Play)."""

import pytest

from twimlrunner.audio.formats import Format, choose
from twimlrunner.audio.index import AudioIndex, Entry
from twimlrunner.speech.ports import PromptError
from twimlrunner.webhooks.freshness import HeaderMap, freshness

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "store", "seconds"),
    [
        ({}, True, 300),
        ({"Cache-Control": "max-age=60"}, True, 60),
        ({"Cache-Control": "public, Max-Age=60"}, True, 60),
        ({"Cache-Control": 'max-age="60"'}, True, 60),
        ({"Cache-Control": "max-age=60", "Age": "20"}, True, 40),
        ({"Cache-Control": "max-age=60", "Age": "100"}, True, 0),
        ({"Cache-Control": "max-age=60, must-revalidate"}, True, 60),
        ({"Cache-Control": "no-cache"}, True, 0),
        ({"Cache-Control": "no-cache, max-age=60"}, True, 0),
        ({"Cache-Control": "no-store"}, False, None),
        ({"Cache-Control": "max-age=60, no-store"}, False, None),
        ({"Cache-Control": "max-age=0"}, True, 0),
        ({"Cache-Control": "max-age=junk"}, True, 0),
        ({"Cache-Control": "max-age=-1"}, True, 0),
        ({"Cache-Control": "max-age=" + "9" * 400}, True, 365 * 86400),
        ({"Cache-Control": "max-age=10", "Expires": "Fri, 15 Jan 2027 09:00:00 GMT"}, True, 10),
        ({"Expires": "Fri, 15 Jan 2027 08:01:00 GMT", "Date": DATE}, True, 60),
        ({"Expires": "Fri, 15 Jan 2027 07:00:00 GMT", "Date": DATE}, True, 0),
        ({"Expires": "0"}, True, 0),
        ({"Pragma": "no-cache"}, True, 0),
        ({"Pragma": "no-cache", "Cache-Control": "max-age=5"}, True, 5),
        ({"Vary": "*"}, False, None),
        ({"Vary": "Accept"}, True, 300),
        ({"Last-Modified": "Fri, 15 Jan 2027 07:50:00 GMT"}, True, 60),
        ({"Last-Modified": "Fri, 15 Jan 2016 08:00:00 GMT"}, True, 86400),
        ({"Last-Modified": "Fri, 15 Jan 2036 08:00:00 GMT"}, True, 300),
        ({"Last-Modified": "junk"}, True, 300),
    ],
)
def test_freshness(headers, store, seconds):
    found = freshness(HeaderMap(headers.items()), NOW)
    assert found.store is store
    if store:
        assert found.until == pytest.approx(NOW + seconds)


def test_validators_are_kept():
    headers = HeaderMap([("ETag", '"a"'), ("Last-Modified", DATE), ("Cache-Control", "no-cache")])
    found = freshness(headers, NOW)
    assert (found.etag, found.last_modified) == ('"a"', DATE)


def test_lines_of_one_header_are_joined():
    headers = HeaderMap([("Cache-Control", "max-age=60"), ("cache-control", "no-store")])
    assert headers == {"cache-control": "max-age=60, no-store"}


WAV, AIFF, AU = b"RIFF....WAVEfmt ", b"FORM....AIFFCOMM", b".snd............"
MP3, ID3, RAW = b"\xff\xfb\x90\x00" + bytes(12), b"ID3\x03" + bytes(12), b"\x7f" * 16


@pytest.mark.parametrize(
    ("content_type", "path", "head", "form"),
    [
        ("audio/mpeg", "/a", MP3, Format.CONTAINER),
        ("audio/mp3", "/a", ID3, Format.CONTAINER),
        ("AUDIO/WAV; charset=x", "/a", WAV, Format.CONTAINER),
        ("audio/wave", "/a", WAV, Format.CONTAINER),
        ("audio/x-wav", "/a", WAV, Format.CONTAINER),
        ("audio/aiff", "/a", AIFF, Format.CONTAINER),
        ("audio/x-aiff", "/a", AIFF, Format.CONTAINER),
        ("audio/x-aifc", "/a", AIFF, Format.CONTAINER),
        ("audio/gsm", "/a", RAW, Format.RAW_GSM),
        ("audio/x-gsm", "/a", RAW, Format.RAW_GSM),
        ("audio/x-gsm", "/a", WAV, Format.CONTAINER),
        ("audio/ulaw", "/a", RAW, Format.RAW_ULAW),
        ("audio/ulaw", "/a", MP3, Format.RAW_ULAW),
        ("audio/basic", "/a", AU, Format.CONTAINER),
        ("audio/basic", "/a", RAW, Format.RAW_ULAW),
        ("application/octet-stream", "/a.bin", WAV, Format.CONTAINER),
        ("application/octet-stream", "/a.bin", ID3, Format.CONTAINER),
        ("application/octet-stream", "/a.mp3", MP3, Format.CONTAINER),
        ("application/octet-stream", "/a.ul", MP3, Format.RAW_ULAW),
        ("application/octet-stream", "/a.GSM", RAW, Format.RAW_GSM),
        ("", "/a.wav", WAV, Format.CONTAINER),
    ],
)
def test_types_that_play(content_type, path, head, form):
    assert choose(content_type, path, head) is form


@pytest.mark.parametrize(
    ("content_type", "path", "head"),
    [
        ("text/html", "/a.mp3", MP3),
        ("text/xml", "/a", WAV),
        ("video/mp4", "/a", RAW),
        ("audio/ogg", "/a", b"OggS"),
        ("application/octet-stream", "/a", RAW),
        ("application/octet-stream", "/a.mp3", b"<html>"),
        ("", "/a", b""),
        ("", "/a", b"\xff"),
        ("x" * 9000, "/a", WAV),
    ],
)
def test_types_that_do_not(content_type, path, head):
    with pytest.raises(PromptError) as caught:
        choose(content_type, path, head)
    assert caught.value.code == 13420
    assert len(caught.value.message) < 200


def store(index, url="http://u:p@h/a", until=NOW, verify=True):
    index.files.store("f00d", lambda path: open(path, "w").close())
    index.store(url, verify_tls=verify, entry=Entry("f00d", until, '"e"', ""))


def test_the_index_tells_fresh_from_stale(tmp_path):
    index = AudioIndex(str(tmp_path))
    assert index.fresh("http://u:p@h/a", verify_tls=True, now=NOW) is None
    store(index)
    assert index.fresh("http://u:p@h/a", verify_tls=True, now=NOW - 1) == index.files.path("f00d")
    assert index.fresh("http://u:p@h/a", verify_tls=True, now=NOW) is None
    entry, _ = index.find("http://u:p@h/a", verify_tls=True)
    assert entry.etag == '"e"'


def test_what_was_had_unverified_is_not_given_to_those_who_verify(tmp_path):
    index = AudioIndex(str(tmp_path))
    store(index, verify=False)
    assert index.find("http://u:p@h/a", verify_tls=True) is None
    assert index.find("http://u:p@h/a", verify_tls=False) is not None


def test_a_lost_file_or_broken_entry_counts_as_absent(tmp_path):
    index = AudioIndex(str(tmp_path))
    store(index)
    (entry,) = (tmp_path / "urls").rglob("*.json")
    assert "u:p" not in entry.read_text() + entry.name
    (tmp_path / "audio" / "f0" / "f00d.wav").unlink()
    assert index.find("http://u:p@h/a", verify_tls=True) is None
    store(index)
    for text in (
        "",
        "{}",
        "[]",
        '{"file": 1}',
        '{"file": 1, "until": 0}',
        '{"file": "a", "until": 0, "x": 1}',
    ):
        entry.write_text(text)
        assert index.find("http://u:p@h/a", verify_tls=True) is None


def test_forgetting_is_idempotent(tmp_path):
    index = AudioIndex(str(tmp_path))
    store(index)
    index.forget("http://u:p@h/a", verify_tls=True)
    index.forget("http://u:p@h/a", verify_tls=True)
    assert index.find("http://u:p@h/a", verify_tls=True) is None
