"""Scored films as a table: `scores.csv` beside `split.csv`, written and read here.

A model's folder holds the two for the films it was tested on, a local validation for
the films of a hospital; what shows the one can show the other.
"""

import csv
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import names
from cxr.evaluation.scores import Scores

SCORES = "scores.csv"
PLACES = "places.csv"  # like it, the films of other places that the model learned from
SPLIT = "split.csv"
COLUMNS = ("split", "film", "patient", "subtype", "label", "logit", "probability")


def write(folder: Path, splits: Mapping[str, Scores], *, table: str = SCORES) -> None:
    """Writes `scores.csv`, or `places.csv`: the films of each split in their order."""
    with_pixels = any(scores.pixels is not None for scores in splits.values())
    columns = (*COLUMNS, "pixels") if with_pixels else COLUMNS
    rows = (row for name, part in splits.items() for row in _score_rows(name, part))
    _write(folder / table, columns, (row[: len(columns)] for row in rows))


def write_split(folder: Path, films: Iterable[tuple[str, ...]]) -> None:
    """Writes `split.csv`: name, SHA-256 and split of each film, and its patient.

    Args:
        folder: of the table.
        films: a tuple of three or, where patients are known, of four texts each. Of
            two with the same name and split the last one counts.
    """
    rows = list(films)
    columns = ("film", "sha256", "split", "patient")
    _write(folder / SPLIT, columns[: max(map(len, rows), default=3)], rows)


def parse(scores_file: bytes, split_file: bytes, split: str) -> Scores | None:
    """Returns the films of one split from the bytes of both files, None without any.

    Args:
        scores_file: of `scores.csv`.
        split_file: of `split.csv`.
        split: the name of the split.

    Raises:
        ValueError, KeyError: these are not such tables.
    """
    table = _columns(scores_file, split)
    if not table:
        return None
    hashes = _columns(split_file, split)
    sha256_of = dict(zip(hashes["film"], hashes["sha256"], strict=True))
    films = tuple(table["film"])
    pixels = None
    if "pixels" in table:
        pixels = np.array([float(text or "nan") for text in table["pixels"]])
    return Scores(
        names=films,
        sha256=tuple(sha256_of[film] for film in films),
        patients=tuple(table["patient"]),
        labels=table["label"].astype(np.int64),
        logits=table["logit"].astype(np.float64),
        probabilities=table["probability"].astype(np.float64),
        subtypes=tuple(table["subtype"]),
        pixels=pixels,
    )


def splits(content: bytes) -> set[str]:
    """Returns the splits in the bytes of `scores.csv`.

    Raises:
        csv.Error: this is no table.
    """
    rows = csv.reader(io.StringIO(names.decode(content), newline=""))
    return {row[0] for number, row in enumerate(rows) if number and row}


def split_of(content: bytes) -> dict[str, str]:
    """Returns the split of each film in the bytes of `split.csv`, by SHA-256.

    Raises:
        csv.Error, KeyError: this is no such table.
    """
    rows = csv.DictReader(io.StringIO(names.decode(content), newline=""))
    return {row["sha256"]: row["split"] for row in rows}


def _write(
    path: Path, columns: Iterable[str], rows: Iterable[tuple[object, ...]]
) -> None:
    with path.open(
        "w", newline="", encoding=names.ENCODING, errors=names.ERRORS
    ) as file:
        usual = csv.writer(file, lineterminator="\n")
        # Python's writer leaves a carriage return bare, which readers end a row at.
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        usual.writerow(columns)
        for row in rows:
            returns = any("\r" in cell for cell in row if isinstance(cell, str))
            (quoting if returns else usual).writerow(row)


def _score_rows(split: str, scores: Scores) -> Iterator[tuple[object, ...]]:
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


def _columns(content: bytes, split: str) -> dict[str, NDArray[np.object_]]:
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
                io.BytesIO(content),
                encoding=names.ENCODING,
                encoding_errors=names.ERRORS,
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
