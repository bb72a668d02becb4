"""The history as a table: CSV, Parquet, and a manifest for a training."""

import csv
import io
from dataclasses import fields

import pytest
from kept_readings import reading, refusal

from cxr import spreadsheets
from cxr.datasets import manifests
from cxr.records import audit, films, history, search
from cxr.records.kept import KeptReading
from cxr.records.search import Query
from cxr.reports import history as reports

PNG = b"\x89PNG\r\n\x1a\n and pixels"


@pytest.fixture
def records(tmp_path):
    """A reviewed case with its film, a refusal, a case of an unknown patient."""
    folder = tmp_path / "records"
    first = history.keep(folder, reading(site="=1+1"), actor="ann", picture=PNG)
    history.review(folder, first, "agree", actor="bob", reason="=HYPERLINK(1)")
    stability = {"same": 8, "low": 0.8, "high": 0.95, "probabilities": {}}
    context = {"age_years": 4.0}
    history.add(folder, first, actor="ann", stability=stability, context=context)
    history.add(folder, first, actor="ann", evidence={"zone": "upper left"})
    history.keep(folder, refusal(warnings=("A.", "B.")), actor="ann")
    unknown = history.keep(
        folder, reading(patient="", film="e" * 64), actor="ann", picture=PNG
    )
    history.review(folder, unknown, "disagree", actor="bob")
    return folder


def exported(records, kind, query=Query()) -> tuple[bytes, int]:  # noqa: B008
    target = io.BytesIO()
    count = reports.export(records, query, target, actor="lead", kind=kind)
    return target.getvalue(), count


def test_every_field_of_a_reading_has_a_column():
    assert {field.name for field in fields(KeptReading)} < set(reports.COLUMNS)


def test_csv_holds_a_row_a_case_and_no_formula(records):
    content, count = exported(records, reports.CSV)
    assert content.startswith(b"\xef\xbb\xbf") and count == 3
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert list(rows[0]) == list(reports.COLUMNS)
    unknown, refused, first = rows
    case = search.cases(records)[-1]
    assert (first["case_id"], first["opinion"]) == (case.case_id, "agree")
    assert (first["reason"], first["site"]) == ("'=HYPERLINK(1)", "'=1+1")
    assert (first["pneumonia"], first["film_kept"]) == ("yes", "yes")
    assert (first["stability_same"], first["evidence_zone"]) == ("8", "upper left")
    assert (first["age_years"], first["probability"]) == ("4.0", "0.9")
    assert (refused["code"], refused["probability"]) == ("incomplete", "")
    assert (refused["warnings"], refused["film_kept"]) == ("A. B.", "no")
    assert (unknown["patient"], unknown["disagreement"]) == ("", "yes")


def test_parquet_holds_the_same(records):
    parquet = pytest.importorskip("pyarrow.parquet")
    content, count = exported(records, reports.PARQUET)
    table = parquet.read_table(io.BytesIO(content))
    assert table.column_names == list(reports.COLUMNS) and count == 3
    rows = [reports.row(records, case) for case in search.cases(records)]
    assert table.to_pylist() == rows


def test_a_manifest_lists_films_that_are_kept_and_reviewed(records, tmp_path):
    content, count = exported(records, reports.MANIFEST)
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    rows = list(manifests.rows(path))
    assert (len(rows), count) == (2, 2)
    cases = {case.case_id: case for case in search.cases(records)}
    for row in rows:
        case = cases[row.path.split("/")[-1].removesuffix(".png")]
        assert row.label == ("PNEUMONIA" if case.pneumonia else "NORMAL")
        assert row.patient == (case.reading.patient or case.reading.film) != ""
        assert row.path == str(films.path_of(records, case.case_id))


def test_the_trail_says_who_exported_how_many_and_before_it_is_done(records):
    exported(records, reports.CSV, Query(answers=("refused",)))
    [entry] = audit.entries(records, actions=[reports.EXPORTED])
    assert (entry.actor, entry.details) == ("lead", {"kind": "csv", "cases": 1})


def test_an_unknown_kind_is_wrong_use(records):
    with pytest.raises(ValueError, match="expected one of"):
        exported(records, "xlsx")
    assert audit.entries(records) == []


def test_more_cases_than_are_held_at_a_time_are_all_there(records, monkeypatch):
    monkeypatch.setattr(search, "_AT_ONCE", 2)
    monkeypatch.setattr(spreadsheets, "ROWS_AT_ONCE", 2)
    for kind in (reports.CSV, reports.PARQUET):
        assert exported(records, kind)[1] == 3
