"""The simulation behind docs/coverage.md, in small."""

import re

import pytest

from benchmarks import coverage
from cxr.config import ROOT


@pytest.fixture(scope="module")
def found():
    """Of 80 repetitions of 80 patients."""
    scenario = coverage.Scenario(name="small", n_patients=80, separation=2.0)
    return coverage.coverage(scenario, 80, n_bootstrap=100)


def test_every_kind_of_interval_holds_the_truth_mostly(found):
    assert set(found) == {*coverage.METRICS, *coverage.DIFFERENCES}
    # 95 % of 80 repetitions have a standard error of 2.4 percentage points.
    assert min(found.values()) >= 0.86, found


def test_the_table_has_a_row_for_each(found):
    rows = coverage.table({"small": found}).splitlines()
    assert len(rows) == 2 + len(found)
    assert coverage._share(0.9) == "90.0 % (outside)"
    assert coverage._share(0.95) == "95.0 %"


def test_the_document_is_of_this_table_and_holds_its_promise():
    text = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)
    shares = {name: cells for name, cells in rows if name != "interval"}
    wanted = {k.replace("_", " ") for k in (*coverage.METRICS, *coverage.DIFFERENCES)}
    assert set(shares) == wanted
    assert "outside" not in text
    assert "--repetitions 1000" in text
