"""The fit of the gate, on made-up films of two places and features that tell them."""

import numpy as np
import pytest

from cxr.models.lungs import SIZE
from cxr.models.novelty import KINDS, frontal_logits
from cxr.training import gate
from cxr.training.gate import HOME, PlaceFilms


def films_at(level, n, seed):
    """Films with a bright lower half; their tone says where they are from."""
    rng = np.random.default_rng(seed)
    film = np.full((SIZE, SIZE), level, np.float64)
    film[SIZE // 2 :] += 70
    film[:, : SIZE // 2] += 20
    drawn = film + rng.normal(0, 4, (n, SIZE, SIZE))
    patients = np.array([f"{level}-{i // 2}" for i in range(n)])
    films = np.clip(drawn, 0, 255).astype(np.uint8)
    return PlaceFilms(films=films, patients=patients)


def features(pictures):
    """Means of a grid of 4 by 4, and the overall contrast."""
    grid = pictures.reshape(len(pictures), 4, SIZE // 4, 4, SIZE // 4).mean(axis=(2, 4))
    spread = pictures.std(axis=(1, 2))[:, None]
    return np.concatenate([grid.reshape(len(pictures), -1), spread], axis=1)


@pytest.fixture(scope="module")
def parts():
    splits = ("train", "validation", "calibration", "test")
    return {
        split: {HOME: films_at(40, 60, i), "elsewhere": films_at(110, 40, 10 + i)}
        for i, split in enumerate(splits)
    }


@pytest.fixture(scope="module")
def fitted(parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "DRAWS", 60)
        patch.setattr(gate, "TEST_DRAWS", 30)
        return gate.fit(parts, features, seed=1)


def test_it_lets_films_pass_and_refuses_most_other_pictures(fitted):
    _, record = fitted
    assert record.false_refusals[HOME].value <= 0.1
    assert record.false_refusals["elsewhere"].value <= 0.15
    for name in ("sideways", "upside down", "inverted"):
        assert record.refused[name].value >= 0.9, name
    assert set(record.films) == set(KINDS)
    assert record.films["alike"] == 120 and record.films["unlike"] == 120


def test_it_tells_the_places_apart(fitted):
    _, record = fitted
    assert record.unlike[HOME].value <= 0.1
    assert record.unlike["elsewhere"].value >= 0.9
    assert record.source == "elsewhere"


def test_the_threshold_is_the_quantile_of_the_worst_place(fitted, parts):
    ours, record = fitted
    lowest = []
    for place, share in ((HOME, 0.005), ("elsewhere", 0.03)):
        films = [*parts["validation"][place].films, *parts["calibration"][place].films]
        logits = frontal_logits(ours.scores(features(np.float32(films))))
        lowest.append(np.quantile(logits, share))
    assert record.least_frontal == pytest.approx(min(lowest))


def test_without_another_place_nothing_is_unlike(parts):
    home = {split: {HOME: places[HOME]} for split, places in parts.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "DRAWS", 20)
        patch.setattr(gate, "TEST_DRAWS", 10)
        _, record = gate.fit(home, features, seed=1)
    assert record.unlike[HOME].value == 0
    assert record.source == "none"
