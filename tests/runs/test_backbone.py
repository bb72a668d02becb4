"""Which backbone weights a run in the background may begin with."""

import socket
import time

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


class TestImagenet:
    def test_weights_that_keras_has_fetched_need_no_connection(self, data, monkeypatch):
        monkeypatch.setattr(backbone, "_connects", lambda: pytest.fail("asked"))
        assert backbone.problem("imagenet", "efficientnet-v2-b0") == ""

    def test_without_them_and_without_a_network_that_is_said(self, data, offline):
        said = backbone.problem("imagenet", "efficientnet-b0")
        assert "efficientnet-b0 are not on this machine" in said
        assert "no connection" in said

    def test_the_baseline_needs_none(self, data, offline):
        assert backbone.problem("imagenet", "baseline-cnn") == ""

    def test_an_answer_that_does_not_come_is_not_waited_for(
        self, data, offline, monkeypatch
    ):
        asked = []

        def hang():
            asked.append(1)
            time.sleep(1)
            return True

        monkeypatch.setattr(backbone, "LONGEST_TRY", 0.05)
        monkeypatch.setattr(backbone, "_connects", hang)
        began = time.monotonic()
        for _ in range(3):
            assert backbone.problem("imagenet", "efficientnet-b0")
        assert time.monotonic() - began < 0.9
        assert asked == [1]

    def test_where_a_connection_is_made_they_can_be_fetched(
        self, data, offline, monkeypatch
    ):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            assert backbone.problem("imagenet", "efficientnet-b0") == ""
