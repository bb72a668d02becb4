"""The threshold that a session holds for a model, and the one slider that moves it.

A threshold belongs to one model: another model starts at its own. Classify and the
Dashboard each hold one, so that looking around on the Dashboard changes no reading.
"""

import math

import streamlit as st

from cxr.config import settings
from cxr.governance import stored_points
from cxr.models.cards import Card, is_threshold
from ui import wording

# What a drag can reach. A threshold beyond it that was shipped, stored or chosen for a
# target is used exactly as it is: the slider then reaches as far.
LOWEST, HIGHEST, STEP = 0.005, 0.995, 0.005
OFFERED = 3  # stored operating points, the newest
CLASSIFY, DASHBOARD = "threshold", "dashboard_threshold"
Place = st.delta_generator.DeltaGenerator


def threshold(card: Card, page: str = CLASSIFY) -> float:
    """Returns the session's threshold for a model, at first the shipped one.

    Args:
        card: of the model.
        page: `CLASSIFY` or `DASHBOARD`.
    """
    held = st.session_state.get(key_of(card, page))
    if not isinstance(held, float) or not math.isfinite(held):
        return card.threshold.value
    return held if is_threshold(held) else min(max(held, LOWEST), HIGHEST)


def set_threshold(card: Card, page: str, value: float) -> None:
    """Makes a value the session's threshold for a model, exactly as it is."""
    st.session_state[key_of(card, page)] = value


def slider(
    card: Card, page: str, label: str, *, note: str, place: Place | None = None
) -> float:
    """Shows the slider of a page's threshold; returns the threshold.

    Args:
        card: of the model.
        page: `CLASSIFY` or `DASHBOARD`.
        label: of the slider.
        note: what moving it does, for its help.
        place: where it is shown; where the script is by default.
    """
    value = threshold(card, page)
    set_threshold(card, page, value)
    return (place or st).slider(
        label,
        min(LOWEST, card.threshold.value, value),
        max(HIGHEST, card.threshold.value, value),
        step=STEP,
        format="%.3f",
        key=key_of(card, page),
        persist_state="session",
        help="A film is above the threshold when its probability is at or above it. "
        + note,
    )


def show_reader_threshold(card: Card) -> None:
    """Shows Classify's slider, the way back to the shipped threshold, and the operating
    points that were stored for this model.
    """
    now = slider(
        card,
        CLASSIFY,
        "Your threshold",
        note="A lower threshold misses fewer ill children and raises more false "
        "alarms.",
    )
    shipped = card.threshold.value
    st.button(
        f"Back to the shipped threshold, {wording.threshold(shipped)}",
        key="threshold_shipped",
        icon=":material/restart_alt:",
        type="tertiary",
        disabled=now == shipped,
        on_click=set_threshold,
        args=(card, CLASSIFY, shipped),
    )
    for point in stored_points.points(settings().records_dir, card)[:OFFERED]:
        st.button(
            f"Use the stored operating point, {wording.threshold(point.threshold)}",
            key=f"threshold_{point.point_id}",
            icon=":material/bookmark:",
            type="tertiary",
            help=wording.escaped(
                f"Stored by {point.actor} on {point.time[:10]}: {point.reason}"
            ),
            disabled=now == point.threshold,
            on_click=set_threshold,
            args=(card, CLASSIFY, point.threshold),
        )


def key_of(card: Card, page: str) -> str:
    """Returns under which key a session holds a page's threshold for a model."""
    return f"{page}_{card.model_id}"
