"""Roles: who has which by the trail, what each may do, what nobody gets around."""

import sqlite3
from contextlib import closing
from itertools import product

import pytest

from cxr.errors import CxrError
from cxr.records import actors, audit
from cxr.records.actors import LEAD, READER, TRAINER

ANN, BOB, CARL = "ann@x.org", "bob@x.org", "carl@x.org"


@pytest.fixture
def records(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def led(records):
    """Ann leads, Bob reads, Carl trains."""
    actors.grant(records, ANN, LEAD, actor="system:root")
    actors.grant(records, BOB, READER, actor=ANN)
    actors.grant(records, CARL, TRAINER, actor=ANN)
    return records


def refused(code, function, *arguments, **named):
    with pytest.raises(CxrError) as caught:
        function(*arguments, **named)
    assert caught.value.code == code
    return caught.value.message


def rows(records):
    return [(e.actor, e.action, e.details) for e in reversed(audit.entries(records))]


class TestTheTable:
    def test_each_act_takes_a_role_that_there_is(self):
        assert all(act.roles and {*act.roles} <= {*actors.ROLES} for act in ALL)

    @pytest.mark.parametrize(("act", "role"), [*product(actors.ACTS, actors.ROLES)])
    def test_each_act_as_each_role(self, records, act, role):
        actors.grant(records, ANN, LEAD, actor="system:root")
        if role != LEAD:
            actors.grant(records, BOB, role, actor=ANN)
        who = ANN if role == LEAD else BOB
        before = rows(records)
        if role in actors.ACTS[act].roles:
            actors.require(records, who, act)
            assert rows(records) == before
        else:
            message = refused("not-allowed", actors.require, records, who, act)
            assert message.startswith(f"{who} may not {actors.ACTS[act].words}. ")
            assert rows(records) == [*before, (who, "refused", {"act": act})]

    def test_an_unknown_act_is_a_fault_of_ours(self, led):
        with pytest.raises(KeyError):
            actors.require(led, ANN, "fly")

    def test_who_has_no_role_may_do_nothing(self, led):
        assert not any(actors.may(led, "dora@x.org", act) for act in actors.ACTS)


class TestBeforeThereIsALead:
    def test_an_app_without_a_login_is_open(self, records):
        assert actors.is_open(records)
        assert all(actors.may(records, actors.LOCAL, act) for act in actors.ACTS)
        assert not records.exists()

    def test_a_proxy_that_names_nobody_leaves_it_open(self, records, monkeypatch):
        monkeypatch.setenv("CXR_LOGIN", "proxy")
        assert actors.is_open(records)

    @pytest.mark.parametrize("login", ["proxy", "oidc"])
    def test_with_a_login_only_the_machine_may_begin(self, records, monkeypatch, login):
        monkeypatch.setenv("CXR_LOGIN", login)
        if login == "proxy":
            monkeypatch.setenv("CXR_LOGIN_HEADER", "X-User")
        assert not actors.is_open(records)
        assert not any(actors.may(records, ANN, act) for act in actors.ACTS)
        message = refused("not-allowed", actors.grant, records, ANN, LEAD, actor=ANN)
        assert "`python -m cxr roles grant WHO lead`" in message
        actors.grant(records, ANN, LEAD, actor="system:root")
        assert actors.roles(records) == {ANN: {LEAD}}
        assert not actors.may(records, "system:root", actors.CHANGE_ROLES)

    def test_the_first_role_is_that_of_a_lead(self, records):
        refused("role", actors.grant, records, ANN, READER, actor=actors.LOCAL)
        assert actors.is_open(records)

    def test_the_first_lead_closes_the_app(self, records):
        actors.grant(records, ANN, LEAD, actor=actors.LOCAL)
        assert not actors.is_open(records)
        assert not actors.may(records, actors.LOCAL, actors.READ)
        refused("not-allowed", actors.grant, records, BOB, LEAD, actor=actors.LOCAL)


class TestGrantAndRevoke:
    def test_roles_are_what_the_rows_come_to(self, led):
        actors.grant(led, BOB, TRAINER, actor=ANN)
        actors.revoke(led, CARL, TRAINER, actor=ANN)
        assert actors.roles(led) == {ANN: {LEAD}, BOB: {READER, TRAINER}}
        assert actors.roles_of(led, BOB) == {READER, TRAINER}
        row = audit.entries(led, limit=1)[0]
        assert (row.actor, row.action) == (ANN, "role revoked")
        assert row.details == {"who": CARL, "role": TRAINER}

    @pytest.mark.parametrize("who", [BOB, CARL, "dora@x.org", "system:root", "local"])
    def test_only_a_lead_changes_roles(self, led, who):
        before = actors.roles(led)
        refused("not-allowed", actors.grant, led, who, LEAD, actor=who)
        refused("not-allowed", actors.revoke, led, ANN, LEAD, actor=who)
        assert actors.roles(led) == before

    def test_the_last_lead_stays(self, led):
        refused("last-lead", actors.revoke, led, ANN, LEAD, actor=ANN)
        actors.grant(led, BOB, LEAD, actor=ANN)
        actors.revoke(led, ANN, LEAD, actor=BOB)
        assert actors.roles(led) == {BOB: {READER, LEAD}, CARL: {TRAINER}}

    @pytest.mark.parametrize(("who", "role"), [(BOB, "boss"), (BOB, READER)])
    def test_what_changes_nothing_is_refused(self, led, who, role):
        refused("role", actors.grant, led, who, role, actor=ANN)
        refused("role", actors.revoke, led, who, "boss", actor=ANN)
        refused("role", actors.revoke, led, who, TRAINER, actor=ANN)

    def test_an_address_is_one_person_in_whatever_letters(self, led):
        refused("role", actors.grant, led, " BOB@X.org ", READER, actor=ANN)

    @pytest.mark.parametrize("who", ["", " ", "a b", "a\nb", "x" * 201, "a‮b"])
    def test_a_name_that_can_not_be_shown_or_kept_gets_no_role(self, led, who):
        refused("actor", actors.grant, led, who, READER, actor=ANN)

    @pytest.mark.parametrize("who", ["local", "LOCAL", "system:root", "System:x@y"])
    def test_no_login_brings_a_name_of_the_app_itself(self, who):
        refused("actor", actors.person, who)

    def test_a_login_brings_a_name_as_roles_know_it(self):
        assert actors.person("Ann@X.org") == ANN
        subject = "https://login.example/A#Ann@1"
        assert actors.person(subject) == subject


class TestKept:
    def test_roles_are_worked_out_once_until_the_trail_changes(self, led, monkeypatch):
        looks, real = [], audit.verify
        monkeypatch.setattr(audit, "verify", lambda at: looks.append(at) or real(at))
        for _ in range(5):
            assert actors.may(led, BOB, actors.READ)
        assert len(looks) <= 1
        actors.revoke(led, BOB, READER, actor=ANN)
        assert not actors.may(led, BOB, actors.READ)


class TestTwoAtOnce:
    def test_two_leads_who_revoke_each_other_leave_one(self, led):
        actors.grant(led, BOB, LEAD, actor=ANN)
        # Both have passed the check, then both rows are written.
        for by, who in ((ANN, BOB), (BOB, ANN)):
            row = {"who": who, "role": LEAD}
            audit.record(led, actors.REVOKED, actor=by, details=row)
        assert actors.roles(led)[ANN] == {LEAD}
        assert LEAD not in actors.roles(led)[BOB]

    def test_of_two_first_leads_the_first_row_counts(self, records):
        for who in (ANN, BOB):
            row = {"who": who, "role": LEAD}
            audit.record(records, actors.GRANTED, actor=who, details=row)
        assert actors.roles(records) == {ANN: {LEAD}}

    def test_who_came_second_is_told(self, led, monkeypatch):
        actors.grant(led, BOB, LEAD, actor=ANN)
        row = {"who": ANN, "role": LEAD}
        audit.record(led, actors.REVOKED, actor=BOB, details=row)
        monkeypatch.setattr(actors, "require", lambda *_: None)
        refused("role", actors.grant, led, "dora@x.org", READER, actor=ANN)


class TestChangedFiles:
    def tamper(self, records, statement):
        with closing(sqlite3.connect(records / audit.DATABASE)) as database, database:
            guards = ("only_the_next", "no_update", "no_delete")
            names = [f"DROP TRIGGER {name}" for name in guards]
            for text in (*names, statement):
                database.execute(text)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE entries SET details = replace(details, 'reader', 'lead')",
            "DELETE FROM entries WHERE id = 3",
            "UPDATE entries SET actor = 'eve' WHERE id = 2",
        ],
    )
    def test_a_row_that_was_changed_gives_nobody_a_role(self, led, statement):
        assert actors.may(led, BOB, actors.READ)
        self.tamper(led, statement)
        for who in (ANN, BOB):
            refused("records-damaged", actors.may, led, who, actors.PROMOTE)
            refused("records-damaged", actors.require, led, who, actors.READ)

    def test_a_lead_may_still_acknowledge_and_others_may_not(self, led):
        self.tamper(led, "UPDATE entries SET time = '' WHERE id = 1")
        actors.require(led, ANN, actors.ACKNOWLEDGE)
        refused("not-allowed", actors.require, led, BOB, actors.ACKNOWLEDGE)

    def test_a_new_trail_goes_on_with_the_roles_that_its_first_row_keeps(self, led):
        self.tamper(led, "UPDATE entries SET time = '' WHERE id = 1")
        kept = {who: sorted(has) for who, has in actors.readable_roles(led).items()}
        audit.acknowledge(led, actor=ANN, reason="seen", details={actors.KEPT: kept})
        assert actors.roles(led) == {ANN: {LEAD}, BOB: {READER}, CARL: {TRAINER}}

    def test_a_refusal_that_can_not_be_recorded_is_one(self, led, monkeypatch, caplog):
        def full(*_, **__):
            raise CxrError("The disk is full.", code="disk-full")

        monkeypatch.setattr(audit, "record", full)
        refused("not-allowed", actors.require, led, BOB, actors.PROMOTE)
        assert "disk-full" in caplog.text


class TestWords:
    def test_a_refusal_names_who_can(self, led):
        message = refused("not-allowed", actors.require, led, BOB, actors.PROMOTE)
        assert message == (
            "bob@x.org may not promote a model. That takes the role lead: ask "
            "ann@x.org."
        )

    def test_a_role_that_nobody_has(self, led):
        actors.revoke(led, CARL, TRAINER, actor=ANN)
        said = actors.who_can(led, actors.TRAIN)
        assert said.endswith("trainer, which nobody has: ask ann@x.org for it.")

    def test_of_many_three_are_named(self, led):
        for name in "defgh":
            actors.grant(led, f"{name}@x.org", TRAINER, actor=ANN)
        said = actors.who_can(led, actors.TRAIN)
        assert said.endswith(": ask carl@x.org, d@x.org, e@x.org or 3 more.")


ALL = actors.ACTS.values()
