"""The films of a survey as a table for a spreadsheet or a notebook."""

import csv
import io
import math

from cxr.datasets.folders import CLASSES
from cxr.datasets.survey import Survey
from cxr.spreadsheets import as_cell

COLUMNS = (
    "film",
    "label",
    "subtype",
    "patient",
    "split",
    "sha256",
    "format",
    "width",
    "height",
    "bytes",
    "mean_grey",
    "contrast",
    "sharpness",
    "unreadable",
)


def as_csv(survey: Survey) -> str:
    """Returns a CSV table with the columns `COLUMNS`, one row for each film.

    What was not measured is an empty cell; `unreadable` says why. A cell that a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for i, film in enumerate(survey.films):
        known = bool(survey.readable[i])
        figures = (survey.mean_grey[i], survey.contrast[i], survey.sharpness[i])
        writer.writerow(
            (
                as_cell(film.name),
                CLASSES[film.label],
                as_cell(film.subtype or ""),
                as_cell(film.patient_id),
                as_cell(film.split or ""),
                film.sha256,
                survey.formats[i],
                survey.width[i] if known else "",
                survey.height[i] if known else "",
                survey.file_bytes[i],
                *(f"{v:.4g}" if math.isfinite(v) else "" for v in map(float, figures)),
                as_cell(survey.reasons.get(film.name, "")),
            )
        )
    return stream.getvalue()
