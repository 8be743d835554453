import os
import time

import pytest

from twimlrunner.speech.cache import FileCache, clean


def put(cache, key, content=b"x", age=0.0):
    def write(path):
        with open(path, "wb") as stream:
            stream.write(content)

    path = cache.store(key, write)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_is_stored_is_found(tmp_path):
    cache = FileCache(str(tmp_path), ".wav")
    assert cache.find("abcd") is None
    path = put(cache, "abcd")
    assert cache.find("abcd") == path == cache.path("abcd")


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail(path):
        raise OSError("disk full")

    cache = FileCache(str(tmp_path), ".wav")
    with pytest.raises(OSError, match="disk full"):
        cache.store("abcd", fail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_use_renews_an_old_file_only(tmp_path):
    cache = FileCache(str(tmp_path), ".wav")
    old, new = put(cache, "aa01", age=5000), put(cache, "aa02", age=100)
    before = os.stat(new).st_mtime
    cache.find("aa01")
    cache.find("aa02")
    assert time.time() - os.stat(old).st_mtime < 100
    assert os.stat(new).st_mtime == before


def test_cleaning_removes_the_oldest_until_it_fits(tmp_path):
    cache = FileCache(str(tmp_path), ".wav")
    for number, age in enumerate((90_000, 80_000, 70_000)):
        put(cache, f"aa0{number}", b"x" * 100, age)
    assert clean(str(tmp_path), 250, time.time()) == 100
    assert [cache.find(f"aa0{n}") is None for n in range(3)] == [True, False, False]


def test_cleaning_spares_what_was_used_within_the_hour(tmp_path):
    cache = FileCache(str(tmp_path), ".wav")
    put(cache, "aa00", b"x" * 100, age=3500)
    put(cache, "aa01", b"x" * 100, age=90_000)
    assert clean(str(tmp_path), 0, time.time()) == 100
    assert cache.find("aa00") is not None


def test_cleaning_removes_leftovers_of_a_killed_worker(tmp_path):
    (tmp_path / "aa").mkdir()
    leftover = tmp_path / "aa" / ".tmp-x.wav"
    leftover.write_bytes(b"half")
    assert clean(str(tmp_path), 10**9, time.time()) == 0
    assert clean(str(tmp_path), 10**9, time.time() + 4000) == 4
    assert not leftover.exists()
