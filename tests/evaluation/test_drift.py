"""What is read has moved, or has not: a place that goes live with made-up films."""

import math

import numpy as np
import pytest

from cxr.evaluation import drift
from cxr.evaluation.drift import (
    BRIGHTNESS,
    CONTRAST,
    DISTANCE,
    EARLIER,
    LIMIT,
    MODEL,
    SCORE,
    UNANSWERED,
    Expected,
    Stream,
)
from cxr.evaluation.estimates import proportion

BEGINS = 1200


def stream(seed, *, n=2000, tone=0.0, ill=(0.3, 0.3), patients=None):
    """Films of a place; with film 1,200 tone and the share of the ill may change."""
    rng = np.random.default_rng(seed)
    late = np.arange(n) >= BEGINS
    sick = rng.random(n) < np.where(late, ill[1], ill[0])
    logits = np.where(sick, rng.normal(4, 2, n), rng.normal(-4, 1.5, n))
    grown = tone * np.clip((np.arange(n) - BEGINS) / 300, 0, 1)
    return Stream(
        logits=logits,
        distance=rng.normal(-24, 7, n) - grown,
        unanswered=np.abs(logits) < 0.5,
        brightness=rng.normal(123, 19, n) - 23 * grown,
        contrast=rng.normal(57, 10, n) - 9 * grown,
        patients=patients,
    )


def by_figure(found):
    return {(each.figure, each.against): each for each in found}


def firsts(seed, **changes):
    """The film, from 0, with which anything was said first; None for never."""
    said = [d.said_at for d in drift.drifts(stream(seed, **changes), threshold=0.0)]
    return min((at for at in said if at is not None), default=None)


def test_a_slipping_tone_is_said_within_200_films_and_never_before():
    said = [firsts(seed, tone=1.3) for seed in range(20)]
    early = [at for at in said if at is not None and at < BEGINS]
    assert len(early) <= 1
    assert all(at is not None and at < BEGINS + 200 for at in said)


def test_nothing_is_said_where_nothing_changes():
    assert sum(firsts(seed) is not None for seed in range(20)) <= 1


def test_a_statement_has_its_date_and_both_levels():
    found = by_figure(drift.drifts(stream(1, tone=1.0), threshold=0.0))
    tone = found[BRIGHTNESS, EARLIER]
    assert tone.moved and tone.e_value >= tone.limit == LIMIT
    assert BEGINS <= tone.since <= tone.said_at < BEGINS + 200
    values = stream(1, tone=1.0).brightness
    assert tone.before.median == np.median(values[: tone.since])
    assert tone.after.median == np.median(values[tone.since :])
    assert tone.before.films + tone.after.films == 2000 == tone.films
    assert math.isnan(tone.before.share.value)
    scores = found[SCORE, EARLIER]
    assert not scores.moved
    assert (scores.since, scores.after, scores.before.films) == (None, None, 2000)


def test_more_ill_patients_move_scores_and_leave_the_tone():
    found = by_figure(drift.drifts(stream(2, ill=(0.2, 0.5)), threshold=0.0))
    scores = found[SCORE, EARLIER]
    assert scores.moved
    assert not found[BRIGHTNESS, EARLIER].moved and not found[CONTRAST, EARLIER].moved
    logits = stream(2, ill=(0.2, 0.5)).logits
    above = logits[scores.since :] >= 0
    assert scores.after.share == proportion(above, np.ones_like(above), None)
    median = 1 / (1 + math.exp(-np.median(logits[scores.since :])))
    assert scores.after.median == pytest.approx(median)


class TestAgainstTheModel:
    def home(self):
        films = stream(99, n=1000)
        labels = (films.logits > 0).astype(int)
        return Expected(
            unanswered=drift.larger_share(labels, films.unanswered),
            films=1000,
            far=drift.far(labels, films.distance),
        )

    def test_films_that_lie_further_out_are_said(self):
        films = stream(3, n=400)
        odd = Stream(**{**vars(films), "distance": films.distance + 14})
        found = by_figure(drift.drifts(odd, threshold=0.0, home=self.home()))
        away = found[DISTANCE, MODEL]
        assert away.moved and away.since < 50
        assert away.before.share == self.home().far.share
        assert away.after.share.value > 0.3
        assert not found[DISTANCE, EARLIER].moved

    def test_another_share_of_ill_patients_is_no_change(self):
        for ill in (0.05, 0.95):
            films = stream(4, ill=(ill, ill))
            found = drift.drifts(films, threshold=0.0, home=self.home())
            assert not any(each.moved for each in found)

    def test_more_films_without_an_answer_are_said(self):
        films = stream(5, n=600)
        more = films.unanswered | (np.arange(600) % 4 == 0)
        found = by_figure(
            drift.drifts(
                Stream(**{**vars(films), "unanswered": more}),
                threshold=0.0,
                home=self.home(),
            )
        )
        assert found[UNANSWERED, MODEL].moved and not found[UNANSWERED, EARLIER].moved

    def test_without_the_gate_there_is_no_distance(self):
        home = Expected(unanswered=self.home().unanswered, films=1000)
        found = by_figure(drift.drifts(stream(6, n=50), threshold=0.0, home=home))
        assert (DISTANCE, MODEL) not in found and (UNANSWERED, MODEL) in found


def test_the_odder_class_and_its_distance_are_those_of_a_loop():
    rng = np.random.default_rng(8)
    labels, distance = rng.integers(0, 2, 300), rng.normal(size=300)
    distance[labels == 1] += 1
    found = drift.far(labels, distance)
    limits, hits = [], {}
    for label in (0, 1):
        own = sorted(d for d, y in zip(distance, labels, strict=True) if y == label)
        at = 0.95 * (len(own) - 1)
        low = own[int(at)]
        limits.append(low + (at % 1) * (own[int(at) + 1] - low))
    assert found.distance == pytest.approx(max(limits))
    for label in (0, 1):
        own = [
            d > found.distance
            for d, y in zip(distance, labels, strict=True)
            if y == label
        ]
        hits[label] = sum(own) / len(own)
    assert found.share.value == max(hits.values())


def test_a_patient_counts_once():
    patients = np.arange(2000) // 4
    films = stream(7, patients=patients)
    assert films.firsts().tolist() == list(range(0, 2000, 4))
    for found in drift.drifts(films, threshold=0.0):
        assert found.films == 500


def test_films_without_a_figure_are_left_out_of_its_test():
    films = stream(8, tone=1.0)
    gone = np.where(np.arange(2000) % 2, np.nan, films.brightness)
    found = drift.drifts(Stream(**{**vars(films), "brightness": gone}), threshold=0.0)
    tone = by_figure(found)[BRIGHTNESS, EARLIER]
    assert tone.films == 1000 and tone.said_at % 2 == 0 and tone.since % 2 == 0


def test_no_film_at_all_says_nothing():
    nothing = Stream(**{k: v[:0] for k, v in vars(stream(0)).items() if v is not None})
    for found in drift.drifts(nothing, threshold=0.0):
        assert (found.films, found.e_value, found.moved) == (0, 1.0, False)
        assert (found.before, found.after) == (None, None)
