"""What a film weighs: both classes of a place alike, and no place more than home."""

from collections import Counter

import numpy as np
import pytest

from cxr.training.weights import film_weights


def weights_of(cells):
    """The weight of one film of each cell, by place and label, and all weights."""
    films = [cell for cell, n in cells.items() for _ in range(n)]
    labels = np.array([label for _, label in films], np.float32)
    weights = film_weights(labels, [place for place, _ in films])
    return dict(zip(films, weights.tolist(), strict=True)), weights


def naive(films):
    """The rule as a sentence for each film, from counts alone."""
    count = Counter(films)
    n_home = sum(n for (place, _), n in count.items() if not place)
    n_others = len(films) - n_home
    heaviest = max(n_home / 2 / count["", label] for label in (0, 1))

    def group(place):
        return place if count[place, 0] and count[place, 1] else "joined"

    joined = Counter()
    for (place, label), n in count.items():
        if place:
            joined[group(place), label] += n
    weights = []
    for place, label in films:
        if not place:
            weights.append(n_home / 2 / count["", label])
            continue
        name = group(place)
        sizes = [joined[name, c] for c in (0, 1) if joined[name, c]]
        share = sum(sizes) if n_others <= n_home else sum(sizes) * n_home / n_others
        share = min(share, *(2 * size * heaviest for size in sizes))
        weights.append(share / 2 / joined[name, label])
    return np.array(weights) / np.mean(weights)


@pytest.mark.parametrize("seed", range(40))
def test_are_those_of_the_rule_told_film_by_film(seed):
    rng = np.random.default_rng(seed)
    films = [("", 0), ("", 1)]
    for place in ("", "A", "B", "C", "D")[: rng.integers(1, 6)]:
        share = rng.choice([0, 0.02, 0.3, 1])
        films += [
            (place, int(rng.random() < share)) for _ in range(rng.integers(1, 300))
        ]
    rng.shuffle(films)
    films = [(str(place), int(label)) for place, label in films]
    labels = np.array([label for _, label in films], np.float32)
    weights = film_weights(labels, [place for place, _ in films])
    np.testing.assert_allclose(weights, naive(films), rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_home_has_half_and_no_film_elsewhere_more_than_its_heaviest(seed):
    rng = np.random.default_rng(seed)
    n = 600
    places = rng.choice(["", "A", "B", "C"], n, p=rng.dirichlet(np.ones(4)))
    labels = (rng.random(n) < rng.random()).astype(np.float32)
    places[:2], labels[:2] = "", (0, 1)
    weights = film_weights(labels, places.tolist())
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    home = places == ""
    assert weights[home].sum() >= n / 2 - 1e-3
    assert weights.max() == pytest.approx(weights[home].max())
    for place in np.unique(places):
        classes = [weights[(places == place) & (labels == c)].sum() for c in (0, 1)]
        if min(classes) > 0:
            assert classes[0] == pytest.approx(classes[1], rel=1e-4)


def test_of_home_alone_give_both_classes_the_same_sum():
    labels = np.array([[1], [1], [1], [0]], np.float32)
    weights = film_weights(labels, [""] * 4)
    assert (weights.shape, weights.dtype) == ((4,), np.float32)
    assert weights[:3].sum() == pytest.approx(weights[3]) == 2
    np.testing.assert_array_equal(film_weights(labels[2:], ["", ""]), [1, 1])


def test_a_small_place_counts_by_its_films_and_a_large_one_as_home_at_most():
    small, _ = weights_of({("", 0): 50, ("", 1): 50, ("A", 0): 10, ("A", 1): 10})
    assert set(small.values()) == {1}
    cells = {("", 0): 50, ("", 1): 50, ("A", 0): 5000, ("A", 1): 5000}
    large, weights = weights_of(cells)
    assert large["", 0] * 100 == pytest.approx(weights.sum() / 2)
    assert large["A", 0] == pytest.approx(large["", 0] / 100)


def test_places_of_one_class_balance_each_other():
    cells = {("", 0): 50, ("", 1): 50, ("A", 0): 30, ("B", 1): 10, ("C", 1): 10}
    each, _ = weights_of(cells)
    assert each["A", 0] * 30 == pytest.approx(20 * each["B", 1])
    assert each["B", 1] == each["C", 1]


def test_places_of_the_same_single_class_weigh_half():
    each, _ = weights_of({("", 0): 50, ("", 1): 50, ("A", 0): 30, ("B", 0): 10})
    assert each["A", 0] == each["B", 0] == pytest.approx(each["", 0] / 2)


def test_a_place_with_one_ill_patient_weighs_little_in_both_classes():
    cells = {("", 0): 20, ("", 1): 80, ("A", 0): 99, ("A", 1): 1}
    each, _ = weights_of(cells)
    assert each["A", 1] == pytest.approx(each["", 0])
    assert each["A", 0] * 99 == pytest.approx(each["A", 1])
