"""A CSV manifest of films, however a spreadsheet wrote it.

It owns the reading of the table: its encoding, its separator and the names of its
columns. `path` and `label` are needed; `patient` and `split` are taken where they are.
"""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr import names
from cxr.errors import DatasetError

SEPARATORS = (",", ";", "\t", "|")
_COLUMNS = {
    "path": ("path", "file", "filename", "file name", "image", "film"),
    "label": ("label", "class", "diagnosis"),
    "patient": ("patient", "patient id", "patientid"),
    "split": ("split", "set", "subset"),
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a manifest.

    Attributes:
        line: its number in the file, from 1.
        path: as it stands there.
        label: likewise.
        patient: likewise; empty where it is not said.
        split: likewise.
    """

    line: int
    path: str
    label: str
    patient: str
    split: str


def rows(manifest: Path) -> Iterator[Row]:
    """Yields the lines of a manifest; empty ones are left out.

    A first line `sep=;`, which Excel writes, names the separator; else it is the one of
    comma, semicolon, tab and bar by which the header has the needed columns.

    Raises:
        DatasetError: the file can't be read, or has no columns path and label.
    """
    lines = _text(manifest).splitlines()
    skipped = 0
    separators: tuple[str, ...] = SEPARATORS
    if lines and lines[0].strip().strip('"').lower().startswith("sep="):
        separators = (lines[0].strip().strip('"')[4:5] or ",",)
        lines, skipped = lines[1:], 1
    header, separator = _header(manifest, lines, separators)
    reader = csv.reader(lines[1:], delimiter=separator)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(cells, header, skipped + 1 + reader.line_num)
    except csv.Error as error:
        raise DatasetError(
            f"The manifest {manifest.name} can't be read: {error}."
        ) from error


def _text(manifest: Path) -> str:
    try:
        content = manifest.read_bytes()
        if content.startswith(_UTF16):
            text = content.decode("utf-16")
        else:
            # A name that is no UTF-8 stands there as the bytes that it is.
            text = names.decode(content.removeprefix(codecs.BOM_UTF8))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The manifest {manifest.name} can't be read.") from error
    if "\0" in text:
        raise DatasetError(
            f"The manifest {manifest.name} can't be read: it is no text."
        )
    return text


def _header(
    manifest: Path, lines: list[str], separators: tuple[str, ...]
) -> tuple[dict[str, int], str]:
    """Returns where each known column stands, and the separator."""
    seen: list[str] = []
    for separator in separators:
        cells = next(csv.reader(lines[:1], delimiter=separator), [])
        words = [_plain(cell) for cell in cells]
        header = {
            column: words.index(name)
            for column, known in _COLUMNS.items()
            for name in reversed(known)
            if name in words
        }
        if {"path", "label"} <= header.keys():
            return header, separator
        seen = max(seen, words, key=len)
    raise DatasetError(
        f"The manifest {manifest.name} has no columns path and label. Its first line "
        f"names: {', '.join(filter(None, seen)) or 'nothing'}."
    )


def _row(cells: list[str], header: dict[str, int], line: int) -> Row:
    def cell(column: str) -> str:
        place = header.get(column, len(cells))
        return cells[place].strip() if place < len(cells) else ""

    return Row(
        line=line,
        path=cell("path"),
        label=cell("label"),
        patient=cell("patient"),
        split=cell("split"),
    )


def _plain(word: str) -> str:
    return " ".join(word.strip().casefold().replace("_", " ").split())
