"""A CSV manifest of films, however a spreadsheet wrote it.

It owns the reading of the table: its encoding, its separator and the names of its
columns. `path` and `label` are needed; `patient`, `split` and `place` are taken where
they are.
"""

import codecs
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr import names
from cxr.errors import DatasetError

SEPARATORS = (",", ";", "\t", "|")
NEEDED = ("path", "label")
_COLUMNS = {
    "path": ("path", "file", "filename", "file name", "image", "film"),
    "label": ("label", "class", "diagnosis"),
    "patient": ("patient", "patient id", "patientid"),
    "split": ("split", "set", "subset"),
    "place": ("place", "site", "hospital", "source"),
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
        place: likewise.
    """

    line: int
    path: str
    label: str
    patient: str
    split: str
    place: str


def rows(manifest: Path) -> Iterator[Row]:
    """Yields the lines of a manifest; empty ones are left out.

    Raises:
        DatasetError: the file can't be read, or has no columns path and label.
    """
    for line, cell in table(manifest, _COLUMNS, needed=NEEDED):
        yield Row(line=line, **{column: cell(column) for column in _COLUMNS})


def table(
    manifest: Path, columns: Mapping[str, Sequence[str]], *, needed: Sequence[str]
) -> Iterator[tuple[int, Callable[[str], str]]]:
    """Yields the number of each line that is not empty, and its cells by column.

    A first line `sep=;`, which Excel writes, names the separator; else it is the one of
    comma, semicolon, tab and bar by which the header has the needed columns.

    Args:
        manifest: the file.
        columns: the names that each column may have, the first going first.
        needed: columns that have to be there; of others the cells are empty.

    Raises:
        DatasetError: the file can't be read, or lacks a needed column.
    """
    lines = _text(manifest).splitlines()
    skipped = 0
    separators: tuple[str, ...] = SEPARATORS
    if lines and lines[0].strip().strip('"').lower().startswith("sep="):
        separators = (lines[0].strip().strip('"')[4:5] or ",",)
        lines, skipped = lines[1:], 1
    header, separator = _header(manifest, lines, separators, columns, needed)
    reader = csv.reader(lines[1:], delimiter=separator)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield skipped + 1 + reader.line_num, _Cells(cells, header)
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
    manifest: Path,
    lines: list[str],
    separators: tuple[str, ...],
    columns: Mapping[str, Sequence[str]],
    needed: Sequence[str],
) -> tuple[dict[str, int], str]:
    """Returns where each known column stands, and the separator."""
    seen: list[str] = []
    for separator in separators:
        cells = next(csv.reader(lines[:1], delimiter=separator), [])
        words = [_plain(cell) for cell in cells]
        header = {
            column: words.index(name)
            for column, known in columns.items()
            for name in reversed(known)
            if name in words
        }
        if header.keys() >= set(needed):
            return header, separator
        seen = max(seen, words, key=len)
    missing = f"column{'s' if len(needed) > 1 else ''} {' and '.join(needed)}"
    raise DatasetError(
        f"The manifest {manifest.name} has no {missing}. Its first line names: "
        f"{', '.join(filter(None, seen)) or 'nothing'}."
    )


@dataclass(frozen=True)
class _Cells:
    """The cells of one line by column; empty where it has none."""

    cells: list[str]
    header: dict[str, int]

    def __call__(self, column: str) -> str:
        where = self.header.get(column, len(self.cells))
        return self.cells[where].strip() if where < len(self.cells) else ""


def _plain(word: str) -> str:
    return " ".join(word.strip().casefold().replace("_", " ").split())
