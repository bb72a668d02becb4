"""The one safe way into a table that a spreadsheet or another program opens."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any, BinaryIO, TextIO

from cxr.errors import CxrError

# The mark by which spreadsheets know UTF-8 goes first.
ENCODING = "utf-8-sig"
ROWS_AT_ONCE = 10_000  # of a Parquet file's groups

# With their full-width forms, which some spreadsheets take for the same.
FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")


def as_cell(text: str) -> str:
    """Returns text that no spreadsheet takes for a formula and UTF-8 can hold."""
    # A file name that is no UTF-8 comes with lone surrogates.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_csv(
    file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Writes rows as CSV and returns how many; a boolean is yes or no.

    Args:
        file: open as text in `ENCODING` with `newline=""`.
        columns: in order.
        rows: by column, taken one after the other.
    """
    count = 0
    writer = csv.DictWriter(file, columns, lineterminator="\r\n")
    writer.writeheader()
    for values in rows:
        writer.writerow({name: _value(value) for name, value in values.items()})
        count += 1
    return count


def write_parquet(
    file: BinaryIO | IO[bytes],
    kinds: Mapping[str, type],
    rows: Iterator[dict[str, Any]],
) -> int:
    """Writes rows as Parquet, some at a time, and returns how many.

    Args:
        file: open to be written.
        kinds: `float`, `int`, `bool` or `str` of each column, in order.
        rows: by column; None for what there is none of.

    Raises:
        CxrError: the package for it isn't installed (code `no-parquet`).
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CxrError(
            "Parquet needs the package pyarrow, which isn't installed here. Export as "
            "CSV.",
            code="no-parquet",
        ) from error
    arrow = {
        float: pyarrow.float64(),
        int: pyarrow.int64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
    }
    schema = pyarrow.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pyarrow.Table.from_pylist(some, schema=schema))
            count += len(some)
    return count


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return as_cell(value) if isinstance(value, str) else value
