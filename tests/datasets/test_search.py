"""Scored films found again: the right content, never outside the folder."""

import hashlib
import os

import pytest

from cxr.datasets.search import FilmIndex
from cxr.errors import DatasetError

FILM, OTHER = b"the film that was scored", b"another film of the same name"
SHA256 = hashlib.sha256(FILM).hexdigest()


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_content_decides_between_films_of_one_name(tmp_path):
    put(tmp_path, "a/film.png", OTHER)
    put(tmp_path, "b/film.png", FILM)
    index = FilmIndex(tmp_path)
    assert index.find("train/NORMAL/film.png", SHA256) == FILM


def test_a_film_that_was_changed_is_not_found(tmp_path):
    put(tmp_path, "film.png", OTHER)
    assert FilmIndex(tmp_path).find("film.png", SHA256) is None


def test_a_film_that_went_away_since_is_not_found(tmp_path):
    path = put(tmp_path, "film.png", FILM)
    index = FilmIndex(tmp_path)
    path.unlink()
    assert index.find("film.png", SHA256) is None


@pytest.mark.parametrize("name", ["../film.png", "/etc/../film.png", "x/../film.png"])
def test_a_name_leads_nowhere_but_into_the_folder(tmp_path, name):
    put(tmp_path, "film.png", FILM)
    (tmp_path / "inside").mkdir()
    assert FilmIndex(tmp_path / "inside").find(name, SHA256) is None


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    outside = put(tmp_path, "outside/film.png", FILM)
    (tmp_path / "inside").mkdir()
    os.symlink(outside, tmp_path / "inside" / "film.png")
    os.symlink(outside.parent, tmp_path / "inside" / "folder")
    assert FilmIndex(tmp_path / "inside").find("film.png", SHA256) is None


def test_other_files_are_no_films(tmp_path):
    put(tmp_path, "film.txt", FILM)
    assert FilmIndex(tmp_path).find("film.txt", SHA256) is None


def test_a_folder_outside_the_limit_is_refused(tmp_path, monkeypatch):
    put(tmp_path, "data/inside/film.png", FILM)
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
    inside = FilmIndex(tmp_path / "data" / "inside")
    assert inside.find("film.png", SHA256) == FILM
    for outside in (tmp_path, tmp_path / "data" / ".." / "data2"):
        with pytest.raises(DatasetError) as caught:
            FilmIndex(outside)
        assert caught.value.code == "outside-data-folder"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        FilmIndex(tmp_path / "nowhere")
