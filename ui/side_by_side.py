"""Two models on the same films in words and as a table, for Dashboard and Models."""

import math
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.evaluation.estimates import Estimate
from cxr.governance import comparison
from cxr.governance.comparison import SideBySide
from cxr.models import registry
from ui import wording
from ui.signatures import Signature, signature

SIGNIFICANT = 0.05
# Of the three answers, what has a paired difference.
UNANSWERED = ("no_answer", "no_answer_well", "no_answer_ill")
MINUS = "\N{MINUS SIGN}"
INTERVALS = (
    "With 95 % intervals; those of differences are paired and clustered by patient. A "
    "difference without one is not tested."
)


def of_models(first: str, second: str) -> SideBySide:
    """Returns two models on the films that were held out from both.

    Raises:
        ModelError: a file of one of them was changed.
        CxrError: the two were not tested on common films.
    """
    models_dir = settings().models_dir
    folders = (registry.folder_of(models_dir, name) for name in (first, second))
    return _side_by_side(signature(*folders), models_dir, first, second)


def rows(both: SideBySide) -> list[dict[str, str]]:
    """Returns a row for each metric: its name, both models' values, the difference."""
    (first, a), (second, b) = both.comparison.evaluations.items()
    return [
        {
            "metric": label,
            first: wording.estimate(getattr(a, field)),
            second: wording.estimate(getattr(b, field)),
            "difference": _difference(
                getattr(a, field).value - getattr(b, field).value,
                both.differences.get(field),
            ),
        }
        for label, field in wording.METRICS.items()
    ] + [
        {
            "metric": label,
            first: wording.estimate(wording.answered(a, field)),
            second: wording.estimate(wording.answered(b, field)),
            "difference": _difference(
                wording.answered(a, field).value - wording.answered(b, field).value,
                both.differences.get(field) if field in UNANSWERED else None,
            ),
        }
        for label, field in wording.ANSWERED.items()
    ]


def test_films_differ(both: SideBySide) -> str:
    """Returns how many films only one was tested on; empty where they are the same."""
    films, tested = both.comparison.films, both.comparison.tested
    if all(number == films for number in tested.values()):
        return ""
    counts = " and ".join(f"{name} on {number:,}" for name, number in tested.items())
    return (
        f"Their test films differ: {counts}. Only the {films:,} that both were tested "
        "on are compared, so figures can differ from those on the cards."
    )


def ranking(both: SideBySide) -> str:
    """Returns how far the two rank films differently, and if chance can do that."""
    first, second = both.comparison.evaluations
    auc = both.comparison.auc
    value = auc.difference.value
    return (
        f"The AUC differs by {_difference(value, auc.difference)}: "
        f"{_finding(auc.p_value, value, first, second)} "
        f"Paired test of DeLong ({auc.method})."
    )


def decisions(both: SideBySide) -> str:
    """Returns on how many films only one was right, and if chance can do that."""
    first, second = both.comparison.evaluations
    tested = both.comparison.decisions
    more = tested.only_a_right - tested.only_b_right
    return (
        f"Only {first} was right on {tested.only_a_right:,} films, only {second} on "
        f"{tested.only_b_right:,}: {_finding(tested.p_value, more, first, second)} "
        f"Paired test of decisions ({tested.method})."
    )


@st.cache_data(max_entries=16, show_spinner="Comparing the two on the same films")
def _side_by_side(
    files: Signature, models_dir: Path, first: str, second: str
) -> SideBySide:
    return comparison.side_by_side(models_dir, first, second)


def _difference(value: float, paired: Estimate | None) -> str:
    if paired is None:
        return _signed(value)
    return f"{_signed(paired.value)} ({_signed(paired.low)} to {_signed(paired.high)})"


def _signed(value: float) -> str:
    if math.isnan(value):
        return wording.NOT_MEASURED
    return f"{value:+.3f}".replace("-", MINUS)


def _finding(p_value: float, difference: float, first: str, second: str) -> str:
    if math.isnan(p_value):
        return "not testable on these films."
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    if p_value >= SIGNIFICANT:
        return f"chance alone can explain it ({p})."
    return f"in favour of {first if difference > 0 else second} ({p})."
