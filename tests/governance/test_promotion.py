"""Promotion: each gate, the switch and its trail, the way back, changed cards."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.errors import CxrError, ModelError
from cxr.evaluation import comparison
from cxr.governance import gates, promotion, trust
from cxr.governance.gates import GateReport
from cxr.models import cards, inference, registry
from cxr.models.cards import Card, Parity, Threshold, UncertainBand
from cxr.models.scores import SCORES, SPLIT
from cxr.records import audit


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for model_id in ("new", "old"):
        register_tiny_model(folder, model_id)
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


def rescore(models_dir: Path, model_id: str, change) -> Card:
    """Gives a model other stored scores, `change` of label and probability.

    Each film gets a patient of its own: two films of one say less than two patients.
    """
    folder = models_dir / model_id
    lines = (folder / SCORES).read_text().splitlines()
    rows = [line.split(",") for line in lines]
    for row in rows[1:]:
        row[2] = f"of-{row[1]}"
        row[6] = f"{change(int(row[4]), float(row[6])):.8f}"
    text = "\n".join(",".join(row) for row in rows) + "\n"
    (folder / SCORES).write_text(text)
    return mend_card(models_dir, model_id)


def mend_card(models_dir: Path, model_id: str, **changes: object) -> Card:
    """Makes a card fit its files."""
    card = registry.read_card(models_dir, model_id)
    files = registry.file_records(models_dir / model_id)
    card = replace(card, files=files, **changes)
    registry.write_card(models_dir, card)
    return card


def failed(report: GateReport) -> list[str]:
    return [gate.name for gate in report.gates if not gate.passed]


def good_scores(label: int, probability: float) -> float:
    return 0.97 if label else 0.02


@pytest.fixture
def few_normal_films(monkeypatch):
    """Two equal models on 50 normal films can't be told apart by the usual margin."""
    monkeypatch.setattr(gates, "SPECIFICITY_MARGIN", 0.1)


