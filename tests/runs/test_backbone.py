"""Which backbone weights a run in the background may begin with."""

import pytest

from cxr.runs import backbone


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
    return tmp_path / "data"


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_words_are_no_files(data, weights):
    assert backbone.problem(weights) == ""


def test_a_file_inside_the_data_may_be_used(data):
    path = data / "a.weights.h5"
    assert "no file with backbone weights" in backbone.problem(str(path))
    path.write_bytes(b"x")
    assert backbone.problem(str(path)) == ""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../a.weights.h5", "outside"),
        ("a.h5", "a.h5 is not a file of backbone weights"),
        ("", "no file with backbone weights"),
        ("a" * 5000 + ".weights.h5", "no file with backbone weights"),
    ],
    ids=["outside", "suffix", "folder", "long"],
)
def test_others_are_named(data, name, sentence):
    for path in ("a.weights.h5", "a.h5"):
        (data / path).write_bytes(b"x")
        (data.parent / path).write_bytes(b"x")
    assert sentence in backbone.problem(str(data / name))


def test_a_path_is_asked_for(data):
    assert "Give the path" in backbone.problem("")


def test_only_the_file_that_the_settings_name_may_lie_outside(data, monkeypatch):
    path = data.parent / "a.weights.h5"
    path.write_bytes(b"x")
    assert "outside" in backbone.problem(str(path))
    monkeypatch.setenv("CXR_BACKBONE_WEIGHTS", str(path))
    assert backbone.problem(str(path)) == ""


def test_without_a_folder_of_data_a_path_has_to_be_whole(data, monkeypatch):
    monkeypatch.delenv("CXR_DATA_DIR")
    assert "Give it in full" in backbone.problem("a.weights.h5")
