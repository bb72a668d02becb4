"""The films of a local validation that are done: a line of JSON for each.

A validation that was stopped goes on with the films that have no line, or whose file
has changed since.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from cxr import documents
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.errors import DatasetError, ImageError, JobError
from cxr.evaluation.scores import Scores
from cxr.reading.scoring import Reading

PROGRESS = "progress.jsonl"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One film that is done; `stamp` is size and time of the file then."""

    name: str
    stamp: tuple[int, int]
    sha256: str
    logit: float
    probability: float
    pixels: int
    refused: str


def stamp(film: LabelledFilm) -> tuple[int, int]:
    """Returns size and time of a film's file, zeros if it is gone."""
    try:
        status = film.path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


def line_of(film: LabelledFilm, reading: Reading, stamp: tuple[int, int]) -> Line:
    """Returns the line of a film that was scored or refused.

    Args:
        film: as it was listed.
        reading: what came of it.
        stamp: size and time of its file, from before it was read.
    """
    line = Line(
        name=film.name,
        stamp=stamp,
        sha256=reading.sha256,
        logit=float("nan"),
        probability=float("nan"),
        pixels=reading.pixels,
        refused="",
    )
    if isinstance(reading.result, ImageError):
        return replace(line, sha256=_sha256(film), refused=reading.result.message)
    result = reading.result
    return replace(line, logit=result.logit, probability=result.probability)


def read(folder: Path) -> dict[str, Line]:
    """Returns the films that are done; a line that was cut off is not."""
    try:
        text = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    lines = {}
    for row in text.splitlines():
        try:
            line = documents.parse(row, Line)
        except ValueError:
            continue
        lines[line.name] = line
    return lines


def append(file: TextIO, line: Line) -> None:
    """Adds a line to an open progress file."""
    # On a line of its own, whatever an earlier process was stopped in.
    text = json.dumps(documents.plain(asdict(line)), allow_nan=False)
    file.write(f"\n{text}" if file.tell() else text)
    file.flush()


def _sha256(film: LabelledFilm) -> str:
    """Returns the hash of a film that can't be scored, empty if it can't be opened."""
    try:
        return folders.with_hashes([film])[0].sha256
    except DatasetError:
        return ""


def unwritable(error: OSError) -> JobError:
    """Returns the error for a validation's folder that can't be written."""
    return JobError(
        f"The folder of the validation can't be written: {error.strerror}.",
        code="validation-folder",
    )


def as_scores(films: Sequence[LabelledFilm], lines: Mapping[str, Line]) -> Scores:
    """Returns the scores of films that are done, as a model's are.

    Args:
        films: those with a score.
        lines: of each film, by its name.

    Raises:
        DatasetError: there is no film.
    """
    if not films:
        raise DatasetError("None of these films could be scored.")
    theirs = [lines[film.name] for film in films]
    return Scores(
        names=tuple(film.name for film in films),
        sha256=tuple(film.sha256 for film in films),
        patients=tuple(film.patient_id for film in films),
        labels=np.array([film.label for film in films]),
        logits=np.array([line.logit for line in theirs]),
        probabilities=np.array([line.probability for line in theirs]),
        subtypes=tuple(film.subtype or "" for film in films),
        pixels=np.array([float(line.pixels) for line in theirs]),
    )
