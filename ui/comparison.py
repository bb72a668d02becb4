"""Two registered models on the films that were held out from both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr import evaluation, promotion, registry, validation
from cxr.config import settings
from cxr.evaluation import Estimate, ReliabilityCurve
from cxr.scores import shared_rows
from cxr.validation import Comparison
from ui import model_charts, wording
from ui.metrics_table import METRICS, whole
from ui.registry import Registered, Signature, signature
from ui.wording import escaped

MINUS = "\N{MINUS SIGN}"
SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Two models on the same films.

    Attributes:
        comparison: figures of both and the paired tests.
        differences: first minus second with paired interval, by field of `Evaluation`.
        curves: calibration of each, by model id.
    """

    comparison: Comparison
    differences: dict[str, Estimate]
    curves: dict[str, ReliabilityCurve]


def choose_other(models: Sequence[Registered], chosen: Registered) -> Registered | None:
    """Returns the model to compare with, at first the active one; None if alone."""
    others = {
        model.model_id: model
        for model in models
        if model.card and model.model_id != chosen.model_id
    }
    if not others:
        st.info("There is no second model to compare with.", icon=":material/rule:")
        return None
    serving = [name for name, model in others.items() if model.serves]
    names = list(dict.fromkeys([*serving, *others]))
    if st.session_state.get("models_other") not in others:
        st.session_state["models_other"] = names[0]
    name = st.selectbox(
        "Compare with",
        names,
        key="models_other",
        persist_state="session",
    )
    return others[name]


def show_comparison(first: Registered, second: Registered) -> None:
    """Shows both models' figures on the same films, their difference and the tests.

    Raises:
        ModelError: a file of one of them was changed.
        CxrError: the two were not tested on common films.
    """
    models_dir = settings().models_dir
    ids = first.model_id, second.model_id
    folders = (registry.folder_of(models_dir, model_id) for model_id in ids)
    both = _side_by_side(signature(*folders), models_dir, *ids)
    _show_basis(both, ids)
    _show_table(both, ids)
    grid = st.grid(2, min_column_width=380, gap="large")
    with grid.cell():
        _show_tests(both.comparison, ids)
    with grid.cell():
        _show_reliability(both, ids)


@st.cache_data(max_entries=16, show_spinner="Comparing the two on the same films")
def _side_by_side(
    files: Signature, models_dir: Path, first: str, second: str
) -> SideBySide:
    comparison = validation.compare(models_dir, first, second)
    ids = (first, second)
    cards = [registry.read_card(models_dir, model_id) for model_id in ids]
    scores = [registry.read_scores(models_dir, card, "test") for card in cards]
    rows = shared_rows(scores)
    labels = scores[0].labels[rows[0]]
    patients = np.array(scores[0].patients)[rows[0]]
    probabilities = [
        s.probabilities[chosen] for s, chosen in zip(scores, rows, strict=True)
    ]
    right = [
        (p >= card.threshold.value) == (labels == 1)
        for p, card in zip(probabilities, cards, strict=True)
    ]
    return SideBySide(
        comparison=comparison,
        differences={"auc": comparison.auc.difference}
        | _rate_differences(labels, right, patients),
        curves={
            model_id: evaluation.reliability_curve(labels, p, groups=patients)
            for model_id, p in zip(ids, probabilities, strict=True)
        },
    )


def _rate_differences(
    labels: NDArray[np.int64],
    right: list[NDArray[np.bool_]],
    patients: NDArray[np.str_],
) -> dict[str, Estimate]:
    codes = np.unique(patients, return_inverse=True)[1]
    films = {
        "sensitivity": labels == 1,
        "specificity": labels == 0,
        "accuracy": np.ones(labels.shape, bool),
    }
    # The interval is that of any paired proportion: here of films called right.
    return {
        field: promotion.sensitivity_difference(
            right[0][some],
            right[1][some],
            np.unique(codes[some], return_inverse=True)[1],
        )
        for field, some in films.items()
        if some.any()
    }


def _show_basis(both: SideBySide, ids: tuple[str, str]) -> None:
    evaluations = both.comparison.evaluations
    patients = evaluations[ids[0]].n_patients
    films = f"**{both.comparison.films:,} films**"
    if patients:
        films += f" of **{patients:,} patients**"
    thresholds = " and ".join(
        f"{wording.threshold(evaluations[name].threshold)} ({escaped(name)})"
        for name in ids
    )
    st.markdown(
        f"Both on the same {films}, held out from both, each at its own threshold: "
        f"{thresholds}."
    )


def _show_table(both: SideBySide, ids: tuple[str, str]) -> None:
    a, b = (both.comparison.evaluations[name] for name in ids)
    st.table(
        [
            {
                "": label,
                escaped(ids[0]): whole(wording.estimate(getattr(a, field))),
                escaped(ids[1]): whole(wording.estimate(getattr(b, field))),
                "Difference": _difference(
                    getattr(a, field).value - getattr(b, field).value,
                    both.differences.get(field),
                ),
            }
            for label, field in METRICS.items()
        ],
        border="horizontal",
        hide_index=True,
        alt="Metrics of both models on the same films, and their difference",
    )
    st.caption(
        "With 95 % intervals; those of differences are paired and clustered by "
        "patient. A difference without one is not tested."
    )


def _difference(value: float, paired: Estimate | None) -> str:
    if paired is None:
        return _signed(value)
    return f"{_signed(paired.value)} ({_signed(paired.low)} to {_signed(paired.high)})"


def _signed(value: float) -> str:
    if math.isnan(value):
        return wording.NOT_MEASURED
    return f"{value:+.3f}".replace("-", MINUS)


def _show_tests(compared: Comparison, ids: tuple[str, str]) -> None:
    first, second = (escaped(name) for name in ids)
    auc, decisions = compared.auc, compared.decisions
    difference = _difference(auc.difference.value, auc.difference)
    st.markdown(
        f"**Ranking.** The AUC differs by {difference}: "
        f"{_finding(auc.p_value, auc.difference.value, first, second)} "
        f"Paired test of DeLong ({escaped(auc.method)})."
    )
    more = decisions.only_a_right - decisions.only_b_right
    st.markdown(
        f"**Decisions.** Only {first} was right on {decisions.only_a_right:,} films, "
        f"only {second} on {decisions.only_b_right:,}: "
        f"{_finding(decisions.p_value, more, first, second)} "
        f"{escaped(decisions.method)}; it takes films of one patient as independent."
    )


def _finding(p_value: float, difference: float, first: str, second: str) -> str:
    if math.isnan(p_value):
        return "not testable on these films."
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    if p_value >= SIGNIFICANT:
        return f"chance alone explains it ({p})."
    return f"in favour of {first if difference > 0 else second} ({p})."


def _show_reliability(both: SideBySide, ids: tuple[str, str]) -> None:
    st.caption(
        "Calibration: share of films with pneumonia against the mean probability, "
        f"{escaped(ids[0])} filled circles, {escaped(ids[1])} open squares, larger for "
        "more films, 95 % intervals; on the dotted line both are equal."
    )
    errors = "; ".join(
        f"{name}: ECE {wording.estimate(both.comparison.evaluations[name].ece)}"
        for name in ids
    )
    st.plotly_chart(
        model_charts.reliability(both.curves, ink=model_charts.ink()),
        config=model_charts.CONFIG,
        key="reliability",
        alt=f"Calibration. {errors}",
    )
    st.markdown(escaped(errors))
