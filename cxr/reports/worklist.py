"""A worklist as a table: one row a film, for a spreadsheet or another program.

It owns the columns of a list's CSV and JSON. A film is named by its number in the list
and by the hash of its file: a file name can be a patient's name, so it is there only
where somebody asks for it.
"""

import io
import json
from collections.abc import Sequence
from typing import Any

from cxr.documents import plain
from cxr.models.inference import Model
from cxr.reading.cases import Case
from cxr.reports.document import film_facts, model_facts, origin
from cxr.spreadsheets import ENCODING, write_csv

COLUMNS = (
    *("number", "film_sha256", "sample", "answer", "eligible", "probability"),
    *("threshold", "threshold_source", "no_answer_from", "no_answer_below"),
    *("prevalence", "likelihood_ratio", "likelihood_ratio_low"),
    *("likelihood_ratio_high", "probability_here", "probability_here_low"),
    *("probability_here_high", "stability_same", "stability_changes"),
    *("stability_low", "stability_high", "evidence_zone", "refusal"),
    *("refusal_reason", "warnings"),
    *("opinion", "opinion_reason", "age_years", "temperature_celsius"),
    *("spo2_percent", "days_ill", "pretest_probability"),
    *("probability_after_pretest", "probability_after_pretest_low"),
    *("probability_after_pretest_high", "model_id", "model_sha256"),
)
ORIGIN = ("notice", "software", "time")  # the last columns of the CSV
NAME = "name"  # the last column of all, where names are asked for


def rows(
    cases: Sequence[Case], model: Model, *, with_names: bool = False
) -> list[dict[str, Any]]:
    """Returns a row for each film, by `COLUMNS`; None for what there is none of.

    Args:
        cases: in the order of the list.
        model: that read them.
        with_names: adds the name of each film's file, so that a reader can match rows
            to films. A file name can be a patient's name: such a list is to be kept
            like a patient's record.
    """
    table = [_row(number, case, model) for number, case in enumerate(cases, 1)]
    if with_names:
        table = [
            row | {NAME: case.name} for row, case in zip(table, cases, strict=True)
        ]
    return table


def as_csv(cases: Sequence[Case], model: Model, *, with_names: bool = False) -> bytes:
    """Returns the list as CSV in UTF-8 with a mark that spreadsheets know it by.

    Text that a spreadsheet could take for a formula begins with an apostrophe.

    Args:
        cases: in the order of the list.
        model: that read them.
        with_names: as in `rows`; a file name can be a patient's name.
    """
    text = io.StringIO()
    columns = (*COLUMNS, *ORIGIN, *([NAME] if with_names else []))
    stamp = origin()
    table = [
        row | stamp | {"warnings": " ".join(row["warnings"])}
        for row in rows(cases, model, with_names=with_names)
    ]
    write_csv(text, columns, table)
    return text.getvalue().encode(ENCODING)


def as_json(cases: Sequence[Case], model: Model, *, with_names: bool = False) -> bytes:
    """Returns the list as one JSON document: what read the films, and a row for each.

    Args:
        cases: in the order of the list.
        model: that read them.
        with_names: as in `rows`; a file name can be a patient's name.
    """
    document = {
        "films": rows(cases, model, with_names=with_names),
        **model_facts(model),
        **origin(),
    }
    return json.dumps(plain(document), indent=2, allow_nan=False).encode()


def _row(number: int, case: Case, model: Model) -> dict[str, Any]:
    values = {"number": number, **film_facts(case, model), **model_facts(model)}
    return {name: values[name] for name in COLUMNS}
