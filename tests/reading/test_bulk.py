"""An archive into one table: every film once, however often it is stopped."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere

from cxr.errors import CxrError
from cxr.models import inference, lungs
from cxr.reading import archive_tables, bulk

N = 12


@pytest.fixture(scope="module")
def loaded(models_dir):
    return inference.load(models_dir), lungs.load(models_dir)


@pytest.fixture
def films(tmp_path) -> list[Path]:
    folder = tmp_path / "films" / "ward"
    folder.mkdir(parents=True)
    phantom = chest_phantom(160, 160)
    for number, level in enumerate(np.linspace(-40, 60, N)):
        content = as_png(np.clip(phantom + level, 0, 255))
        (folder / f"{number:02}.png").write_bytes(content)
    (folder / "03.png").write_bytes(b"text")
    return sorted(folder.iterdir())


@pytest.fixture
def task(tmp_path, loaded) -> bulk.Task:
    model, _ = loaded
    return bulk.Task(
        input=str(tmp_path / "films"),
        model_id=model.card.model_id,
        model_sha256=model.sha256,
        lungs_sha256="of the lungs",
        threshold=0.4,
    )


@pytest.fixture
def score(loaded, films, task, tmp_path):
    def score(output, files=None, *, task=task, **options):
        model, network = loaded
        return bulk.score(
            task,
            output,
            files or films,
            model,
            PoolHere(),
            lungs=network,
            records_dir=tmp_path / "records",
            actor="carl",
            **options,
        )

    return score


class Stopped(Exception):
    """Stands for whatever ends a run."""


def stop_after(count):
    def told(progress):
        if progress.done - progress.before >= count:
            raise Stopped

    return told


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def same(rows):
    return [{**row, "seconds": ""} for row in rows]


def test_each_film_is_a_row_with_all_that_is_known(score, films, loaded, tmp_path):
    output = tmp_path / "scores.csv"
    found = score(output)
    assert (found.films, found.before, found.scored, found.refused) == (N, 0, N - 1, 1)
    rows = table(output)
    assert list(rows[0]) == list(archive_tables.COLUMNS)
    assert [row["path"] for row in rows] == [f"ward/{path.name}" for path in films]
    assert [row["sha256"] for row in rows] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in films
    ]
    refused = rows[3]
    assert (refused["status"], refused["code"]) == ("refused", "not-an-image")
    assert (refused["answer"], refused["probability"]) == ("refused", "")
    assert refused["frontal"] == ""
    scored = rows[-1]
    assert (scored["status"], scored["answer"]) == ("scored", "above threshold")
    assert float(scored["probability"]) > float(scored["threshold"]) == 0.4
    assert float(scored["frontal"]) > 0 > float(scored["unlike"])
    assert scored["model_id"] == "tiny-1"


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_stopped_at_any_film_it_goes_on_and_ends_with_the_same(score, tmp_path, name):
    whole = tmp_path / "whole.csv"
    score(whole)
    output, runs = tmp_path / name, 0
    while not output.exists():
        runs += 1
        try:
            score(output, progress=stop_after(2))
        except Stopped:
            assert not output.exists()
    assert runs == N // 2 + 1
    if output.suffix == ".csv":
        assert same(table(output)) == same(table(whole))
    rows = parquet.read_table(output).to_pylist() if runs and name[-1] == "t" else []
    for row, expected in zip(rows, table(whole), strict=bool(rows)):
        assert row["path"] == expected["path"]
        assert row["answer"] == expected["answer"]
        if row["probability"] is None:
            assert expected["probability"] == ""
        else:
            assert row["probability"] == float(expected["probability"])


def test_a_line_that_was_cut_off_counts_for_nothing(score, tmp_path):
    whole, output = tmp_path / "whole.csv", tmp_path / "scores.csv"
    score(whole)
    lines = (tmp_path / "whole.csv.journal").read_bytes()
    journal = tmp_path / "scores.csv.journal"
    ends = [len(lines[:i]) for i in range(0, len(lines), 97)]
    for end in ends:
        output.unlink(missing_ok=True)
        journal.write_bytes(lines[:end])
        score(output)
        assert same(table(output)) == same(table(whole))


def test_what_is_done_is_told_and_not_done_again(score, films, tmp_path):
    output, told = tmp_path / "scores.csv", []
    score(output, films[:5])
    films[0].unlink()  # is not opened again
    found = score(output, progress=told.append)
    assert (found.before, found.films) == (5, N)
    assert (told[0].before, told[0].done, told[0].total) == (5, 5, N)
    assert told[-1].done == N and told[-1].seconds_left == 0
    assert len(told) == N - 5 + 1
    assert table(output)[0]["status"] == "scored"
    assert score(output).before == N


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 0.5}, "begun with threshold 0.4"),
        ({"model_id": "tiny-2", "model_sha256": "x"}, "begun with model tiny-1"),
        ({"lungs_sha256": "other"}, "another lung network"),
        ({"input": "/elsewhere"}, "another folder"),
    ],
)
def test_with_something_else_it_does_not_go_on(score, task, tmp_path, change, words):
    output = tmp_path / "scores.csv"
    score(output)
    before = output.read_bytes()
    with pytest.raises(CxrError, match=words) as refused:
        score(output, task=replace(task, **change))
    assert refused.value.code == "other-task"
    assert output.read_bytes() == before


def test_two_runs_on_one_table_are_refused(score, tmp_path):
    output, codes = tmp_path / "scores.csv", []

    def second(progress):
        if not codes:
            with pytest.raises(CxrError) as refused:
                score(output)
            codes.append(refused.value.code)

    score(output, progress=second)
    assert codes == ["output-in-use"]
    assert len(table(output)) == N


def test_a_table_of_something_else_is_not_overwritten(score, tmp_path):
    output = tmp_path / "scores.csv"
    output.write_text("mine")
    with pytest.raises(CxrError) as refused:
        score(output)
    assert refused.value.code == "output-exists"
    assert output.read_text() == "mine"
    assert not (tmp_path / "scores.csv.journal").exists()


def test_a_name_that_no_table_has_is_wrong_use(score, tmp_path):
    with pytest.raises(CxrError, match="must end in .csv or .parquet"):
        score(tmp_path / "scores.xlsx")


def test_a_damaged_journal_is_named(score, tmp_path):
    score(tmp_path / "scores.csv")
    journal = tmp_path / "scores.csv.journal"
    lines = journal.read_text().splitlines()
    lines[2] = json.dumps({"path": "x"})
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(CxrError) as refused:
        score(tmp_path / "scores.csv")
    assert refused.value.code == "damaged-journal"


def test_names_that_are_formulas_or_no_text_are_harmless(score, films, tmp_path):
    odd = [films[0].with_name("=1+1.png"), films[0].with_name("\udcff.png")]
    for path in odd:
        path.write_bytes(films[0].read_bytes())
    root = tmp_path / "films"
    top = root / "=cmd.png"
    top.write_bytes(films[0].read_bytes())
    files = sorted([*odd, top])
    for name in ("scores.csv", "scores.parquet"):
        assert score(tmp_path / name, files).scored == 3
        assert score(tmp_path / name, files).before == 3
    names = [row["path"] for row in table(tmp_path / "scores.csv")]
    assert "'=cmd.png" in names and r"ward/\udcff.png" in names
    stored = parquet.read_table(tmp_path / "scores.parquet")["path"].to_pylist()
    assert "=cmd.png" in stored


def test_drafts_of_a_process_that_was_killed_are_removed(score, tmp_path):
    left = tmp_path / ".scores.csv.0123.draft"
    left.write_text("half")
    score(tmp_path / "scores.csv")
    assert not left.exists()
