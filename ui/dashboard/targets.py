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
from cxr.governance import reasons, stored_points
from cxr.governance.stored_points import StoredPoint
from cxr.records.actors import STORE
from cxr.validation.appraisal import Target, Wishes
from ui import prevalence, thresholds, wording
from ui.charts import theme_colour
from ui.dashboard.scored_films import VALIDATION
from ui.dashboard.source import Source, targets_of
from ui.people import actor, allowed, say_who_can

NOT_MET = "not met on these films"
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


def choose(source: Source) -> tuple[float, float | None]:
    """Shows threshold and prevalence; returns both, the second None until stated."""
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
        with grid.cell():
            prevalence.ask("Patients with pneumonia here, of 100")
    return threshold, prevalence.stated()


def show_targets(
    source: Source, here: float | None, stored: Sequence[StoredPoint]
) -> None:
    """Shows the thresholds that wishes lead to, and the newest stored, as buttons.

    Args:
        source: what the page shows.
        here: prevalence of pneumonia among the reader's patients; None if not stated.
        stored: the operating points that were stored for the model.
    """
    card = source.card
    offered = {"Shipped": card.threshold.value}
    if stored:
        offered["Stored"] = stored[0].threshold
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name, value in offered.items():
            _show_target(source, name, value, name)
        if VALIDATION in source.splits:
            for target in targets_of(card, wishes(), here):
                _show_target(
                    source, target.name, target.threshold, _words(source, target)
                )
        else:
            st.caption("No validation films to choose a target on.")
        _wishes()


def _show_target(source: Source, name: str, value: float, words: str) -> None:
    now = thresholds.threshold(source.card, thresholds.DASHBOARD)
    st.button(
        f"{words}: {wording.threshold(value)}",
        key=f"dashboard_target_{name.split(' ')[0]}_{len(name)}",
        type="secondary" if value != now else "primary",
        on_click=thresholds.set_threshold,
        args=(source.card, thresholds.DASHBOARD, value),
    )


def _words(source: Source, target: Target) -> str:
    """Returns the wish, and whether the films that are shown bear it out."""
    point = source.appraisal.overview.curve.at(target.threshold)
    return target.name if target.is_met(point) else f"{target.name}, {NOT_MET}"


def offer_to_store(source: Source, point: OperatingPoint) -> None:
    """Shows the form by which a lead makes the threshold an operating point."""
    if not allowed(STORE):
        say_who_can(STORE)
        return
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
            max_chars=reasons.LONGEST,
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
            "whichever films the page shows. A target is met where the lower limit of "
            "the 95 % interval on the films that are shown reaches it. Misses and "
            "costs need a stated prevalence."
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
