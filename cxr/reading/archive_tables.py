"""The table of an archive's readings: one row a film, as CSV or Parquet.

It owns the columns and both file formats. `path` is the film's path below the archive's
folder, so the table holds whatever file names say of patients.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxr import disk
from cxr.errors import CxrError
from cxr.spreadsheets import ENCODING, write_csv, write_parquet

CSV, PARQUET = ".csv", ".parquet"
SCORED, REFUSED = "scored", "refused"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one film of an archive.

    Attributes:
        path: of the film, below the archive's folder.
        sha256: of the file; empty if it could not be opened.
        status: `SCORED` or `REFUSED`.
        code: why it was refused; empty if it was not.
        answer: "above threshold", "below threshold", "no answer" or "refused".
        probability: calibrated, `[0, 1]`; None for a refused film.
        threshold: that it was read at, `(0, 1)`.
        model_id: the model that read it.
        model_sha256: of its network's weights.
        frontal: the gate's logit of an upright frontal chest film; None where the gate
            was not asked.
        unlike: its logit of other patients than the training films show, likewise.
        cautions: on why the score may not hold, and what was unusual in the file.
        seconds: since the film before.
    """

    path: str
    sha256: str
    status: str
    code: str
    answer: str
    probability: float | None
    threshold: float
    model_id: str
    model_sha256: str
    frontal: float | None
    unlike: float | None
    cautions: str
    seconds: float


COLUMNS = tuple(Row.__dataclass_fields__)
_NUMBERS = ("probability", "threshold", "frontal", "unlike", "seconds")
_KINDS = {name: float if name in _NUMBERS else str for name in COLUMNS}


def require_format(path: Path) -> None:
    """Makes sure that a table can be written under this name.

    Raises:
        CxrError: it ends neither in .csv nor in .parquet (code `usage`).
    """
    if path.suffix.lower() not in (CSV, PARQUET):
        raise CxrError(
            f"{path.name} must end in {CSV} or {PARQUET}: that says which it is.",
            code="usage",
        )


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes the whole table in one step, in the format that its name says.

    Args:
        path: ends in .csv or .parquet.
        rows: taken one after the other; few are held.

    Raises:
        OSError: it can't be written.
    """
    values = map(asdict, rows)
    with disk.whole_file(path) as draft:
        if path.suffix.lower() == CSV:
            with draft.open("w", encoding=ENCODING, newline="") as file:
                write_csv(file, COLUMNS, values)
        else:
            with draft.open("wb") as binary:
                write_parquet(binary, _KINDS, map(_as_text, values))


def _as_text(values: dict[str, Any]) -> dict[str, Any]:
    # A file name need be no text; Parquet holds text alone.
    path = values["path"].encode("utf-8", "backslashreplace").decode()
    return values | {"path": path}
