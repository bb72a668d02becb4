"""JSON documents and how one replaces another."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cxr import documents


def test_what_is_not_finite_is_null():
    value = {"a": [math.nan, 1.0, (math.inf, -math.inf)], "b": {"c": np.float64("nan")}}
    assert documents.plain(value) == {"a": [None, 1.0, [None, None]], "b": {"c": None}}


@pytest.mark.parametrize("value", [0, 1.5, True, None, "nan", "", [], {}])
def test_all_else_stays(value):
    assert documents.plain(value) == value
    assert type(documents.plain(value)) is type(value)


def test_the_next_version_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "document.json"
    for content in ({"n": 1}, {"n": [math.nan, 2]}):
        documents.replace(path, content)
        assert json.loads(path.read_text()) == documents.plain(content)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize("content", [{"a": object()}, {"a": {1, 2}}, {("a",): 1}])
def test_what_can_not_be_written_leaves_the_old_version(tmp_path, content):
    path = tmp_path / "document.json"
    documents.replace(path, {"n": 1})
    with pytest.raises(TypeError):
        documents.replace(path, content)
    assert json.loads(path.read_text()) == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_version_and_no_draft(tmp_path, monkeypatch, call):
    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    path = tmp_path / "document.json"
    documents.replace(path, {"n": 1})
    owner = os if call == "fsync" else Path
    monkeypatch.setattr(owner, call, full)
    with pytest.raises(OSError, match="No space"):
        documents.replace(path, {"n": 2})
    assert json.loads(path.read_text()) == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_leave_one_whole_version(tmp_path):
    path = tmp_path / "document.json"
    with ThreadPoolExecutor(8) as threads:
        done = threads.map(
            lambda n: documents.replace(path, {"n": [n] * 500}), range(40)
        )
        assert list(done) == [None] * 40
    assert len(set(json.loads(path.read_text())["n"])) == 1
    assert list(tmp_path.iterdir()) == [path]


@dataclass(frozen=True, kw_only=True)
class Kind:
    name: str
    value: float


class TestRead:
    def test_gives_back_what_was_written(self, tmp_path):
        path = tmp_path / "document.json"
        documents.replace(path, {"name": "a", "value": 2})
        assert documents.read(path, Kind) == Kind(name="a", value=2.0)
        documents.replace(path, {"name": "a", "value": math.nan})
        assert math.isnan(documents.read(path, Kind).value)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[",
            "[]",
            "null",
            '{"name": "a"}',
            '{"name": "a", "value": "2"}',
            '{"name": 1, "value": 2}',
            '{"name": "a", "value": 2, "more": 3}',
            "[" * 100_000,
        ],
    )
    def test_what_is_no_such_document_is_named(self, text):
        with pytest.raises(ValueError, match="expected a document of Kind|JSON|Expect"):
            documents.parse(text, Kind)

    def test_a_missing_file_is_an_error_of_the_system(self, tmp_path):
        with pytest.raises(OSError, match="No such file"):
            documents.read(tmp_path / "none.json", Kind)
