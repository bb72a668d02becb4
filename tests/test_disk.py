"""A full disk is named, whichever way a library puts it."""

import errno
import math
from types import SimpleNamespace

import pytest

from cxr import disk
from cxr.errors import CxrError, ModelError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Unable to write (file write failed: errno = 28, error message = '')"),
        RuntimeError("write failed: No space left on device"),
    ],
)
def test_full_disk_is_named_with_what_is_free(tmp_path, error):
    with pytest.raises(CxrError, match=r"The disk is full: .* (GB|MB) are free") as got:
        with disk.writing(tmp_path):
            raise error
    assert got.value.code == disk.FULL
    assert got.value.__cause__ is error


def test_failed_write_with_nothing_left_is_a_full_disk(tmp_path, monkeypatch):
    nothing = SimpleNamespace(free=0)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: nothing)
    with pytest.raises(CxrError, match=r"0\.0 MB are free"):
        with disk.writing(tmp_path):
            raise RuntimeError("can't write")


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "no"), RuntimeError("x"), ModelError("x")]
)
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        with disk.writing(tmp_path):
            raise error
    assert caught.value is error


def test_space_is_that_of_the_folder_that_would_be_made(tmp_path):
    assert disk.free(tmp_path / "not" / "yet") == pytest.approx(
        disk.free(tmp_path), rel=0.1
    )


def test_reserved_file_has_its_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12" + bytes(10))
    disk.reserve(path, 10)
    assert path.stat().st_size == 12
    assert path.read_bytes() == b"12" + bytes(10)


def test_age_of_what_is_not_there_is_infinite(tmp_path):
    assert disk.age(tmp_path / "x") == math.inf
    assert disk.age(tmp_path) < 100


@pytest.mark.parametrize(
    "size, words", [(0, "0.0 MB"), (2_500_000, "2.5 MB"), (3_100_000_000, "3.1 GB")]
)
def test_size_in_words(size, words):
    assert disk.in_words(size) == words


def test_one_of_two_holds_a_lock(tmp_path):
    path = tmp_path / "lock"
    with path.open("a") as first, path.open("a") as second:
        assert disk.lock(first)
        assert not disk.lock(second)
    with path.open("a") as again:
        assert disk.lock(again)
