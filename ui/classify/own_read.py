"""The reader's own look before the answer, where a site wants it (`CXR_READ_FIRST`).

It owns when an answer is hidden and the question that brings it forth. What the reader
said goes into the history as a review that was given before the answer was seen.
"""

import streamlit as st

from cxr.models.inference import Model
from cxr.reading import cases
from cxr.reading.cases import Review
from cxr.records import actors, kept
from cxr.records.kept import AGREE, DISAGREE, UNSURE
from ui import thresholds
from ui.classify.films import FilmList, ListedFilm
from ui.classify.keeping import keep_review
from ui.people import allowed, say_who_can
from ui.reviews import answer_waits

HIDDEN = ":gray[:material/visibility_off: not read yet]"
CHOICES = (
    (True, "Pneumonia", ":material/add_circle:"),
    (False, "No pneumonia", ":material/remove_circle:"),
    (None, "Unsure", ":material/question_mark:"),
)


def is_hidden(film: ListedFilm) -> bool:
    """Returns whether the answer waits until the reader has said what is seen."""
    return answer_waits(scored=not film.refused, reviewed=film.answer_seen)


def ask_first(listed: FilmList, model: Model) -> None:
    """Asks what the reader sees in the chosen film; then its answer is shown."""
    film = listed.films[listed.chosen]
    st.markdown("### What do you see?")
    st.caption("The answer is shown after yours, and both are kept.")
    threshold = thresholds.threshold(model.card)
    answer = cases.answer(film.reading, model, threshold)
    if not allowed(actors.REVIEW):
        say_who_can(actors.REVIEW)
        return
    row = st.container(horizontal=True, gap="small")
    for pneumonia, label, icon in CHOICES:
        row.button(
            label,
            key=f"own_read_{label}",
            icon=icon,
            on_click=keep_review,
            args=(listed, own_read(answer, pneumonia), model),
        )


def own_read(answer: str, pneumonia: bool | None) -> Review:
    """Returns a look before the answer as the review of it that it amounts to.

    Args:
        answer: of the model, which the reader has not seen.
        pneumonia: whether the reader sees it; None for unsure.
    """
    said = {kept.ABOVE: True, kept.BELOW: False}.get(answer)
    if pneumonia is None or said is None:
        opinion = UNSURE
    else:
        opinion = AGREE if pneumonia == said else DISAGREE
    return Review(opinion=opinion, pneumonia=pneumonia, blind=True)
