"""What outlives a page change: the reader's threshold, held once a session.

A threshold belongs to one model: another model starts at its own.
"""

import math

import streamlit as st

from cxr import operating_store
from cxr.config import settings
from cxr.registry import Card
from ui import wording

LOWEST, HIGHEST, STEP = 0.01, 0.99, 0.005
OFFERED = 3  # stored operating points, the newest


def threshold(card: Card) -> float:
    """Returns the reader's threshold for this model, at first the shipped one."""
    held = st.session_state.get(_key(card))
    if not isinstance(held, float) or not math.isfinite(held):
        return card.threshold.value
    low, high = _range(card)
    return min(max(held, low), high)


def threshold_slider(card: Card) -> None:
    """Draws the slider of the threshold, the way back to the shipped one, and the
    operating points that were stored for this model.
    """
    low, high = _range(card)
    if st.session_state.get(_key(card)) != threshold(card):
        st.session_state[_key(card)] = threshold(card)
    st.slider(
        "Your threshold",
        low,
        high,
        step=STEP,
        format="%.3f",
        key=_key(card),
        persist_state="session",
        help="A film is above the threshold when its probability is at or above it. A "
        "lower threshold misses fewer ill children and raises more false alarms.",
    )
    shipped = card.threshold.value
    st.button(
        f"Back to the shipped threshold, {wording.threshold(shipped)}",
        key="threshold_shipped",
        icon=":material/restart_alt:",
        type="tertiary",
        disabled=threshold(card) == shipped,
        on_click=st.session_state.__setitem__,
        args=(_key(card), shipped),
    )
    for point in operating_store.points(settings().records_dir, card)[:OFFERED]:
        st.button(
            f"Use the stored operating point, {wording.threshold(point.threshold)}",
            key=f"threshold_{point.point_id}",
            icon=":material/bookmark:",
            type="tertiary",
            help=wording.escaped(
                f"Stored by {point.actor} on {point.time[:10]}: {point.reason}"
            ),
            disabled=threshold(card) == point.threshold,
            on_click=st.session_state.__setitem__,
            args=(_key(card), point.threshold),
        )


def _key(card: Card) -> str:
    return f"threshold_{card.model_id}"


def _range(card: Card) -> tuple[float, float]:
    """Returns the ends of the slider; the shipped threshold is always between them."""
    return min(LOWEST, card.threshold.value), max(HIGHEST, card.threshold.value)
