"""All Streamlit code that pages share."""

from ui.errors import show_errors
from ui.films import add_films, choose_film, session_films
from ui.frame import frame
from ui.loaders import active_card, active_model
from ui.model import show_limits, show_model_tiles, show_purpose
from ui.reading import show_reading

__all__ = [
    "active_card",
    "active_model",
    "add_films",
    "choose_film",
    "frame",
    "session_films",
    "show_errors",
    "show_limits",
    "show_model_tiles",
    "show_purpose",
    "show_reading",
]
