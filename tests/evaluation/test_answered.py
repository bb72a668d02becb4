"""Three answers, counted film by film."""

import math

import numpy as np
import pytest
from naive_metrics import films, share

from cxr.evaluation.answered import three_answers
from cxr.evaluation.operating import Confusion


def naive(labels, scores, low, high):
    counts = {(y, a): 0 for y in (0, 1) for a in ("below", "none", "above")}
    for y, s in zip(labels, scores, strict=True):
        counts[y, "below" if s < low else "none" if s < high else "above"] += 1
    return counts


@pytest.mark.parametrize("band", [(0.3, 0.6), (0.5, 0.5), (0.0, 1.0), (0.9, 0.95)])
@pytest.mark.parametrize("decimals", [None, 1])
def test_are_those_of_a_loop(band, decimals):
    labels, scores, patients = films(decimals=decimals)
    found = three_answers(labels, scores, band=band, groups=patients)
    c = naive(labels, scores, *band)
    well, ill = (
        sum(c[y, answer] for answer in ("below", "none", "above")) for y in (0, 1)
    )
    assert found.confusion == Confusion(
        tn=c[0, "below"], fp=c[0, "above"], fn=c[1, "below"], tp=c[1, "above"]
    )
    assert found.n_no_answer == (c[0, "none"], c[1, "none"])
    assert found.no_answer.value == (c[0, "none"] + c[1, "none"]) / labels.size
    assert found.no_answer_well.value == c[0, "none"] / well
    assert found.no_answer_ill.value == c[1, "none"] / ill
    expected = share(c[1, "above"], c[1, "above"] + c[1, "below"])
    assert found.sensitivity.value == pytest.approx(expected, nan_ok=True)
    expected = share(c[0, "below"], c[0, "above"] + c[0, "below"])
    assert found.specificity.value == pytest.approx(expected, nan_ok=True)


def test_a_band_without_width_answers_every_film():
    labels, scores, _ = films()
    found = three_answers(labels, scores, band=(0.5, 0.5))
    assert found.no_answer.value == 0 < found.no_answer.high
    assert found.sensitivity.value == (scores[labels == 1] >= 0.5).mean()


def test_where_no_film_gets_an_answer_the_rates_are_undefined():
    found = three_answers([0, 1], [0.5, 0.5], band=(0.4, 0.6))
    assert math.isnan(found.sensitivity.value) and math.isnan(found.specificity.value)


@pytest.mark.parametrize("band", [(0.6, 0.3), (math.nan, 0.5), (0.5, math.nan)])
def test_edges_out_of_order_are_refused(band):
    with pytest.raises(ValueError, match="lower and an upper edge"):
        three_answers([0, 1], np.array([0.2, 0.8]), band=band)
