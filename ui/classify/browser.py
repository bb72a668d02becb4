"""What the Classify page asks of the browser that Streamlit has no command for.

It owns the scripts of the page: the question before films are lost, and the scrolling
of the list to the chosen film. Nothing of a film or of a file's name is in them.
"""

import streamlit as st

_ASK = "window.onbeforeunload = event => { event.preventDefault(); };"
_LET_GO = "window.onbeforeunload = null;"
# The list is drawn a moment after the script arrives. Only the list itself scrolls.
_SHOW_CHOSEN = """
setTimeout(() => {
    const row = document.querySelector('.st-key-worklist label:has(input:checked)');
    const list = row?.closest('.st-key-worklist');
    if (!list) return;
    const [inner, outer] = [row, list].map(part => part.getBoundingClientRect());
    if (inner.top < outer.top) list.scrollTop += inner.top - outer.top - 40;
    if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom + 40;
}, 100);
"""


def warn_before_leaving(films: bool) -> None:
    """Lets the browser ask before films are lost; without films it asks nothing.

    The browser words the question itself. Going to another page of the app is not
    leaving: the films stay, and so does the question.

    Args:
        films: whether the session holds any.
    """
    _run(_ASK if films else _LET_GO)


def keep_chosen_in_view(place: int) -> None:
    """Scrolls the list, where it must, until the chosen row is seen.

    Args:
        place: of the chosen film in the list; the script runs when it changes.
    """
    _run(f"/* {place:d} */ {_SHOW_CHOSEN}")


def _run(script: str) -> None:
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
