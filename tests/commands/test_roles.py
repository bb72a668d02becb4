"""`roles`: shown, granted, revoked, in words and as JSON."""

import getpass

import pytest
from command_line import strict

from cxr.records import actors


@pytest.fixture(autouse=True)
def ann(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")


def test_before_a_lead_everybody_may_do_everything(run):
    code, out, err = run("roles")
    assert (code, err) == (0, "")
    assert "Nobody has a role yet.\nEverybody may do everything" in out
    _, out, _ = run("roles", "--json")
    assert strict(out) == {"open": True, "you": "system:ann", "roles": {}}


def test_a_role_is_granted_and_revoked(run, tmp_path):
    code, out, _ = run("roles", "grant", "system:ann", "lead")
    assert (code, out) == (0, "system:ann: lead\nYou are system:ann.\n")
    run("roles", "grant", "Bob@X.org", "reader")
    _, out, _ = run("roles", "grant", "bob@x.org", "trainer", "--json")
    known = {"bob@x.org": ["reader", "trainer"], "system:ann": ["lead"]}
    assert strict(out) == {"open": False, "you": "system:ann", "roles": known}
    _, out, _ = run("roles", "--json", "revoke", "bob@x.org", "reader")
    assert strict(out)["roles"]["bob@x.org"] == ["trainer"]
    assert actors.roles(tmp_path / "records")["bob@x.org"] == {"trainer"}


def test_the_last_lead_stays(run):
    run("roles", "grant", "system:ann", "lead")
    code, out, err = run("roles", "revoke", "system:ann", "lead")
    assert (code, out) == (2, "") and err.endswith("[last-lead]\n")


def test_a_name_that_would_forge_a_line_is_refused(run):
    code, out, err = run("roles", "grant", "a\nbob@x.org: lead", "lead")
    assert (code, out) == (2, "") and err.endswith("[actor]\n")
