"""The film, as large as the page allows, and what may be laid over it.

It owns the pane and its controls: film, lungs or heat map; window, inversion, zoom. The
heat map is off until it is asked for, and no work is done for it before.
"""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr.films import display
from cxr.models.inference import Model, Prediction
from cxr.reading.scoring import Reading
from cxr.reports import document
from ui import heatmap
from ui.classify import keyboard
from ui.classify.films import ListedFilm
from ui.classify.own_read import is_hidden
from ui.errors import show_errors

FILM, LUNGS, HEAT = "Film", "Lungs", "Heat map"
VIEW = "pane_view"
NONE = "There is no film to be shown."
GONE = "The film itself was not kept. Upload it again to see it."
OUTLINE = (92, 157, 235)  # the accent of the controls
WHOLE_WINDOW = (0, 255)
MOST_ZOOM = 4.0

Picture = NDArray[np.uint8]


@st.fragment
def show_film(film: ListedFilm, model: Model) -> None:
    """Shows the film of a reading; its controls redraw this part of the page alone."""
    with show_errors():
        reading = film.reading
        if not reading.picture.size:
            st.markdown(f":material/hide_image: {GONE if film.found_again else NONE}")
            return
        place = st.container()
        controls = st.container(horizontal=True, vertical_alignment="center")
        view = _choose_view(controls, reading, hidden=is_hidden(film))
        shown = _adjusted(controls, reading.picture)
        caption = ""
        if view == LUNGS and reading.lungs is not None:
            lungs = reading.lungs
            shown = display.outlined(shown, lungs.right, lungs.left, colour=OUTLINE)
            caption = "The lungs as a small network sees them; it can err."
        elif view == HEAT and isinstance(reading.result, Prediction):
            shown, caption = _heated(controls, shown, reading.result, model)
        _show(place, _enlarged(controls, shown), view)
        if caption:
            st.caption(caption)


def _has_heat(reading: Reading) -> bool:
    """Returns whether the network's map is there: the history keeps none."""
    result = reading.result
    return isinstance(result, Prediction) and result.activation_map.size > 0


def _choose_view(
    place: st.delta_generator.DeltaGenerator, reading: Reading, *, hidden: bool
) -> str:
    views = [FILM]
    if reading.lungs is not None:
        views.append(LUNGS)
    if _has_heat(reading) and not hidden:
        views.append(HEAT)
    if st.session_state.get(VIEW) not in views:
        st.session_state[VIEW] = FILM
    chosen = place.segmented_control(
        "View", views, key=VIEW, required=True, label_visibility="collapsed"
    )
    if HEAT in views:
        place.button(
            "Switch",
            key="pane_switch",
            icon=":material/compare_arrows:",
            type="tertiary",
            shortcut=keyboard.HEAT_MAP,
            help="Film or heat map",
            on_click=_switch,
        )
    return chosen or FILM


def _switch() -> None:
    st.session_state[VIEW] = FILM if st.session_state[VIEW] == HEAT else HEAT


def _adjusted(place: st.delta_generator.DeltaGenerator, picture: Picture) -> Picture:
    with place.popover("Window", icon=":material/contrast:"):
        low, high = st.slider(
            "Grey levels from black to white",
            *WHOLE_WINDOW,
            WHOLE_WINDOW,
            key="pane_window",
            persist_state="session",
        )
        inverted = st.toggle("Invert", key="pane_invert", persist_state="session")
    if (low, high) == WHOLE_WINDOW and not inverted:
        return picture
    width = max(1, high - low)
    centre = (low + high) / 2
    return display.windowed(picture, centre=centre, width=width, inverted=inverted)


def _heated(
    place: st.delta_generator.DeltaGenerator,
    shown: Picture,
    prediction: Prediction,
    model: Model,
) -> tuple[Picture, str]:
    heat = heatmap.heat_of(shown, prediction, model.card)
    with place.popover("Colours", icon=":material/palette:"):
        look = heatmap.choose_look(st.container())
    worth = document.heatmap_worth(model.card)
    words = f"{heatmap.caption(heat)}. {heatmap.MEANING} {worth}"
    return heatmap.overlay(shown, heat, *look), words


def _enlarged(place: st.delta_generator.DeltaGenerator, picture: Picture) -> Picture:
    with place.popover("Zoom", icon=":material/zoom_in:"):
        zoom = st.slider("Zoom", 1.0, MOST_ZOOM, 1.0, 0.25, key="pane_zoom")
        x = st.slider("Left to right", 0.0, 1.0, 0.5, 0.05, key="pane_x")
        y = st.slider("Top to bottom", 0.0, 1.0, 0.5, 0.05, key="pane_y")
    return picture if zoom == 1 else display.part(picture, zoom=zoom, x=x, y=y)


def _show(place: st.delta_generator.DeltaGenerator, shown: Picture, view: str) -> None:
    words = {FILM: "The film", LUNGS: "The lungs on the film", HEAT: "The heat map"}
    with place:
        st.image(shown, width="stretch", alt=words[view])
