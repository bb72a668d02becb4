"""Fixtures of the command line: a tiny model, a few films, one call."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import film_of
from tiny_model import PoolHere, register_tiny_model

from cxr.__main__ import main
from cxr.datasets import folders


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    register_tiny_model(folder)
    monkeypatch.setenv("CXR_MODELS_DIR", str(folder))
    monkeypatch.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("cxr.films.decoding.DecoderPool", PoolHere)
    monkeypatch.setattr("cxr.datasets.survey.DecoderPool", PoolHere)
    return folder


@pytest.fixture
def films_dir(tmp_path: Path) -> Path:
    """The data folder layout, 4 films of each class and 2 patients of each."""
    for label, name in enumerate(folders.CLASSES):
        folder = tmp_path / "films" / "test" / name
        folder.mkdir(parents=True)
        for i in range(4):
            brightness = (70, 80, 75, 140)[i] if label == 0 else (150, 145, 140, 60)[i]
            film = film_of(brightness, seed=10 * label + i)
            (folder / f"IM-000{i // 2}-000{i}.png").write_bytes(film)
    return tmp_path / "films"


@pytest.fixture
def odd_names(films_dir: Path) -> list[str]:
    """Films of the data folder whose names are no UTF-8 or hold a line break."""
    folder = films_dir / "test" / "NORMAL"
    films = sorted(folder.iterdir())
    names = [os.fsdecode(b"film\xff.png"), "a\r\nb.png", "\x1b[2J\u202e.png"]
    for film, name in zip(films, names, strict=False):
        film.rename(folder / name)
    return [f"test/NORMAL/{name}" for name in names]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command here; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run
