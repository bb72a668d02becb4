"""What the tests say of known faults of packages, with a network and without."""

import importlib.util

import pytest

from cxr.config import ROOT

SPEC = importlib.util.spec_from_file_location(
    "known_faults", ROOT / ".ci" / "known_faults.py"
)
known_faults = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(known_faults)

SOUND = {"name": "a", "version": "1", "vulns": []}
FAULT = {"id": "PYSEC-1", "fix_versions": ["2.1"]}
FAULTY = {"name": "b", "version": "2", "vulns": [FAULT]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "words", "code"),
    [
        ([SOUND], "none in 1 packages", 0),
        ([SOUND, FAULTY], "b 2: PYSEC-1 (fixed in 2.1)", 1),
        ([UNKNOWN, FAULTY], "b 2: PYSEC-1", 1),
        ([SOUND, UNKNOWN], "none in 1; not checked: c", 0),
        ([UNKNOWN], "not checked, the advisory service answers for none", 0),
        ([], "not checked", 0),
    ],
)
def test_a_report(packages, words, code):
    printed, exit_code = known_faults.verdict([{"dependencies": packages}])
    assert words in printed
    assert exit_code == code


def test_no_report_is_no_network():
    assert known_faults.verdict([None]) == ("known faults: not checked, no network", 0)


def test_an_audit_that_can_not_run_makes_no_report(monkeypatch):
    monkeypatch.setattr(known_faults.sys, "executable", "/no/such/python")
    assert known_faults.report("requirements.txt") is None
