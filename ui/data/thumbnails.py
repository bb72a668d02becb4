"""Small pictures of films from the data folder, for this session alone.

A film is shown only if its file, links resolved, lies in the folder that this app may
read: a manifest or a link can name any file of the machine.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr import data_folder
from cxr.datasets import survey
from cxr.datasets.folders import CLASSES, LabelledFilm
from cxr.errors import ImageError
from ui.loaders import decoder_pool
from ui.wording import escaped, file_name, shortened

EDGE = 240  # pixels
MOST_KEPT = 200  # pictures in a session, 58 KB each at most
LETTER = 7  # pixels, of the captions at their widest


def show_films(films: Sequence[LabelledFilm], *, width: int) -> None:
    """Shows films side by side, each with its class, name, split and patient.

    Args:
        films: to show.
        width: of each, pixels; it grows to fill the row.
    """
    with st.spinner("Reading films"):
        outcomes = [_outcome(film) for film in films]
    grid = st.grid("auto", min_column_width=width, gap="small")
    for film, outcome in zip(films, outcomes, strict=True):
        with grid.cell():
            _show_outcome(film, outcome)
            show_name(film, letters=width // LETTER)


def show_name(film: LabelledFilm, *, letters: int) -> None:
    """Shows class, name, split and patient of a film, in lines of so many letters."""
    facts = [CLASSES[film.label].capitalize()]
    facts += [text for text in (film.subtype, film.split) if text]
    st.caption(
        f"**{escaped(' · '.join(facts))}**  \n"
        f"{escaped(shortened(file_name(film.name), letters))}  \n"
        f"{escaped(shortened(file_name(film.patient_id), letters))}"
    )


def _show_outcome(film: LabelledFilm, outcome: NDArray[np.uint8] | str) -> None:
    if isinstance(outcome, str):
        st.caption(f":material/broken_image: {escaped(outcome)}")
    else:
        st.image(outcome, width="stretch", alt=f"Film, {CLASSES[film.label]}")


def _outcome(film: LabelledFilm) -> NDArray[np.uint8] | str:
    """Returns the picture, or why there is none."""
    if not data_folder.is_inside(film.path):
        return "Not shown: the file lies outside the data that this app may read."
    return _picture(film.sha256, EDGE, film.path)


@st.cache_data(max_entries=MOST_KEPT, show_spinner=False, scope="session")
def _picture(sha256: str, edge: int, _path: Path) -> NDArray[np.uint8] | str:
    try:
        return survey.picture(_path, edge, decoder_pool())
    except ImageError as error:
        return error.message
    except OSError:
        return "The file is gone."
