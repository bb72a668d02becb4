"""The dashboard's threshold and prevalence: sliders, targets, stored points.

The dashboard's threshold is its own. Classify is not changed by it until a lead stores
it as an operating point.
"""

from collections.abc import Sequence
from dataclasses import fields

import streamlit as st

from cxr.config import settings
from cxr.errors import CxrError
from cxr.evaluation.operating import OperatingPoint
from cxr.governance import stored_points
from cxr.governance.stored_points import StoredPoint
from cxr.validation.appraisal import Wishes
from ui import thresholds, wording
from ui.charts import theme_colour
from ui.dashboard.scored_films import VALIDATION
from ui.dashboard.source import Source, targets_of
from ui.people import actor

LEAST_ILL, MOST_ILL = 0.01, 0.99
POPOVER = 360  # pixels: as wide as there is room beside the menu of a narrow page
# For each wish its words, the lowest and highest, the step and the decimals.
WISHES = {
    "sensitivity": ("Sensitivity at least", 0.5, 1.0, 0.005, "%.3f"),
    "specificity": ("Specificity at least", 0.5, 1.0, 0.005, "%.3f"),
    "misses_per_1000": (
        "Misses per 1,000 local patients, at most",
        0.0,
        500.0,
        0.5,
        "%.1f",
    ),
    "cost_ratio": (
        "One miss is as bad as this many false alarms",
        0.1,
        1000.0,
        1.0,
        "%.1f",
    ),
}
STICKY = """<style>
div:has(> .st-key-dashboard_controls) {
  position: sticky; top: 3.4rem; z-index: 90; padding: 0.35rem 0 0.5rem;
  background: %s; border-bottom: 1px solid %s;
}
</style>"""


def choose(source: Source) -> tuple[float, float]:
    """Shows both sliders; returns threshold and local prevalence."""
    st.html(
        STICKY
        % tuple(theme_colour(name) for name in ("backgroundColor", "borderColor"))
    )
    with st.container(key="dashboard_controls", gap="small"):
        grid = st.grid(2, min_column_width=190, gap="medium")
        threshold = thresholds.slider(
            source.card,
            thresholds.DASHBOARD,
            f"Threshold (shipped: {wording.threshold(source.card.threshold.value)})",
            note="Moving it changes this page and nothing else.",
            place=grid,
        )
        prevalence = grid.slider(
            "Local prevalence",
            LEAST_ILL,
            MOST_ILL,
            _rounded(source.appraisal.prevalence),
            0.01,
            format="percent",
            key=f"dashboard_prevalence_{source.card.model_id}",
            persist_state="session",
            help="The share of your patients who have pneumonia. It starts at the "
            "share among these films. PPV, NPV, F1 over the threshold, patients per "
            "1,000 and net benefit follow it.",
        )
    return threshold, prevalence


def show_targets(
    source: Source, prevalence: float, stored: Sequence[StoredPoint]
) -> None:
    """Shows the thresholds that wishes lead to, and the newest stored, as buttons.

    Args:
        source: what the page shows.
        prevalence: of pneumonia among the reader's patients.
        stored: the operating points that were stored for the model.
    """
    card = source.card
    now = thresholds.threshold(card, thresholds.DASHBOARD)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        offered = {"Shipped": card.threshold.value}
        if stored:
            offered["Stored"] = stored[0].threshold
        if VALIDATION in source.splits:
            offered |= targets_of(card, wishes(), prevalence)
        else:
            st.caption("No validation films to choose a target on.")
        for name, value in offered.items():
            st.button(
                f"{name}: {wording.threshold(value)}",
                key=f"dashboard_target_{name.split(' ')[0]}_{len(name)}",
                type="secondary" if value != now else "primary",
                on_click=thresholds.set_threshold,
                args=(card, thresholds.DASHBOARD, value),
            )
        _wishes()


def offer_to_store(source: Source, point: OperatingPoint) -> None:
    """Shows the form by which a lead makes the threshold an operating point."""
    card, threshold = source.card, point.threshold
    with (
        st.popover("Store as operating point", icon=":material/bookmark_add:"),
        st.container(width=POPOVER),
    ):
        st.markdown(
            f"Stores threshold **{wording.threshold(threshold)}** for "
            f"**{card.model_id}** with your name and reason. Classify then offers it "
            "beside the shipped one, which stays."
        )
        st.text_area(
            "Reason",
            key="dashboard_reason",
            max_chars=stored_points.LONGEST_REASON,
            placeholder="What was decided, by whom, on what grounds",
        )
        st.button(
            f"Store {wording.threshold(threshold)}",
            key="dashboard_store",
            type="primary",
            on_click=_store,
            args=(source, point),
        )
        if refused := st.session_state.pop("dashboard_refused", ""):
            st.warning(refused, icon=":material/edit_note:")
    if stored := st.session_state.pop("dashboard_stored", ""):
        st.info(stored, icon=":material/bookmark_added:")


def show_stored(points: Sequence[StoredPoint]) -> None:
    """Shows the operating points that were stored for this model."""
    if not points:
        return
    with st.expander(f"Stored operating points ({len(points)})"):
        st.dataframe(
            [
                {
                    "threshold": round(p.threshold, 4),
                    "stored (UTC)": p.time[:16].replace("T", " "),
                    "by": p.actor,
                    "reason": p.reason,
                    "looked at on": p.films,
                    "sensitivity": p.sensitivity,
                    "specificity": p.specificity,
                }
                for p in points
            ],
            hide_index=True,
            column_config={
                "sensitivity": st.column_config.NumberColumn(format="%.3f"),
                "specificity": st.column_config.NumberColumn(format="%.3f"),
            },
        )


def wishes() -> Wishes:
    """Returns the targets of this session."""
    held = {f.name: st.session_state.get(_wish_key(f.name)) for f in fields(Wishes)}
    return Wishes(**{name: value for name, value in held.items() if value is not None})


def _wishes() -> None:
    """Shows what is asked of each target, to be changed."""
    usual = Wishes()
    with (
        st.popover("Targets", icon=":material/tune:"),
        st.container(width=POPOVER),
    ):
        st.caption(
            "Thresholds for these targets are chosen on the model's validation films, "
            "whichever films the page shows."
        )
        for name, (label, low, high, step, digits) in WISHES.items():
            st.number_input(
                label,
                low,
                high,
                getattr(usual, name),
                step,
                digits,
                key=_wish_key(name),
                persist_state="session",
            )


def _wish_key(name: str) -> str:
    return f"dashboard_wish_{name}"


def _store(source: Source, point: OperatingPoint) -> None:
    reason = st.session_state.get("dashboard_reason", "")
    try:
        stored = stored_points.store(
            settings().records_dir,
            source.card,
            point.threshold,
            actor=actor(),
            reason=reason,
            films=source.appraisal.films,
            sensitivity=point.sensitivity.value,
            specificity=point.specificity.value,
        )
    except CxrError as error:
        st.session_state["dashboard_refused"] = error.message
        return
    st.session_state["dashboard_reason"] = ""
    st.session_state["dashboard_stored"] = (
        f"Operating point {wording.threshold(stored.threshold)} stored for "
        f"{stored.model_id}."
    )


def _rounded(share: float) -> float:
    return min(max(round(share, 2), LEAST_ILL), MOST_ILL)
