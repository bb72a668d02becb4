"""From kept readings to columns, and to what is said of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.evaluation import drift
from cxr.evaluation.drift import BRIGHTNESS, EARLIER, UNANSWERED
from cxr.evaluation.estimates import Estimate
from cxr.models import registry
from cxr.reading import monitoring
from cxr.reading.monitoring import Measured, Measurements
from cxr.records import history, search
from cxr.records.kept import KeptReading
from cxr.records.search import Query, Series


@pytest.fixture(scope="module")
def card(models_dir):
    return registry.read_card(models_dir, "tiny-1")


@pytest.fixture(scope="module")
def known(models_dir, card):
    return monitoring.home(models_dir, card)


def reading(card, probability, **values):
    low, high = card.band
    answer = "above threshold" if probability >= high else "below threshold"
    facts = {
        "model_id": card.model_id,
        "model_sha256": card.weights_sha256,
        "card_sha256": "c",
        "threshold": card.threshold.value,
        "threshold_source": "shipped",
        "answer": "no answer" if low <= probability < high else answer,
        "probability": probability,
        "brightness": 120.0,
        "contrast": 50.0,
        "unlike": -3.0,
    }
    return KeptReading(**facts | values)


def columns(card, n, **values):
    """Films that one model read, each of another patient."""
    facts = {
        "case_id": tuple(f"{i:016x}" for i in range(n)),
        "time": tuple(f"2026-11-01T00:00:00.{i:06}+00:00" for i in range(n)),
        "film": tuple(f"film {i}" for i in range(n)),
        "patient": ("",) * n,
        "model_id": (card.model_id,) * n,
        "model_sha256": (card.weights_sha256,) * n,
        "threshold": (card.threshold.value,) * n,
        "answer": ("above threshold",) * n,
        "code": ("",) * n,
        "probability": tuple(np.random.default_rng(0).random(n).tolist()),
        "logit": (0.0,) * n,
        "frontal": (9.0,) * n,
        "unlike": tuple(np.random.default_rng(1).normal(size=n).tolist()),
        "brightness": tuple(np.random.default_rng(2).normal(120, 19, n).tolist()),
        "contrast": tuple(np.random.default_rng(3).normal(57, 10, n).tolist()),
        "opinion": ("",) * n,
        "pneumonia": (None,) * n,
    }
    return Series(**facts | values)


class TestLive:
    def test_counts_reviews_of_films_that_are_no_samples(self, tmp_path, card):
        above = history.keep(tmp_path, reading(card, 0.99), actor="anna")
        history.keep(tmp_path, reading(card, 0.99, sample=True), actor="anna")
        below = history.keep(tmp_path, reading(card, 0.001), actor="anna")
        refused = replace(
            reading(card, 0.5), answer="refused", probability=None, code="sideways"
        )
        history.keep(tmp_path, refused, actor="anna")
        history.review(tmp_path, above, "agree", actor="anna")
        history.review(tmp_path, below, "disagree", actor="anna")
        found = monitoring.live(tmp_path, Query())
        assert [s.films for s in found.strata] == [1, 1, 0, 1]
        assert (found.above.pneumonia, found.below.pneumonia) == (1, 1)
        assert found.sensitivity.value == found.agreement.value == 0.5
        assert found.unanswered.value == pytest.approx(1 / 3)

    def test_no_history_is_no_film(self, tmp_path):
        found = monitoring.live(tmp_path, Query())
        assert found.films == 0 and math.isnan(found.sensitivity.value)


class TestStream:
    def test_answers_are_counted_at_one_threshold(self, card):
        low, high = card.uncertain_band.around(0.7)
        inside = (low + high) / 2
        series = columns(card, 4, probability=(0.0001, inside, None, 0.9999))
        found = monitoring.stream(series, card, 0.7)
        width = high > low
        assert found.unanswered.tolist() == [False, width, True, False]
        assert np.isnan(found.logits).tolist() == [False, False, True, False]
        assert found.logits[1] == pytest.approx(math.log(inside / (1 - inside)))

    def test_the_same_film_or_patient_counts_once(self, card):
        series = columns(
            card,
            5,
            film=("a", "a", "b", "c", ""),
            patient=("", "", "p", "p", ""),
        )
        found = monitoring.stream(series, card, 0.5)
        assert found.firsts().tolist() == [0, 2, 4]


class TestHome:
    def test_what_was_not_measured_has_no_distance(self, known):
        assert known.measured is None
        assert known.expected(0.5).far is None
        assert known.expected(0.5).films == known.films.labels.size

    def test_refusals_of_the_gate_add_to_films_without_an_answer(self, known):
        share = Estimate(value=0.01, low=0.0, high=0.04)
        far = drift.Far(distance=1.0, share=share, films=9)
        measured = Measured(
            model_id="tiny-1", lungs_card_sha256="", far=far, refused=share
        )
        more = replace(known, measured=measured).expected(0.5)
        plain = known.expected(0.5).unanswered
        assert more.far == far
        assert more.unanswered.value == pytest.approx(plain.value + 0.01)
        assert more.unanswered.high == pytest.approx(min(plain.high + 0.04, 1))

    def test_a_measurement_holds_for_its_gate_alone(self, tmp_path, monkeypatch):
        register_tiny_model(tmp_path)
        card = registry.read_card(tmp_path, "tiny-1")
        share = Estimate(value=0.0, low=0.0, high=0.1)
        measured = Measured(
            model_id="tiny-1",
            lungs_card_sha256=registry.card_sha256(tmp_path, registry.LUNGS),
            far=drift.Far(distance=1.0, share=share, films=9),
            refused=share,
        )
        for gate, expected in ((measured.lungs_card_sha256, measured), ("x", None)):
            of_gate = replace(measured, lungs_card_sha256=gate)
            table = Measurements(models={card.weights_sha256: of_gate})
            monkeypatch.setattr(monitoring, "measurements", lambda table=table: table)
            assert monitoring.home(tmp_path, card).measured == expected

    def test_what_ships_was_measured(self):
        for weights, measured in monitoring.measurements().models.items():
            assert len(weights) == 64 and 0 < measured.far.share.value < 0.1


class TestWatch:
    def test_says_what_moved_by_the_rows_of_all_films(self, card, known):
        slipping = np.random.default_rng(5).normal(120, 19, 900)
        slipping[600:] -= 30
        series = columns(card, 900, brightness=tuple(slipping.tolist()))
        found = monitoring.watched(series, known)
        tone = {(d.figure, d.against): d for d in found.drifts}[BRIGHTNESS, EARLIER]
        assert found.moved and tone.moved
        assert 600 < tone.said_at < 700 and len(found.times) == 900
        assert found.threshold == card.threshold.value
        assert found.place.films == 900

    def test_a_change_of_scores_is_taken_apart(self, card, known):
        own = known.films
        rng = np.random.default_rng(6)

        def drawn(ill, n):
            sick = rng.random(n) < ill
            wells, ills = (np.flatnonzero(own.labels == y) for y in (0, 1))
            rows = np.where(sick, rng.choice(ills, n), rng.choice(wells, n))
            return own.logits[rows]

        logits = np.concatenate([drawn(0.1, 700), drawn(0.7, 300)])
        series = columns(card, 1000, probability=tuple(1 / (1 + np.exp(-logits))))
        found = monitoring.watched(series, known)
        assert found.drifts[0].moved and found.apart is not None
        assert found.apart.after.share.value > found.apart.before.share.value + 0.3

    def test_films_of_another_model_do_not_count(self, tmp_path, card, known):
        history.keep(tmp_path, reading(card, 0.9), actor="anna")
        history.keep(tmp_path, reading(card, 0.9, model_sha256="0" * 64), actor="anna")
        other = {"model_id": "other", "model_sha256": "1" * 64}
        history.keep(tmp_path, reading(card, 0.9, **other), actor="anna")
        found = monitoring.watch(tmp_path, Query(), known)
        assert len(found.times) == 1 and not found.moved

    def test_looks_at_the_latest_films_in_steps(
        self, tmp_path, card, known, monkeypatch
    ):
        monkeypatch.setattr(monitoring, "MOST", 4)
        known = replace(known, films=None, reference=None)
        for looked_at in (1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4):
            history.keep(tmp_path, reading(card, 0.9), actor="anna")
            found = monitoring.watch(tmp_path, Query(), known)
            assert len(found.times) == looked_at
        assert found.times == search.series(tmp_path).time[8:]

    def test_a_model_without_held_out_films_is_watched_by_itself(self, card, known):
        alone = replace(known, films=None, reference=None)
        found = monitoring.watched(columns(card, 30), alone)
        assert found.place is None
        assert {d.against for d in found.drifts} == {EARLIER}
        assert UNANSWERED in {d.figure for d in found.drifts}

    def test_no_film_is_nothing(self, tmp_path, known):
        found = monitoring.watch(tmp_path, Query(), known)
        assert found.times == () and not found.moved


def test_only_takes_the_same_rows_of_all_columns(card):
    series = columns(card, 3)
    found = monitoring.only(series, [True, False, True])
    assert found.case_id == (series.case_id[0], series.case_id[2])
    assert found.probability == (series.probability[0], series.probability[2])
    assert len(found) == 2
