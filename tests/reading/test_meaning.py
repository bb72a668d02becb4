"""What an answer means at a prevalence, and what a threshold costs there."""

import math

import numpy as np
import pytest

from cxr.evaluation.estimates import Estimate, wilson
from cxr.evaluation.scores import Scores
from cxr.models.cards import UncertainBand
from cxr.reading import meaning
from cxr.reading.cases import NO_ANSWER
from cxr.records.kept import ABOVE, BELOW

THRESHOLD = 0.3
BAND = UncertainBand(below=1.0, above=0.5, rule="as measured")


@pytest.fixture
def scores():
    """300 films, each of a patient of its own; the ill ones score higher."""
    rng = np.random.default_rng(2)
    labels = np.repeat([1, 0], [100, 200])
    logits = rng.normal(np.where(labels == 1, 0.8, -2.0), 1.5)
    return table(labels, 1 / (1 + np.exp(-logits)), [f"p{i}" for i in range(300)])


def table(labels, probabilities, patients):
    """Scores with these columns."""
    n = len(labels)
    return Scores(
        names=("",) * n,
        sha256=("",) * n,
        patients=tuple(patients),
        labels=np.asarray(labels, np.int64),
        logits=np.zeros(n),
        probabilities=np.asarray(probabilities, float),
        subtypes=("",) * n,
    )


def answer(probability):
    """The answer to one film, film by film, as a reader has it."""
    low, high = BAND.around(THRESHOLD)
    if probability >= high:
        return ABOVE
    return NO_ANSWER if probability >= low else BELOW


class TestAnswers:
    def test_are_the_shares_counted_film_by_film(self, scores):
        found = meaning.answers(scores, BAND, THRESHOLD)
        for label, shares in ((1, found.ill), (0, found.well)):
            films = scores.probabilities[scores.labels == label]
            for name in meaning.SCORED:
                hits = sum(answer(p) == name for p in films)
                low, high = wilson(hits, len(films))
                assert shares[name].value == pytest.approx(hits / len(films))
                assert shares[name].low <= low + 1e-12
                assert shares[name].high >= high - 1e-12
        assert (found.n_ill, found.n_well, found.n_patients) == (100, 200, 300)
        assert sum(share.value for share in found.ill.values()) == pytest.approx(1)

    def test_films_of_one_patient_widen_the_intervals(self, scores):
        patients = [f"p{i // 4}" for i in range(300)]
        same = table(scores.labels, scores.probabilities, patients)
        alone = meaning.answers(scores, BAND, THRESHOLD).ill[BELOW]
        grouped = meaning.answers(same, BAND, THRESHOLD).ill[BELOW]
        assert grouped.value == alone.value
        assert grouped.high - grouped.low > alone.high - alone.low

    def test_without_a_band_no_film_is_left_without_an_answer(self, scores):
        bare = UncertainBand(below=0.0, above=0.0, rule="none")
        found = meaning.answers(scores, bare, THRESHOLD)
        assert found.ill[NO_ANSWER].value == found.well[NO_ANSWER].value == 0
        assert math.isnan(found.likelihood_ratio(NO_ANSWER).value)


class TestLikelihoodRatio:
    def test_is_the_share_of_the_ill_over_that_of_the_well(self, scores):
        found = meaning.answers(scores, BAND, THRESHOLD)
        for name in meaning.SCORED:
            ratio = found.likelihood_ratio(name)
            expected = found.ill[name].value / found.well[name].value
            assert ratio.value == pytest.approx(expected)
            assert ratio.low < ratio.value < ratio.high


class TestCosts:
    def test_count_1000_patients(self, scores):
        found = meaning.answers(scores, BAND, THRESHOLD)
        costs = found.costs(prevalence=0.2)
        assert costs.missed.value == pytest.approx(200 * found.ill[BELOW].value)
        assert costs.alarms.value == pytest.approx(800 * found.well[ABOVE].value)
        none = 200 * found.ill[NO_ANSWER].value + 800 * found.well[NO_ANSWER].value
        assert costs.no_answer.value == pytest.approx(none)
        for cost in (costs.missed, costs.alarms, costs.no_answer):
            assert cost.low < cost.value < cost.high

    @pytest.mark.parametrize("prevalence", [0, 1, -0.1, math.nan])
    def test_need_a_share_between_none_and_all(self, scores, prevalence):
        found = meaning.answers(scores, BAND, THRESHOLD)
        with pytest.raises(ValueError, match="prevalence"):
            found.costs(prevalence=prevalence)


class TestProbabilityAfter:
    def test_is_that_of_the_patients_who_get_the_answer(self, scores):
        # Of 10,000 patients of this prevalence, the share of the ill among those
        # above the threshold.
        found = meaning.answers(scores, BAND, THRESHOLD)
        ill, well = 1000 * found.ill[ABOVE].value, 9000 * found.well[ABOVE].value
        after = meaning.probability_after(0.1, found.likelihood_ratio(ABOVE))
        assert after.value == pytest.approx(ill / (ill + well))
        assert after.low < after.value < after.high

    def test_a_ratio_of_1_changes_nothing(self):
        one = Estimate(value=1.0, low=1.0, high=1.0)
        assert meaning.probability_after(0.3, one).value == pytest.approx(0.3)

    def test_an_infinite_ratio_leaves_no_doubt_but_its_interval(self):
        endless = Estimate(value=math.inf, low=8.0, high=math.inf)
        after = meaning.probability_after(0.2, endless)
        assert (after.value, after.low) == (1.0, pytest.approx(2 / 3))