class TestGates:
    @pytest.fixture(autouse=True)
    def good(self, models_dir, few_normal_films):
        for model_id in ("new", "old"):
            rescore(models_dir, model_id, good_scores)

    def test_a_model_as_good_as_the_one_that_serves_passes(self, models_dir):
        report = gates.gates(models_dir, "new")
        assert report.passed and failed(report) == []
        assert report.comparison is not None and report.comparison.films == 200
        assert [gate.name for gate in report.gates] == [
            "Files unchanged",
            "Golden films",
            "Serving as trained",
            "Measured on test films",
            "Sensitivity",
            "Calibration",
            "Same films",
            "Sensitivity not worse",
            "Specificity not worse",
            "Answers on normal films",
            "Answers on pneumonia films",
            "AUC not worse",
        ]
        assert all(gate.sentence and gate.value and gate.bar for gate in report.gates)

    def test_the_first_model_has_nothing_to_be_compared_with(self, models_dir):
        (models_dir / registry.ACTIVE).unlink()
        report = gates.gates(models_dir, "new")
        assert report.passed and report.comparison is None
        assert [g.bar for g in report.gates[-6:]] == [""] * 6
        assert "nothing to compare with" in report.gates[-1].sentence

    def test_a_changed_file_fails_and_nothing_else_is_asked(self, models_dir):
        with (models_dir / "new" / SCORES).open("a") as file:
            file.write("x")
        report = gates.gates(models_dir, "new")
        assert failed(report) == ["Files unchanged"] and len(report.gates) == 1

    def test_other_golden_scores_fail(self, models_dir):
        with np.load(models_dir / "new" / cards.GOLDEN) as golden:
            films, expected = golden["films"], golden["probabilities"]
        path = models_dir / "new" / cards.GOLDEN
        np.savez(path, films=films, probabilities=expected / 2)
        mend_card(models_dir, "new")
        assert failed(gates.gates(models_dir, "new")) == ["Golden films"]

    @pytest.mark.parametrize("difference", [0.01, float("nan")])
    def test_a_network_that_serves_otherwise_than_trained_fails(
        self, models_dir, difference
    ):
        # The tolerance on the card is its maker's and counts for nothing.
        parity = Parity(n=3, max_probability_difference=difference, tolerance=1.0)
        mend_card(models_dir, "new", parity=parity)
        assert failed(gates.gates(models_dir, "new")) == ["Serving as trained"]

    def test_a_threshold_that_misses_too_many_fails(self, models_dir):
        luck = np.random.default_rng(4)

        def scores(label: int, probability: float) -> float:
            return (0.99 if luck.random() < 0.7 else 0.93) if label else 0.02

        rescore(models_dir, "new", scores)
        threshold = Threshold(value=0.95, rule="made up", split="validation")
        mend_card(models_dir, "new", threshold=threshold)
        found = failed(gates.gates(models_dir, "new"))
        assert found[:2] == ["Sensitivity", "Sensitivity not worse"]

    def test_probabilities_that_are_none_fail(self, models_dir):
        rescore(models_dir, "new", lambda label, p: 0.6 if label else 0.3)
        assert "Calibration" in failed(gates.gates(models_dir, "new"))

    def test_a_worse_order_of_the_films_fails(self, models_dir):
        luck = np.random.default_rng(3)

        def scores(label: int, probability: float) -> float:
            return 0.97 if label or luck.random() < 0.3 else 0.02

        rescore(models_dir, "new", scores)
        assert "AUC not worse" in failed(gates.gates(models_dir, "new"))

    def test_more_false_alarms_fail_and_ask_for_a_reason(self, models_dir):
        number = iter(range(1000))

        def scores(label: int, probability: float) -> float:
            return 0.97 if label or next(number) % 5 == 0 else 0.02

        rescore(models_dir, "new", scores)
        report = gates.gates(models_dir, "new")
        assert "Specificity not worse" in [gate.name for gate in report.worse]
        [gate] = [g for g in report.gates if g.name == "Specificity not worse"]
        assert gate.value.startswith("−0.2") and gate.waivable

    def test_more_films_without_an_answer_fail_and_ask_for_a_reason(self, models_dir):
        wide = UncertainBand(below=9.0, above=9.0, rule="made up")
        mend_card(models_dir, "new", uncertain_band=wide)
        report = gates.gates(models_dir, "new")
        assert report.failed == ()
        assert [gate.name for gate in report.worse] == [
            "Answers on normal films",
            "Answers on pneumonia films",
        ]

    def test_without_common_films_it_says_what_to_do(self, models_dir):
        path = models_dir / "new" / SPLIT
        text = path.read_text().replace(",0000", ",1111")
        path.write_text(text)
        mend_card(models_dir, "new")
        report = gates.gates(models_dir, "new")
        assert failed(report) == ["Same films"] and report.comparison is None
        assert "same seed" in report.gates[-1].sentence

    def test_too_few_common_films_fail(self, models_dir, monkeypatch):
        monkeypatch.setattr(gates, "MIN_SHARED_FILMS", 201)
        report = gates.gates(models_dir, "new")
        assert failed(report) == ["Same films"]
        assert report.gates[-1].value == "200 films"

    def test_a_model_that_is_not_there_is_named(self, models_dir):
        with pytest.raises(ModelError) as refused:
            gates.gates(models_dir, "none")
        assert refused.value.code == "no-such-model"


class TestSensitivityDifference:
    def test_equal_calls_differ_by_nothing_but_not_certainly(self):
        called = np.arange(300) % 50 > 0
        found = comparison.sensitivity_difference(called, called, np.arange(300))
        assert found.value == 0 and found.low < 0 < found.high
        assert found.low > -0.02

    def test_more_misses_give_a_lower_limit_beyond_the_margin(self):
        a, b = np.arange(300) % 10 > 0, np.ones(300, bool)
        found = comparison.sensitivity_difference(a, b, np.arange(300))
        assert found.value == pytest.approx(-0.1)
        assert found.high < 0 and found.low < -gates.SENSITIVITY_MARGIN

    def test_films_of_one_patient_count_for_less(self):
        rng = np.random.default_rng(2)
        a, b = (np.repeat(rng.random(100) > 0.05, 4) for _ in range(2))
        alone = comparison.sensitivity_difference(a, b, np.arange(400))
        together = comparison.sensitivity_difference(a, b, np.repeat(range(100), 4))
        assert together.high - together.low > 1.5 * (alone.high - alone.low)

    def test_the_interval_holds_the_truth_about_as_often_as_it_says(self):
        rng = np.random.default_rng(1)
        held = 0
        for _ in range(400):
            hard = np.repeat(rng.normal(size=150), 2)
            a, b = (hard + rng.normal(size=300) < z for z in (2.9, 2.5))
            found = comparison.sensitivity_difference(a, b, np.repeat(range(150), 2))
            # P(N(0, 2) < z): 0.97982 and 0.96145.
            held += found.low <= 0.97982 - 0.96145 <= found.high
        assert 0.92 <= held / 400 <= 0.995


