"""Fetching the data set, with a made-up kagglehub."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr.datasets import download, folders, words
from cxr.errors import DatasetError

Fake = Callable[[Callable[[str], str]], None]


@pytest.fixture
def kagglehub(monkeypatch: pytest.MonkeyPatch) -> Fake:
    def install(fetch: Callable[[str], str]) -> None:
        module = types.ModuleType("kagglehub")
        module.dataset_download = fetch
        monkeypatch.setitem(sys.modules, "kagglehub", module)

    return install


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """What is in the archive: the films twice, one inside the other, and litter."""
    root = tmp_path / "kaggle" / "versions" / "2"
    for top in ("chest_xray", "chest_xray/chest_xray", "chest_xray/__MACOSX"):
        for split in words.FOLDER_SPLITS:
            for name in folders.CLASSES:
                folder = root / top / split / name
                folder.mkdir(parents=True)
                (folder / "film.jpeg").write_bytes(top.encode())
    return root


def test_the_data_folder_is_found_in_the_cache(kagglehub, archive):
    asked = []
    kagglehub(lambda handle: asked.append(handle) or str(archive))
    assert download.fetch() == archive / "chest_xray"
    assert asked == ["paultimothymooney/chest-xray-pneumonia"]


@pytest.mark.parametrize("exists", [False, True])
def test_the_films_are_copied_to_where_they_are_wanted(
    kagglehub, archive, tmp_path, exists
):
    kagglehub(lambda handle: str(archive))
    to = tmp_path / "somewhere" / "films"
    if exists:
        to.mkdir(parents=True)
    assert download.fetch(to) == to
    assert sorted(path.name for path in to.iterdir()) == ["test", "train", "val"]
    assert len(folders.scan(to)) == 6
    assert [path.name for path in to.parent.iterdir()] == ["films"]


def test_a_folder_that_holds_something_is_left_alone(kagglehub, tmp_path):
    def never(handle: str) -> str:
        raise AssertionError("nothing should be fetched")

    kagglehub(never)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        download.fetch(tmp_path)


def test_without_kagglehub_a_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DatasetError) as raised:
        download.fetch(tmp_path / "films")
    assert raised.value.code == "no-kagglehub"
    for part in ("pip install kagglehub", download.PAGE, str(tmp_path / "films")):
        assert part in raised.value.message


def test_without_network_a_sentence_says_what_to_do(kagglehub):
    def fail(handle: str) -> str:
        raise ConnectionError("secret address")

    kagglehub(fail)
    with pytest.raises(DatasetError) as raised:
        download.fetch()
    assert raised.value.code == "no-download"
    assert download.PAGE in raised.value.message
    assert "secret address" not in raised.value.message


def test_an_archive_without_films_is_named(kagglehub, tmp_path):
    (tmp_path / "other").mkdir()
    kagglehub(lambda handle: str(tmp_path))
    with pytest.raises(DatasetError, match="no folder train"):
        download.fetch()


def test_a_copy_that_fails_leaves_nothing_behind(
    kagglehub, archive, tmp_path, monkeypatch
):
    kagglehub(lambda handle: str(archive))
    copy, calls = download.shutil.copytree, []

    def fail(source, to, *rest, **options):
        calls.append(source)
        if len(calls) > 2:  # it calls itself for each folder
            raise OSError(28, "No space left on device")
        return copy(source, to, *rest, **options)

    monkeypatch.setattr("cxr.datasets.download.shutil.copytree", fail)
    with pytest.raises(DatasetError, match="can't be written"):
        download.fetch(tmp_path / "to" / "films")
    assert list((tmp_path / "to").iterdir()) == []
