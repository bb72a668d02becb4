"""The share of pneumonia among the reader's patients: stated once, never assumed.

Classify and the Dashboard ask for the same one. It is empty until a reader or the site
states it: the share among the films that a model learned from is nobody's here.
"""

import streamlit as st

from cxr.config import settings

PREVALENCE = "prevalence_here"  # in percent
HELP = (
    "Of 100 patients whose films are read here, how many have pneumonia? Stated once, "
    "it holds on all films of this session. Without it there is no probability here: "
    "the share in the films that a model learned from is not yours."
)


def stated() -> float | None:
    """Returns the share of patients here who have pneumonia, `(0, 1)`, if stated."""
    held = st.session_state.get(PREVALENCE, _of_the_site())
    return None if held is None else held / 100


def ask(label: str, place: st.delta_generator.DeltaGenerator | None = None) -> None:
    """Asks for the share; an empty field is an answer too.

    Args:
        label: of the field.
        place: where it is shown; where the script is by default.
    """
    (place or st).number_input(
        label,
        0.1,
        99.9,
        _of_the_site(),
        1.0,
        format="%.1f",
        key=PREVALENCE,
        placeholder="not stated",
        help=HELP,
        persist_state="session",
    )


def _of_the_site() -> float | None:
    share = settings().prevalence
    return None if share is None else 100 * share