class TestPromote:
    @pytest.fixture(autouse=True)
    def good(self, models_dir, few_normal_films):
        for model_id in ("new", "old"):
            rescore(models_dir, model_id, good_scores)

    def test_the_candidate_serves_and_the_trail_says_who_did_it(
        self, models_dir, records
    ):
        card = promotion.promote(models_dir, records, "new", actor="ann")
        assert card.model_id == registry.active_id(models_dir) == "new"
        [entry] = audit.entries(records)
        assert (entry.action, entry.actor, entry.model_id) == ("promote", "ann", "new")
        assert entry.details["previous"] == "old"
        sha256 = registry.card_sha256(models_dir, "new")
        assert entry.details["card_sha256"] == sha256
        assert entry.details["gates"]["Same films"] == "200 films"

    def test_a_gate_that_is_not_passed_changes_nothing(self, models_dir, records):
        rescore(models_dir, "new", lambda label, p: 0.6 if label else 0.3)
        with pytest.raises(ModelError, match=r"Calibration \(0.3\d+; bar") as refused:
            promotion.promote(models_dir, records, "new", actor="ann")
        assert refused.value.code == "gates"
        assert registry.active_id(models_dir) == "old"
        assert audit.entries(records) == []

    @pytest.mark.parametrize("reason", ["", "   ", "because"])
    def test_a_worse_one_is_not_promoted_without_a_reason(
        self, models_dir, records, reason
    ):
        wide = UncertainBand(below=9.0, above=9.0, rule="made up")
        mend_card(models_dir, "new", uncertain_band=wide)
        with pytest.raises(ModelError, match="Answers on normal films") as refused:
            promotion.promote(models_dir, records, "new", actor="ann", reason=reason)
        assert refused.value.code == "no-reason"
        assert "Give a reason of 10 to 500 letters" in refused.value.message
        assert registry.active_id(models_dir) == "old"
        assert audit.entries(records) == []

    def test_a_reason_goes_into_the_trail_with_what_is_worse(self, models_dir, records):
        wide = UncertainBand(below=9.0, above=9.0, rule="made up")
        mend_card(models_dir, "new", uncertain_band=wide)
        reason = "It was asked to be \n more careful."
        promotion.promote(models_dir, records, "new", actor="ann", reason=reason)
        assert registry.active_id(models_dir) == "new"
        [entry] = audit.entries(records)
        assert entry.details["reason"] == "It was asked to be more careful."
        assert entry.details["worse"] == [
            "Answers on normal films",
            "Answers on pneumonia films",
        ]

    def test_a_reason_stands_in_for_no_other_gate(self, models_dir, records):
        rescore(models_dir, "new", lambda label, p: 0.6 if label else 0.3)
        with pytest.raises(ModelError) as refused:
            promotion.promote(
                models_dir, records, "new", actor="ann", reason="It is what we want."
            )
        assert refused.value.code == "gates"

    def test_a_reason_that_is_not_needed_is_not_kept(self, models_dir, records):
        promotion.promote(
            models_dir, records, "new", actor="ann", reason="It is what we want."
        )
        [entry] = audit.entries(records)
        assert "reason" not in entry.details

    def test_the_one_that_serves_is_not_promoted_again(self, models_dir, records):
        with pytest.raises(ModelError) as refused:
            promotion.promote(models_dir, records, "old", actor="ann")
        assert refused.value.code == "already-active"

    def test_without_a_trail_nothing_is_switched(
        self, models_dir, records, monkeypatch
    ):
        def fail(*args: object, **kwargs: object) -> None:
            raise CxrError("read-only", code="records-read-only")

        monkeypatch.setattr(audit, "record", fail)
        with pytest.raises(CxrError, match="read-only"):
            promotion.promote(models_dir, records, "new", actor="ann")
        assert registry.active_id(models_dir) == "old"

    @pytest.mark.parametrize(
        ("number", "code"), [(28, "disk-full"), (30, "models-read-only")]
    )
    def test_a_switch_that_can_not_be_written_leaves_the_old_one(
        self, models_dir, records, monkeypatch, number, code
    ):
        def fail(path: Path, content: object) -> None:
            raise OSError(number, "no")

        with monkeypatch.context() as patched:
            patched.setattr(registry.documents, "replace", fail)
            with pytest.raises(CxrError) as refused:
                promotion.promote(models_dir, records, "new", actor="ann")
        assert refused.value.code == code
        assert registry.active_id(models_dir) == "old"
        assert [e.action for e in audit.entries(records)] == [
            "switch failed",
            "promote",
        ]
        assert promotion.previous_id(models_dir, records) is None


