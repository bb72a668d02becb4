"""Scored films as a table: `scores.csv` beside `split.csv`, written and read here.

A model's folder holds the two for the films it was tested on, a local validation for
the films of a hospital; whoever can show the one can show the other.
"""

import csv
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SCORES = "scores.csv"
SPLIT = "split.csv"
COLUMNS = ("split", "film", "patient", "subtype", "label", "logit", "probability")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A model's stored scores of the films of one split.

    Attributes:
        names: of the films.
        sha256: of their files.
        patients: patient ids.
        labels: `int64`, shape `(n,)`, 1 for pneumonia.
        logits: `float64`, shape `(n,)`, before calibration.
        probabilities: `float64`, shape `(n,)`.
        subtypes: `bacterial`, `viral` or empty.
        pixels: rows times columns of each film, `float64`, shape `(n,)`; nan where that
            was not stored. None where it was stored for none.
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    subtypes: tuple[str, ...]
    pixels: NDArray[np.float64] | None = None

    def rows(self, chosen: NDArray[np.int64]) -> "Scores":
        """Returns these rows, in this order."""
        return Scores(
            names=tuple(self.names[i] for i in chosen),
            sha256=tuple(self.sha256[i] for i in chosen),
            patients=tuple(self.patients[i] for i in chosen),
            labels=self.labels[chosen],
            logits=self.logits[chosen],
            probabilities=self.probabilities[chosen],
            subtypes=tuple(self.subtypes[i] for i in chosen),
            pixels=None if self.pixels is None else self.pixels[chosen],
        )


def write(folder: Path, splits: Mapping[str, Scores]) -> None:
    """Writes `scores.csv`: the films of each split in their order."""
    with_pixels = any(scores.pixels is not None for scores in splits.values())
    columns = (*COLUMNS, "pixels") if with_pixels else COLUMNS
    with (folder / SCORES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for name, scores in splits.items():
            writer.writerows(row[: len(columns)] for row in _score_rows(name, scores))


def write_split(folder: Path, films: Iterable[tuple[str, str, str]]) -> None:
    """Writes `split.csv`: name, SHA-256 and split of each film."""
    with (folder / SPLIT).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("film", "sha256", "split"))
        writer.writerows(films)


def parse(scores_text: str, split_text: str, split: str) -> Scores | None:
    """Returns the films of one split from the text of both files, None without any.

    Raises:
        ValueError, KeyError: these are not such tables.
    """
    table = _columns(scores_text, split)
    if not table:
        return None
    hashes = _columns(split_text, split)
    sha256_of = dict(zip(hashes["film"], hashes["sha256"], strict=True))
    names = tuple(table["film"])
    pixels = None
    if "pixels" in table:
        pixels = np.array([float(text or "nan") for text in table["pixels"]])
    return Scores(
        names=names,
        sha256=tuple(sha256_of[name] for name in names),
        patients=tuple(table["patient"]),
        labels=table["label"].astype(np.int64),
        logits=table["logit"].astype(np.float64),
        probabilities=table["probability"].astype(np.float64),
        subtypes=tuple(table["subtype"]),
        pixels=pixels,
    )


def shared_rows(tables: Sequence[Scores]) -> list[NDArray[np.int64]]:
    """Returns where in each table the films are that all of them have, in one order.

    Films are the same when their files are equal byte for byte and have the same label;
    names may be the same in two data folders. Copies within a table count once.

    Returns:
        For each table `int64`, shape `(shared,)`.
    """
    rows = [
        {
            film: row
            for row, film in enumerate(zip(t.sha256, t.labels.tolist(), strict=True))
        }
        for t in tables
    ]
    shared = sorted(set.intersection(*(set(found) for found in rows)))
    return [np.array([found[film] for film in shared], np.int64) for found in rows]


def _score_rows(split: str, scores: Scores) -> Iterable[tuple[object, ...]]:
    pixels = scores.pixels
    for i, name in enumerate(scores.names):
        size = "" if pixels is None or np.isnan(pixels[i]) else f"{pixels[i]:.0f}"
        yield (
            split,
            name,
            scores.patients[i],
            scores.subtypes[i],
            int(scores.labels[i]),
            f"{scores.logits[i]:.6f}",
            f"{scores.probabilities[i]:.8f}",
            size,
        )


def _columns(text: str, split: str) -> dict[str, NDArray[np.object_]]:
    """Returns the columns of one split by name, as text; none if it has no rows.

    Raises:
        ValueError: this is no table, or a row is longer than its header. What is
            missing at the end of a row is empty text.
    """
    import pandas

    with warnings.catch_warnings():
        # Of rows that are longer than the header, which would lose their ends.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            table = pandas.read_csv(
                io.StringIO(text, newline=""),
                dtype=object,
                keep_default_na=False,
                index_col=False,
            )
        except pandas.errors.ParserWarning as error:
            raise ValueError("expected rows as long as their header") from error
    if "split" not in table:
        raise ValueError("expected a split for each film")
    part = table[table["split"] == split]
    return {name: part[name].to_numpy() for name in part} if len(part) else {}
