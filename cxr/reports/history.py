"""What was kept, as a table: one row a case, for a spreadsheet or another program.

It owns the columns of that table and the act of exporting it. A case is named by its
random id, film and patient by their keyed hashes; no name and nothing of a header is in
it but what a reader typed as a reason.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

from cxr.records import actors, audit, films, search
from cxr.records.kept import CONTEXT_NAMES, KeptCase, KeptReading
from cxr.records.search import Query
from cxr.spreadsheets import ENCODING, write_csv, write_parquet

EXPORTED = actors.EXPORT_HISTORY
CSV, PARQUET, MANIFEST = "csv", "parquet", "manifest"
_READING = tuple(field.name for field in fields(KeptReading))
_REVIEW = ("opinion", "pneumonia", "disagreement", "reason", "reviewer", "reviewed")
_STABILITY = ("same", "low", "high")
COLUMNS = (
    *("case_id", "time", "reader", *_READING, *_REVIEW, *CONTEXT_NAMES),
    *(f"stability_{name}" for name in _STABILITY),
    *("evidence_zone", "film_kept"),
)
_NUMBERS = (
    *("threshold", "probability", "logit", "frontal", "unlike", "brightness"),
    *("contrast", "stability_low", "stability_high", *CONTEXT_NAMES),
)
_COUNTS = ("bits", "height", "width", "stability_same")
_FLAGS = ("sample", "pneumonia", "disagreement", "film_kept")
MANIFEST_COLUMNS = ("path", "label", "patient")
_KINDS = {
    **dict.fromkeys(COLUMNS, str),
    **dict.fromkeys(_NUMBERS, float),
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(_FLAGS, bool),
}


def document(records_dir: Path, case: KeptCase) -> dict[str, Any]:
    """Returns one case for JSON, whole.

    Args:
        records_dir: of the history.
        case: as it was kept.
    """
    return {
        **asdict(case),
        "disagreement": case.disagreement,
        "film_kept": films.is_kept(records_dir, case.case_id),
    }


def row(records_dir: Path, case: KeptCase) -> dict[str, Any]:
    """Returns one case by `COLUMNS`; None for what there is none of.

    Args:
        records_dir: of the history.
        case: as it was kept.
    """
    held = case.stability or {}
    values = document(records_dir, case) | asdict(case.reading)
    values |= {name: case.context.get(name) for name in CONTEXT_NAMES}
    values |= {f"stability_{name}": held.get(name) for name in _STABILITY}
    values["evidence_zone"] = (case.evidence or {}).get("zone")
    for name in ("cautions", "warnings"):
        values[name] = " ".join(values[name])
    return {name: values[name] for name in COLUMNS}


def export(
    records_dir: Path,
    query: Query,
    target: BinaryIO,
    *,
    actor: str,
    kind: str = CSV,
) -> int:
    """Writes the cases that a query wants, the newest first; returns how many.

    The audit trail says that it was done, by whom, and how many cases there were.

    Args:
        records_dir: of the history.
        query: which cases.
        target: open for writing.
        actor: who exports them.
        kind: `CSV` in UTF-8 with a mark that spreadsheets know it by, `PARQUET`, or
            `MANIFEST`: films that are kept and of which a reader has said whether they
            show pneumonia, for a training.

    Raises:
        CxrError: that person may not (code `not-allowed`), the history can't be read,
            the audit trail can't be written, or the package for Parquet isn't installed
            (code `no-parquet`).
        OSError: the target can't be written.
        ValueError: there is no such kind.
    """
    if kind not in _WRITERS:
        raise ValueError(f"expected one of {sorted(_WRITERS)}, received {kind=}")
    actors.require(records_dir, actor, actors.EXPORT_HISTORY)
    details = {"kind": kind, "cases": search.count(records_dir, query).cases}
    audit.record(records_dir, EXPORTED, actor=actor, details=details)
    return _WRITERS[kind](records_dir, search.every(records_dir, query), target)


def _write_csv(records_dir: Path, cases: Iterable[KeptCase], target: BinaryIO) -> int:
    rows = (row(records_dir, case) for case in cases)
    return _write_table(COLUMNS, rows, target)


def _write_manifest(
    records_dir: Path, cases: Iterable[KeptCase], target: BinaryIO
) -> int:
    rows = (
        {
            "path": str(films.path_of(records_dir, case.case_id).absolute()),
            "label": "PNEUMONIA" if case.pneumonia else "NORMAL",
            # A film of nobody known is a patient of its own, however often it was read.
            "patient": case.reading.patient or case.reading.film,
        }
        for case in cases
        if case.pneumonia is not None and films.is_kept(records_dir, case.case_id)
    )
    return _write_table(MANIFEST_COLUMNS, rows, target)


def _write_table(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], target: BinaryIO
) -> int:
    text = io.TextIOWrapper(target, ENCODING, newline="", write_through=True)
    try:
        return write_csv(text, columns, rows)
    finally:
        text.detach()  # the target is the caller's, and stays open


def _write_parquet(
    records_dir: Path, cases: Iterable[KeptCase], target: BinaryIO
) -> int:
    return write_parquet(target, _KINDS, (row(records_dir, case) for case in cases))


_WRITERS: dict[str, Callable[[Path, Iterable[KeptCase], BinaryIO], int]] = {
    CSV: _write_csv,
    PARQUET: _write_parquet,
    MANIFEST: _write_manifest,
}
