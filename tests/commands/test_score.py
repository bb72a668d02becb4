"""`python -m cxr score` from end to end."""

import csv
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from command_line import film_of, run_apart, strict

from cxr.config import ROOT


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_an_archive_becomes_a_table_and_a_second_run_says_so(run, tmp_path, caplog):
    caplog.set_level("INFO")
    folder, output = tmp_path / "films", tmp_path / "scores.csv"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_bytes(film_of(140))
    (folder / "2.png").write_bytes(film_of(60))
    (folder / "3.png").write_bytes(b"text")
    arguments = ("score", "--input", folder, "--output", output, "--json")
    code, out, _ = run(*arguments)
    answer = {"films": 3, "before": 0, "scored": 2, "refused": 1}
    assert code == 1
    assert strict(out) == {**answer, "output": str(output)}
    assert [row["path"] for row in table(output)] == ["2.png", "3.png", "a/1.png"]
    code, out, _ = run(*arguments)
    assert strict(out) == {**answer, "before": 3, "output": str(output)}
    assert "Goes on: 3 of 3 films are done." in caplog.text
    code, out, err = run(*arguments, "--threshold", "0.9")
    assert (code, out) == (2, "")
    assert "was begun with threshold 0.4" in err and "[other-task]" in err


@pytest.mark.parametrize("name", ["scores.txt", "scores"])
def test_a_table_of_no_known_kind_is_wrong_use(run, tmp_path, name):
    code, out, err = run("score", "--input", tmp_path, "--output", tmp_path / name)
    assert (code, out) == (2, "")
    assert "[usage]" in err


def test_where_there_are_no_films_no_table_is_begun(run, tmp_path):
    (tmp_path / "films").mkdir()
    output = tmp_path / "scores.csv"
    code, _, err = run("score", "--input", tmp_path / "films", "--output", output)
    assert code == 2 and "holds no films" in err
    assert not list(tmp_path.glob("scores*"))


@pytest.mark.slow
def test_killed_twenty_times_every_film_is_there_once(models_dir, tmp_path):
    folder, rng = tmp_path / "films", random.Random(5)
    folder.mkdir()
    for number in range(300):
        content = film_of(60 + number / 3, number % 5) if number % 50 else b"text"
        (folder / f"{number:03}.png").write_bytes(content)
    whole, output = tmp_path / "whole.csv", tmp_path / "scores.csv"
    started = time.monotonic()
    run_apart("score", "--input", folder, "--output", whole, models_dir=models_dir)
    seconds = time.monotonic() - started
    command = [sys.executable, "-m", "cxr", "score", "--input", str(folder)]
    environment = {**os.environ, "CXR_MODELS_DIR": str(models_dir)}
    for _ in range(20):
        running = subprocess.Popen(
            [*command, "--output", str(output)],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            running.wait(rng.uniform(0.5, 1) * seconds / 2)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
    done = run_apart(
        "score", "--input", folder, "--output", output, models_dir=models_dir
    )
    assert done.returncode == 1
    rows, expected = table(output), table(whole)
    for row in rows + expected:
        row["seconds"] = ""
        row["probability"] = round(float(row["probability"] or -1), 6)
        row["frontal"] = row["unlike"] = ""
    assert rows == expected
    assert len({row["path"] for row in rows}) == len(rows) == 300
