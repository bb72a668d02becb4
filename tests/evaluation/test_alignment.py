"""A threshold that travels: found where films can tell, doubted where they can't."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cxr.evaluation import alignment, kinds
from cxr.evaluation.alignment import CONTRADICTED, FAR, FEW, SHARE

THRESHOLD = -1.5


def home_films(rng, n=900, ill=0.5):
    """Labels and logits of the films at home: two bells."""
    labels = (rng.random(n) < ill).astype(int)
    return labels, np.where(labels == 1, rng.normal(6, 3, n), rng.normal(-4, 1.6, n))


@pytest.fixture(scope="module")
def home():
    labels, logits = home_films(np.random.default_rng(0))
    return alignment.reference(labels, logits, threshold=THRESHOLD)


def site(seed, *, n=300, ill=0.2, shift=0.0, scale=1.0):
    """Logits of the films of another place."""
    _, logits = home_films(np.random.default_rng(seed), n, ill)
    return shift + scale * logits


class TestReference:
    def test_densities_hold_every_film(self, home):
        step = home.home.at[1] - home.home.at[0]
        for density in (home.home.normal, home.home.ill):
            assert density.sum() * step == pytest.approx(1, abs=0.01)

    def test_films_of_fewer_patients_leave_more_doubt_about_the_place(self):
        labels, logits = home_films(np.random.default_rng(3), 400)
        order = np.lexsort((logits, labels))  # films of a patient are alike
        films = labels[order], logits[order]
        alone = alignment.reference(*films, threshold=THRESHOLD)
        together = alignment.reference(
            *films, threshold=THRESHOLD, groups=np.arange(400) // 8
        )
        assert together.spread > 1.5 * alone.spread

    def test_both_classes_are_needed(self):
        with pytest.raises(ValueError, match="both classes"):
            alignment.reference([1, 1], [0.1, 0.2], threshold=0.0)


class TestFit:
    @pytest.mark.parametrize(
        ("shift", "scale", "ill"),
        [(0.0, 1.0, 0.2), (1.2, 1.0, 0.1), (1.5, 0.8, 0.6), (-0.8, 1.1, 0.05)],
    )
    def test_finds_shift_and_share(self, home, shift, scale, ill):
        held = 0
        for seed in range(8):
            logits = site(seed, ill=ill, shift=shift, scale=scale)
            found = alignment.fit(home, logits, threshold=THRESHOLD)
            place = shift + scale * THRESHOLD
            assert found.threshold.value == pytest.approx(place, abs=0.5)
            assert found.share.value == pytest.approx(ill, abs=0.12)
            assert found.doubts == ()
            held += found.threshold.low <= place <= found.threshold.high
        assert held >= 6

    def test_is_the_mean_of_a_grid_that_loops_compute(self, home, monkeypatch):
        shifts, scales = np.array([-0.5, 0.0, 0.7]), np.array([0.8, 1.0])
        monkeypatch.setattr(alignment, "_SHIFTS", shifts)
        monkeypatch.setattr(alignment, "_SCALES", scales)
        logits = site(5, n=110, shift=0.4)
        found = alignment.fit(home, logits, threshold=THRESHOLD, share=(0.1, 0.4))
        weights, thresholds, odds = [], [], []
        known = home.home
        for a in shifts:
            for b in scales:
                for p in alignment._shares(0.1, 0.4):
                    log = -((a / 2) ** 2) / 2 - (math.log(b) / 0.25) ** 2 / 2
                    for x in (logits - a) / b:
                        ill = np.interp(x, known.at, known.ill)
                        normal = np.interp(x, known.at, known.normal)
                        log += math.log((p * ill + (1 - p) * normal) / b)
                    weights.append(log)
                    thresholds.append(a + b * THRESHOLD)
                    odds.append(math.log(p / (1 - p)))
        weights = np.exp(np.array(weights) - max(weights))
        mean = np.average(thresholds, weights=weights)
        assert found.threshold.value == pytest.approx(mean, abs=1e-4)
        share = 1 / (1 + math.exp(-np.average(odds, weights=weights)))
        assert found.share.value == pytest.approx(share, abs=1e-4)

    def test_films_of_few_patients_say_less(self, home):
        logits = np.repeat(site(9, n=50, shift=0.5), 6)
        alone = alignment.fit(home, logits, threshold=THRESHOLD)
        groups = np.repeat(np.arange(50), 6)
        grouped = alignment.fit(home, logits, threshold=THRESHOLD, groups=groups)
        assert (grouped.films, grouped.patients) == (300, 50)
        width = grouped.threshold.high - grouped.threshold.low
        assert width > 1.3 * (alone.threshold.high - alone.threshold.low)

    def test_doubt_about_films_at_home_is_doubt_about_the_share(self, home):
        logits = site(7, ill=0.05)
        sure = replace(home, well_spread=0.0, ill_spread=0.0)
        unsure = replace(home, well_spread=0.03, ill_spread=0.0)
        widths = [
            found.share.high - found.share.low
            for found in (
                alignment.fit(known, logits, threshold=THRESHOLD)
                for known in (sure, home, unsure)
            )
        ]
        assert widths[0] < widths[1] < widths[2]
        assert 0 < home.well_spread < 0.03

    def test_a_stated_range_is_kept(self, home):
        logits = site(2, ill=0.4)
        found = alignment.fit(home, logits, threshold=THRESHOLD, share=(0.02, 0.1))
        assert 0.02 <= found.share.value <= 0.1

    @pytest.mark.parametrize("share", [(0.4, 0.2), (0.0, 0.5), (0.5, 1.0)])
    def test_a_range_that_is_none_is_refused(self, home, share):
        with pytest.raises(ValueError, match="range"):
            alignment.fit(home, site(1), threshold=THRESHOLD, share=share)


class TestKinds:
    """A model that knows two kinds of place: at the other one scores spread wider."""

    @pytest.fixture
    def both(self, home):
        labels, logits = self.elsewhere(np.random.default_rng(11), 900, 0.4)
        return replace(home, others=(kinds.kind(labels, logits),))

    @staticmethod
    def elsewhere(rng, n, ill):
        labels = (rng.random(n) < ill).astype(int)
        tail = rng.choice([-3.5, 0.5], n, p=[0.8, 0.2])
        return labels, np.where(
            labels == 1, rng.normal(3, 2, n), tail + 0.5 * rng.normal(0, 1, n)
        )

    def test_films_like_the_other_kind_leave_the_threshold_where_it_is(
        self, home, both
    ):
        for seed in range(5):
            _, logits = self.elsewhere(np.random.default_rng(seed), 400, 0.1)
            alone = alignment.fit(home, logits, threshold=THRESHOLD)
            found = alignment.fit(both, logits, threshold=THRESHOLD)
            assert found.kind == 1
            assert found.threshold.value == pytest.approx(THRESHOLD, abs=0.3)
            assert abs(alone.threshold.value - THRESHOLD) > 0.5

    def test_films_like_those_at_home_are_told_as_before(self, home, both):
        logits = site(3, shift=0.6)
        alone = alignment.fit(home, logits, threshold=THRESHOLD)
        found = alignment.fit(both, logits, threshold=THRESHOLD)
        assert found.kind == 0
        assert found.threshold.value == pytest.approx(alone.threshold.value, abs=0.05)


class TestDoubts:
    def test_few_films(self, home):
        found = alignment.fit(home, site(1, n=99), threshold=THRESHOLD)
        assert FEW in found.doubts
        found = alignment.fit(home, site(1, n=100), threshold=THRESHOLD)
        assert FEW not in found.doubts

    def test_films_that_lie_too_far(self, home):
        found = alignment.fit(home, site(1, shift=5.0), threshold=THRESHOLD)
        assert FAR in found.doubts

    def test_films_that_are_no_mixture_of_both_kinds(self, home):
        logits = np.random.default_rng(1).choice([-3.0, -2.0, -1.0], 400)
        found = alignment.fit(home, logits, threshold=THRESHOLD)
        assert CONTRADICTED in found.doubts

    def test_what_only_a_test_of_many_films_sees_is_no_contradiction(self, home):
        logits = site(1, n=4000, ill=0.2)
        bent = np.where(logits < -4, logits - 0.4, logits)
        found = alignment.fit(home, bent, threshold=THRESHOLD)
        assert found.fit_p < alignment.LEAST_FIT
        assert CONTRADICTED not in found.doubts
        assert found.threshold.value == pytest.approx(THRESHOLD, abs=0.4)

    def test_a_share_that_the_scores_cannot_tell(self):
        rng = np.random.default_rng(4)
        labels = np.repeat([0, 1], 400)
        near = rng.normal(np.where(labels == 1, 0.3, -0.3), 2.0)
        blurred = alignment.reference(labels, near, threshold=0.0)
        found = alignment.fit(blurred, rng.normal(0, 2.0, 120), threshold=0.0)
        assert SHARE in found.doubts
