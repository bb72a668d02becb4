"""What the scale of a reading says."""

import pytest

from cxr.models.inference import NORMAL, PNEUMONIA, UNCERTAIN
from ui import charts


def labels(probability, band, decision):
    """The writing on a scale."""
    scale = charts.probability_scale(
        probability, threshold=0.2, band=band, decision=decision, ink="#fff"
    )
    return {note.text for note in scale.layout.annotations}


def test_the_zone_without_an_answer_has_its_name():
    assert "no answer" in labels(0.9, (0.05, 0.4), PNEUMONIA)


@pytest.mark.parametrize(
    ("probability", "band", "decision"),
    [(0.3, (0.05, 0.4), UNCERTAIN), (0.9, (0.2, 0.2), PNEUMONIA)],
)
def test_a_film_in_it_or_a_zone_without_width_has_none(probability, band, decision):
    assert "no answer" not in labels(probability, band, decision)


def test_the_probability_and_the_threshold_are_labelled():
    shown = labels(0.01, (0.05, 0.4), NORMAL)
    assert {"<b>0.01</b>", "threshold 0.20"} <= shown
