"""The dashboard's tiles: what the threshold is worth on the films, and here."""

import math

import streamlit as st

from cxr.evaluation.estimates import Estimate
from cxr.evaluation.overview import View
from cxr.evaluation.summary import Evaluation
from cxr.reading import meaning
from ui import wording
from ui.dashboard.beside import Beside
from ui.dashboard.source import Source

Tiles = dict[str, tuple[Estimate, Estimate | None]]


def show_tiles(source: Source, view: View, other: Beside | None = None) -> None:
    """Shows the figures at the threshold, with their change against the shipped one.

    Args:
        source: what the page is about.
        view: at the threshold.
        other: whose figures stand below those of the model; None for none.
    """
    grid = st.grid(5, min_column_width=170, border=True, gap="small")
    others = {} if other is None else other.values()
    for label, (value, before) in tiles(source.appraisal.whole, view).items():
        with grid.cell():
            st.metric(
                label,
                wording.figure(value),
                _change(value, before),
                delta_color="off",
                delta_arrow="off",
            )
            st.caption(f"{wording.INTERVAL} {wording.interval(value)}")
            if other is not None and label in others:
                st.caption(f"{other.model_id} **{wording.estimate(others[label])}**")
    st.markdown(_costs(source, view))
    st.caption(_measured(source, view))
    if other is not None:
        st.caption(
            f"{other.model_id} is measured on the same films, at its own shipped "
            f"threshold {wording.threshold(other.evaluation.threshold)}."
        )


def tiles(whole: Evaluation, view: View) -> Tiles:
    """Returns each figure with its value at the shipped threshold, if it has one.

    PPV and NPV are among them where a prevalence is stated.

    Args:
        whole: the model at its shipped threshold.
        view: at the threshold.
    """
    point, shown = view.point, view.answers
    found: Tiles = {
        "Sensitivity": (point.sensitivity, whole.sensitivity),
        "Specificity": (point.specificity, whole.specificity),
        "No answer": (shown.no_answer, None),
        "No answer, normal": (shown.no_answer_well, None),
        "Answered: sensitivity": (shown.sensitivity, None),
        "Answered: specificity": (shown.specificity, None),
    }
    if (shipped := whole.answered) is not None:
        before_of = {
            "No answer": shipped.no_answer,
            "No answer, normal": shipped.no_answer_well,
            "Answered: sensitivity": shipped.sensitivity,
            "Answered: specificity": shipped.specificity,
        }
        found |= {name: (found[name][0], value) for name, value in before_of.items()}
    if view.local is not None:
        before = whole.locally(prevalence=view.local.prevalence)
        found["PPV here"] = (view.local.precision, before.precision)
        found["NPV here"] = (view.local.npv, before.npv)
    return {**found, "AUC": (whole.auc, None), "Calibration error": (whole.ece, None)}


def _costs(source: Source, view: View) -> str:
    """Returns what the threshold does to 1,000 patients here, with three answers."""
    if view.local is None:
        return (
            "State the share of patients here who have pneumonia to see PPV, NPV and "
            "what the threshold does to 1,000 of them; it is never assumed."
        )
    threshold, here = view.point.threshold, view.local.prevalence
    counted = meaning.answers(
        source.scores, source.card.uncertain_band, min(max(threshold, 0.0), 1.0)
    )
    costs = counted.costs(prevalence=here)
    return (
        f"Of 1,000 patients here, {wording.percent(here)} of them ill: "
        f"**{wording.count(costs.missed)}** missed, "
        f"**{wording.count(costs.alarms)}** false alarms and "
        f"**{wording.count(costs.no_answer)}** without an answer at threshold "
        f"**{wording.threshold(threshold)}**."
    )


def _measured(source: Source, view: View) -> str:
    whole = source.appraisal.whole
    patients = f" of {whole.n_patients:,} patients" if whole.n_patients else ""
    here = " PPV and NPV are at the local prevalence;" if view.local else ""
    return (
        f"Measured on {whole.n:,} {source.appraisal.films}{patients}, "
        f"{whole.n_positive:,} with pneumonia. Tags: change against the shipped "
        "threshold. Sensitivity and specificity are those of the threshold as if every "
        "film got an answer; beside them the share that gets none, and the rates among "
        f"those that do.{here} AUC and calibration error depend on no threshold."
    )


def _change(value: Estimate, before: Estimate | None) -> str | None:
    if before is None or before == value:
        return None
    difference = value.value - before.value
    if math.isnan(difference):
        return wording.NOT_MEASURED
    return f"{difference:+.3f}"
