"""Tables for spreadsheets and programs: no formula, no lost row, kinds as stated."""

import io

import pytest
from pyarrow import parquet

from cxr import spreadsheets
from cxr.spreadsheets import as_cell, write_csv, write_parquet


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\uff1dx"])
def test_a_formula_is_text(text):
    assert as_cell(text) == f"'{text}"


def test_csv_has_its_columns_and_every_row():
    rows = [{"a": "=x", "b": True}, {"a": "y", "b": None}]
    file = io.StringIO(newline="")
    assert write_csv(file, ["a", "b"], rows) == 2
    assert file.getvalue() == "a,b\r\n'=x,yes\r\ny,\r\n"


def test_parquet_has_the_stated_kinds_and_every_row(monkeypatch):
    monkeypatch.setattr(spreadsheets, "ROWS_AT_ONCE", 2)
    kinds = {"name": str, "share": float, "count": int, "seen": bool}
    rows = [
        {"name": f"n{i}", "share": i / 2, "count": i, "seen": None} for i in range(5)
    ]
    file = io.BytesIO()
    assert write_parquet(file, kinds, iter(rows)) == 5
    table = parquet.read_table(io.BytesIO(file.getvalue()))
    assert [str(field.type) for field in table.schema] == [
        *("string", "double", "int64", "bool"),
    ]
    assert table.to_pylist() == rows
