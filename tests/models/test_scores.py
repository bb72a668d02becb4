"""Scored films as a table, written and read."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr.evaluation.scores import Scores, shared_rows
from cxr.models import scores


def some(n: int = 4, pixels: np.ndarray | None = None) -> Scores:
    return Scores(
        names=tuple(f"a/f{i}.png" for i in range(n)),
        sha256=tuple(f"{i:064x}" for i in range(n)),
        patients=tuple(f"p{i // 2}" for i in range(n)),
        labels=np.arange(n) % 2,
        logits=np.linspace(-2, 2, n),
        probabilities=np.linspace(0.1, 0.9, n),
        subtypes=tuple("viral" if i % 2 else "" for i in range(n)),
        pixels=pixels,
    )


def stored(folder: Path, splits: dict[str, Scores]) -> tuple[bytes, bytes]:
    scores.write(folder, splits)
    scores.write_split(
        folder,
        [
            (name, sha256, split)
            for split, part in splits.items()
            for name, sha256 in zip(part.names, part.sha256, strict=True)
        ],
    )
    return (folder / scores.SCORES).read_bytes(), (folder / scores.SPLIT).read_bytes()


@pytest.mark.parametrize("pixels", [None, np.array([100.0, 400.0, np.nan, 900.0])])
def test_what_was_written_is_read(tmp_path, pixels):
    wanted = some(pixels=pixels)
    found = scores.parse(*stored(tmp_path, {"test": wanted, "other": some(2)}), "test")
    assert found.names == wanted.names and found.sha256 == wanted.sha256
    assert found.patients == wanted.patients and found.subtypes == wanted.subtypes
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-6)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-8)
    if pixels is None:
        assert found.pixels is None
    else:
        np.testing.assert_array_equal(found.pixels, pixels)


def test_a_split_that_is_not_there_is_none(tmp_path):
    assert scores.parse(*stored(tmp_path, {"test": some()}), "train") is None


def test_the_columns_are_those_of_a_model(tmp_path):
    table, _ = stored(tmp_path, {"test": some()})
    assert (
        table.splitlines()[0] == b"split,film,patient,subtype,label,logit,probability"
    )


@pytest.mark.parametrize(
    "name",
    ['a,"b"\nc.png', "a\rb.png", "a\r\nb.png", "film\udcff.png", "\u2028\x85.png"],
)
def test_field_cases_a_10_a_name_comes_back_whatever_is_in_it(tmp_path, name):
    odd = replace(some(3), names=("a.png", name, "z.png"), patients=("p", name, "z"))
    tables = stored(tmp_path, {"test": odd, "other": some(1)})
    part = scores.parse(*tables, "test")
    assert (part.names, part.patients) == (odd.names, odd.patients)
    assert part.sha256 == odd.sha256
    assert scores.splits(tables[0]) == {"test", "other"}
    split_of = scores.split_of(tables[1])
    assert split_of[odd.sha256[1]] == split_of[odd.sha256[2]] == "test"


def test_field_case_a_the_bytes_of_a_name_are_those_of_the_file(tmp_path):
    odd = replace(some(1), names=(os.fsdecode(b"film\xff.png"),))
    table, split = stored(tmp_path, {"test": odd})
    assert b"test,film\xff.png," in table
    assert b"\nfilm\xff.png," in split


def test_a_film_without_a_hash_is_no_table(tmp_path):
    table, _ = stored(tmp_path, {"test": some()})
    with pytest.raises(KeyError):
        scores.parse(table, b"film,sha256,split\n", "test")


@pytest.mark.parametrize("row", ["test,a/f0.png", "test,a/f0.png,p,,1,0.5,0.6,9,9"])
def test_a_row_shorter_or_longer_than_the_header_is_no_table(tmp_path, row):
    table, split = stored(tmp_path, {"test": some()})
    with pytest.raises(ValueError, match="literal|Expected 7 fields"):
        scores.parse(table + f"{row}\n".encode(), split, "test")


def test_rows_that_are_all_longer_than_the_header_are_no_table(tmp_path):
    table, split = stored(tmp_path, {"test": some()})
    header, rows = table.split(b"\n", 1)
    longer = b"\n".join([header, *(row + b",9" for row in rows.splitlines())])
    with pytest.raises(ValueError, match="rows as long"):
        scores.parse(longer, split, "test")


@pytest.mark.parametrize("name", ["NA", "null", "", "1", "1e5", " f", "#f", "-"])
def test_names_stay_the_text_that_they_are(tmp_path, name):
    odd = Scores(**{**vars(some(1)), "names": (name,), "patients": (name,)})
    found = scores.parse(*stored(tmp_path, {"test": odd}), "test")
    assert (found.names, found.patients) == ((name,), (name,))


def test_rows_are_taken_in_the_order_asked_for():
    part = some(pixels=np.arange(4.0)).rows(np.array([2, 0]))
    assert part.names == ("a/f2.png", "a/f0.png")
    assert part.labels.tolist() == [0, 0]
    assert part.pixels.tolist() == [2, 0]


class TestSharedRows:
    def test_are_the_films_of_equal_bytes_and_label_in_one_order(self):
        first = some(6)
        second = some(6).rows(np.array([5, 1, 3, 0]))
        rows = shared_rows((first, second))
        assert [first.sha256[i] for i in rows[0]] == [second.sha256[i] for i in rows[1]]
        assert {first.sha256[i] for i in rows[0]} == set(second.sha256)

    def test_a_film_of_another_label_is_another_film(self):
        first = some(4)
        second = replace(some(4), labels=np.array([0, 0, 0, 1]))
        rows = shared_rows((first, second))
        np.testing.assert_array_equal(rows[0], [0, 2, 3])
        np.testing.assert_array_equal(rows[1], [0, 2, 3])

    def test_copies_within_a_table_count_once(self):
        twice = some(4).rows(np.array([0, 1, 1, 2]))
        assert [len(rows) for rows in shared_rows((twice, some(4)))] == [3, 3]

    def test_nothing_in_common_is_empty(self):
        other = replace(some(2), sha256=("x", "y"))
        assert [rows.size for rows in shared_rows((some(2), other))] == [0, 0]
