"""Films decoded once: what is kept, found again, made anew."""

import os

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom

from cxr.datasets import prepared
from cxr.datasets.folders import LabelledFilm, with_hashes
from cxr.films import preparation
from cxr.films.film import read_film

SIZE = 32


@pytest.fixture
def films(tmp_path):
    """Four files: a film, a byte-equal copy, text, another film."""
    contents = {
        "a.png": as_png(chest_phantom(240, 220, seed=1)),
        "b.png": as_png(chest_phantom(240, 220, seed=1)),
        "c.png": b"text",
        "d.png": as_png(chest_phantom(230, 250, seed=2)),
    }
    found = []
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        found.append(LabelledFilm(path=path, name=name, label=1, patient_id=name))
    return with_hashes(found)


def prepare(films, cache, **changes):
    return prepared.prepare(
        films, **{"fingerprint": "f" * 64, "size": SIZE, "cache_dir": cache} | changes
    )


def test_films_are_reduced_and_the_unreadable_named(films, tmp_path):
    found = prepare(films, tmp_path / "cache")
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape[1:] == (SIZE, SIZE)
    assert set(found.rows) == {films[0].sha256, films[3].sha256}
    assert set(found.refused) == {films[2].sha256}
    assert found.refused[films[2].sha256].endswith(".")
    for film in (films[0], films[3]):
        pixels = read_film(film.path.read_bytes()).pixels
        expected = np.rint(preparation.resize(pixels, SIZE))
        np.testing.assert_array_equal(found.pixels[found.rows[film.sha256]], expected)


def test_second_run_decodes_nothing(films, tmp_path, monkeypatch):
    first = prepare(films, tmp_path / "cache")
    assert prepared.is_there(tmp_path / "cache", "f" * 64, SIZE)
    monkeypatch.setattr(prepared, "read_film", None)
    second = prepare(films, tmp_path / "cache")
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.rows == second.rows


def test_array_stays_on_disk_and_can_not_be_changed(films, tmp_path):
    pixels = prepare(films, tmp_path / "cache").pixels
    assert isinstance(pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


@pytest.mark.parametrize("changes", [{"size": 48}, {"fingerprint": "e" * 64}])
def test_other_films_or_another_size_are_another_array(films, tmp_path, changes):
    prepare(films, tmp_path / "cache")
    other = prepare(films, tmp_path / "cache", **changes)
    assert other.pixels.shape[1] == changes.get("size", SIZE)
    assert len(list((tmp_path / "cache" / "prepared").iterdir())) == 2


@pytest.mark.parametrize(
    "file, content",
    [
        (prepared.INDEX, b""),
        (prepared.INDEX, b'{"rows": {"a": 99}, "refused": {}, "preparation": "x"}'),
        (prepared.PIXELS, b""),
        (prepared.PIXELS, b"\x93NUMPY"),
        (prepared.PIXELS, None),
    ],
)
def test_damaged_array_is_made_again(films, tmp_path, file, content):
    first = np.array(prepare(films, tmp_path / "cache").pixels)
    path = prepared.folder_for(tmp_path / "cache", "f" * 64, SIZE) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert not prepared.is_there(tmp_path / "cache", "f" * 64, SIZE)
    np.testing.assert_array_equal(prepare(films, tmp_path / "cache").pixels, first)


def test_array_of_another_pixel_contract_is_made_again(films, tmp_path, monkeypatch):
    prepare(films, tmp_path / "cache")
    monkeypatch.setattr(preparation, "PREPARATION", "another")
    assert not prepared.is_there(tmp_path / "cache", "f" * 64, SIZE)
    prepare(films, tmp_path / "cache")
    assert prepared.is_there(tmp_path / "cache", "f" * 64, SIZE)


def test_what_a_killed_run_left_goes_after_an_hour(films, tmp_path):
    parent = tmp_path / "cache" / "prepared"
    for name, age in (("old", 7200), ("new", 0)):
        draft = parent / f".draft-{name}"
        draft.mkdir(parents=True)
        (draft / prepared.PIXELS).write_bytes(b"")
        then = os.stat(draft).st_mtime - age
        os.utime(draft / prepared.PIXELS, (then, then))
    prepare(films, tmp_path / "cache")
    left = {path.name for path in parent.glob(".draft-*")}
    assert left == {".draft-new"}


def test_array_used_longest_ago_makes_room(films, tmp_path):
    cache = tmp_path / "cache"
    for number in range(prepared.KEPT):
        prepare(films, cache, size=8 + number)
        folder = prepared.folder_for(cache, "f" * 64, 8 + number)
        os.utime(folder, (1000 + number, 1000 + number))
    prepare(films, cache, size=8)
    prepare(films, cache, size=20)
    there = [s for s in (8, 9, 10, 20) if prepared.is_there(cache, "f" * 64, s)]
    assert there == [8, 10, 20]


def test_progress_counts_every_distinct_file(films, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "CHUNK", 2)
    told = []
    prepare(films, tmp_path / "c", progress=lambda done, total: told.append(done))
    assert told == [2, 3]


def test_failure_half_way_leaves_nothing(films, tmp_path, monkeypatch):
    def fails(content):
        raise RuntimeError("a decoder's own error")

    monkeypatch.setattr(prepared, "read_film", fails)
    with pytest.raises(RuntimeError, match="decoder's own"):
        prepare(films, tmp_path / "cache")
    assert list((tmp_path / "cache" / "prepared").iterdir()) == []
