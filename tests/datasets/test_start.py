"""The check of a data folder, begun in the background."""

import pytest

from cxr.datasets import checks, start
from cxr.errors import CxrError
from cxr.jobs import control


def test_makes_the_folder_of_the_check_and_submits_it(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(control, "submit", lambda *given: calls.append(given))
    folder = start.start(tmp_path / "films", actor="carl")
    assert folder == checks.folder_for(tmp_path / "cache", tmp_path / "films")
    assert folder.is_dir()
    [(submitted, command)] = calls
    assert submitted == folder
    source = str(tmp_path / "films")
    assert command[1:] == ("-m", "cxr", "check", source, "--folder", str(folder))


def test_a_cache_that_can_not_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(CxrError, match="CXR_CACHE_DIR") as caught:
        start.start(tmp_path / "films", actor="carl")
    assert caught.value.code == "cache-folder"
