"""The offer to try sample films, and whose they are: on Home and on Classify."""

import streamlit as st

from cxr.reading import samples
from ui.wording import escaped

WANTED = "samples_wanted"  # in the session: the reader asked for the sample films
BADGE = "Sample film of a public data set"
OFFER = (
    "Six films of other children, from a public data set; the shipped model learned "
    "nothing from their patients."
)
ATTRIBUTION = f"{samples.SOURCE}, {samples.LICENCE}; {samples.CHANGE}."


def offer(
    place: st.delta_generator.DeltaGenerator, *, key: str, strong: bool = True
) -> bool:
    """Shows the button that asks for the sample films; says whether it was pressed.

    Args:
        place: on the page.
        key: of the button.
        strong: whether it looks like a button or like a link.
    """
    return place.button(
        "Try sample films",
        key=key,
        icon=":material/science:",
        type="secondary" if strong else "tertiary",
        help=OFFER,
        on_click=ask,
    )


def ask() -> None:
    """Notes that the reader wants the sample films; Classify lists them."""
    st.session_state[WANTED] = True


def show_source() -> None:
    """Shows what the sample films are and whose."""
    st.caption(f"Sample films: {OFFER} {escaped(ATTRIBUTION)}")
