"""The heat map over a film, the same on every page that shows one."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr.models import heatmap
from cxr.models.cards import Card
from cxr.models.inference import Prediction

OPACITY = 0.5  # at first
COLOURS = tuple(heatmap.COLOUR_MAPS)
FAINT = 0.02  # heat that is too little to be seen
MEANING = (
    "A heat map shows where the score comes from, on one scale for all films: no "
    "colour, no evidence. It is not a finding and not proof."
)


def look() -> tuple[float, str]:
    """Returns the session's opacity, `[0, 1]`, and the name of its colour map."""
    state = st.session_state
    return state.get("opacity", OPACITY), state.get("colour_map", COLOURS[0])


def choose_look(place: st.delta_generator.DeltaGenerator) -> tuple[float, str]:
    """Shows opacity and colour map; returns the opacity, `[0, 1]`, and the map's name.

    Both are the session's: a choice on one page holds on the others.
    """
    opacity = place.slider(
        "Heat map opacity",
        0.0,
        1.0,
        OPACITY,
        0.05,
        key="opacity",
        persist_state="session",
    )
    colours = place.selectbox(
        "Colour map",
        COLOURS,
        key="colour_map",
        persist_state="session",
    )
    return opacity, colours


def heat_of(
    film: NDArray[np.uint8], prediction: Prediction, card: Card
) -> NDArray[np.float32]:
    """Returns the heat for a film on the screen, shape `(h, w)`, range `[0, 1]`."""
    height, width = film.shape
    return heatmap.heatmap(
        prediction.activation_map,
        scale=card.heatmap_scale,
        height=height,
        width=width,
    )


def overlay(
    film: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float, colours: str
) -> NDArray[np.uint8]:
    """Returns the film under its heat, `uint8`, shape `(h, w, 3)`."""
    return heatmap.overlay(
        film.astype(np.float32), heat, opacity=opacity, colour_map=colours
    )


def caption(heat: NDArray[np.float32]) -> str:
    """Returns what a heat map shows, in words."""
    if heat.max() < FAINT:
        return "Heat map: no region raised the score"
    return "Heat map: the brighter the colour, the more a region raised the score"