class TestWayBack:
    def serve(self, models_dir: Path, records: Path, *ids: str) -> None:
        for model_id in ids:
            promotion.activate(models_dir, records, model_id, actor="ann")

    def test_without_a_trail_there_is_no_way_back(self, models_dir, records):
        assert promotion.previous_id(models_dir, records) is None
        with pytest.raises(ModelError) as refused:
            promotion.roll_back(models_dir, records, actor="ann")
        assert refused.value.code == "no-earlier-model"

    def test_the_model_that_served_before_serves_again(self, models_dir, records):
        self.serve(models_dir, records, "new")
        assert promotion.previous_id(models_dir, records) == "old"
        assert promotion.roll_back(models_dir, records, actor="bob").model_id == "old"
        assert registry.active_id(models_dir) == "old"
        entry = audit.entries(records, limit=1)[0]
        assert (entry.action, entry.actor) == ("roll back", "bob")
        assert entry.details["previous"] == "new"

    def test_twice_back_goes_two_back_and_never_forth(self, models_dir, records):
        register_tiny_model(models_dir, "third")
        registry.activate(models_dir, "old")
        self.serve(models_dir, records, "new", "third")
        served = [
            promotion.roll_back(models_dir, records, actor="ann").model_id
            for _ in range(2)
        ]
        assert served == ["new", "old"]
        assert promotion.previous_id(models_dir, records) is None

    def test_a_model_may_come_back_by_promotion(self, models_dir, records):
        self.serve(models_dir, records, "new", "old")
        assert promotion.previous_id(models_dir, records) == "new"

    def test_a_switch_by_other_means_is_understood(self, models_dir, records):
        register_tiny_model(models_dir, "third")
        registry.activate(models_dir, "old")
        self.serve(models_dir, records, "new")
        registry.activate(models_dir, "third")
        assert promotion.previous_id(models_dir, records) == "new"

    def test_a_damaged_model_does_not_serve_again(self, models_dir, records):
        self.serve(models_dir, records, "new")
        (models_dir / "old" / cards.HISTORY).unlink()
        with pytest.raises(ModelError, match="missing") as refused:
            promotion.roll_back(models_dir, records, actor="ann")
        assert refused.value.code == "damaged-model"
        assert registry.active_id(models_dir) == "new"

    def test_after_the_choice_was_lost_the_last_one_is_offered(
        self, models_dir, records
    ):
        self.serve(models_dir, records, "new")
        (models_dir / registry.ACTIVE).unlink()
        assert promotion.previous_id(models_dir, records) == "new"


class TestProblems:
    def test_a_model_that_the_trail_does_not_know_is_held_against_its_card(
        self, models_dir, records
    ):
        assert trust.problems(models_dir, records, "new") == []
        assert trust.trusted_card(records, "new") is None

    def test_a_card_mended_to_fit_an_exchanged_file_is_seen(self, models_dir, records):
        promotion.activate(models_dir, records, "new", actor="ann")
        assert trust.problems(models_dir, records, "new") == []
        with (models_dir / "new" / cards.HISTORY).open("a") as file:
            file.write("x\n")
        card = mend_card(models_dir, "new")
        assert registry.verify(models_dir, card) == []
        inference.load(models_dir, "new")

        [problem] = trust.problems(models_dir, records, "new")

        assert "is not the one recorded" in problem and "ann" in problem
        promotion.activate(models_dir, records, "old", actor="ann")
        with pytest.raises(ModelError, match="not the one recorded"):
            promotion.roll_back(models_dir, records, actor="ann")
        report = gates.gates(models_dir, "new", records_dir=records)
        assert failed(report) == ["Files unchanged"]

    def test_the_card_of_an_import_is_trusted_from_then_on(self, models_dir, records):
        trust.record_card(models_dir, records, trust.IMPORTED, "new", actor="ann")
        path = models_dir / "new" / cards.CARD
        path.write_text(json.dumps(json.loads(path.read_text())))
        assert trust.problems(models_dir, records, "new") != []

    def test_a_trail_that_does_not_hold_is_a_problem_too(self, models_dir, records):
        promotion.activate(models_dir, records, "new", actor="ann")
        (records / audit.HEAD).unlink()
        [problem] = trust.problems(models_dir, records, "new")
        assert "does not hold" in problem

    def test_a_report_is_plain_values(self, models_dir):
        report = gates.gates(models_dir, "new")
        assert all(isinstance(gate.passed, bool) for gate in report.gates)
        assert json.dumps([asdict(gate) for gate in report.gates])
