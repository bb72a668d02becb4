"""The second opinion: bacterial or viral, under the binary answer."""

import numpy as np
import pytest

from cxr.errors import ModelError
from cxr.models import subtypes

CHANNELS = 6


def films(n, seed, apart=2.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4 > 0
    bacterial = np.arange(n) % 3 > 0
    pooled = rng.normal(3, 1, (n, CHANNELS)).astype(np.float32)
    pooled[:, 0] += apart * bacterial
    pooled[:, 5] = 1.0  # a feature that never changes
    kinds = [
        None if not ill else "bacterial" if b else "viral"
        for ill, b in zip(labels, bacterial, strict=True)
    ]
    patients = [f"p{i // 2}" for i in range(n)]
    return subtypes.of_films(pooled, labels.astype(int), kinds, patients)


@pytest.fixture(scope="module")
def fitted():
    names = ("train", "validation", "calibration", "test")
    return subtypes.fit(**{name: films(240, i) for i, name in enumerate(names)})


def test_only_films_with_pneumonia_of_a_known_kind_count():
    found = subtypes.of_films(
        np.arange(8, dtype=np.float32).reshape(4, 2),
        np.array([0, 1, 1, 1]),
        [None, "viral", None, "bacterial"],
        list("abcd"),
    )
    assert found.bacterial.tolist() == [0, 1]
    assert found.patients.tolist() == ["b", "d"]
    assert found.pooled[:, 0].tolist() == [2, 6]


def test_head_tells_the_kinds_apart_and_says_how_well(fitted):
    head, record = fitted
    assert head.weights.shape == (CHANNELS,)
    assert 0.85 < record.auc.low < record.auc.value < record.auc.high <= 1
    assert (record.bacterial, record.viral) == (120, 60)
    unseen = films(400, 9)
    share = head.bacterial_share(unseen.pooled)
    assert share[unseen.bacterial == 1].mean() > 0.75
    # Calibrated: as many are bacterial as it says.
    assert share.mean() == pytest.approx(unseen.bacterial.mean(), abs=0.05)


def test_kinds_that_can_not_be_told_apart_are_not(fitted):
    names = ("train", "validation", "calibration", "test")
    parts = {name: films(240, 20 + i, apart=0) for i, name in enumerate(names)}
    _, record = subtypes.fit(**parts)
    assert record.auc.low < 0.5 < record.auc.high


def test_too_few_of_a_kind_give_no_second_opinion():
    parts = {n: films(240, 1) for n in ("train", "validation", "calibration")}
    assert subtypes.fit(**parts, test=films(40, 2)) is None


def test_head_comes_back_from_its_file(fitted):
    head, _ = fitted
    again = subtypes.read(head.to_bytes(), CHANNELS)
    np.testing.assert_array_equal(again.weights, head.weights)
    assert again.bias == head.bias


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_file_that_holds_no_head_is_a_named_error(content):
    with pytest.raises(ModelError, match="is damaged"):
        subtypes.read(content, CHANNELS)


def test_head_for_other_features_or_of_no_numbers_is_refused(fitted):
    head, _ = fitted
    with pytest.raises(ModelError):
        subtypes.read(head.to_bytes(), CHANNELS + 1)
    broken = subtypes.SubtypeHead(weights=np.full(CHANNELS, np.nan), bias=0.0)
    with pytest.raises(ModelError):
        subtypes.read(broken.to_bytes(), CHANNELS)


def test_extreme_features_give_a_share_and_no_warning(fitted):
    head, _ = fitted
    share = head.bacterial_share(np.full((1, CHANNELS), 1e6, np.float32))
    assert 0 <= share[0] <= 1
