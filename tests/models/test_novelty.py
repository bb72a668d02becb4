"""The gate: logits of kinds, what it makes of them, and a file that is whole."""

import numpy as np
import pytest

from cxr.errors import ModelError
from cxr.models import novelty
from cxr.models.novelty import KINDS, Gate


def gate(channels=5, units=4, seed=0):
    rng = np.random.default_rng(seed)
    return Gate(
        mean=rng.normal(size=channels),
        spread=rng.uniform(0.5, 2, channels),
        hidden=rng.normal(size=(channels, units)),
        hidden_bias=rng.normal(size=units),
        output=rng.normal(size=(units, len(KINDS))),
        output_bias=rng.normal(size=len(KINDS)),
    )


def naive(gate, film):
    """The six probabilities of one film, one number after the other."""
    z = [
        min(max((x - m) / s, -8), 8)
        for x, m, s in zip(film, gate.mean, gate.spread, strict=True)
    ]
    units = [
        max(0, sum(z[i] * gate.hidden[i][j] for i in range(len(z))) + bias)
        for j, bias in enumerate(gate.hidden_bias)
    ]
    logits = [
        sum(units[j] * gate.output[j][k] for j in range(len(units))) + bias
        for k, bias in enumerate(gate.output_bias)
    ]
    odds = np.exp(logits)
    return odds / odds.sum()


def test_says_what_a_naive_softmax_says():
    ours, films = gate(), np.random.default_rng(1).normal(size=(40, 5)) * 3
    for said, film in zip(ours(films), films, strict=True):
        chances = naive(ours, film)
        frontal = chances[0] + chances[1]
        assert said.frontal == pytest.approx(np.log(frontal / (1 - frontal)))
        assert said.unlike == pytest.approx(np.log(chances[1] / chances[0]))
        assert said.otherwise == KINDS[2 + np.argmax(chances[2:])]


def test_a_feature_far_out_says_no_more_than_one_at_the_limit():
    ours = gate()
    far, limit = np.full((1, 5), 1e9), ours.mean + 8 * ours.spread
    np.testing.assert_allclose(ours.scores(far), ours.scores(limit[np.newaxis]))


def test_a_file_holds_a_gate():
    films = np.random.default_rng(2).normal(size=(9, 5))
    again = novelty.read(gate().to_bytes())
    np.testing.assert_allclose(again.scores(films), gate().scores(films), atol=1e-4)


def broken(**changes):
    parts = {name: getattr(gate(), name) for name in novelty._ARRAYS}
    return Gate(**parts | changes).to_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        gate().to_bytes()[:200],
        broken(spread=np.zeros(5)),
        broken(mean=np.zeros(4)),
        broken(output=np.zeros((4, 5))),
        broken(hidden_bias=np.array([0, np.nan, 0, 0])),
    ],
)
def test_a_file_that_is_damaged_is_named(content):
    with pytest.raises(ModelError) as raised:
        novelty.read(content)
    assert raised.value.code == "damaged-lungs"
