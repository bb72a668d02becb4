"""The reader's own answer to the film on the page, by button or by key.

It owns the controls of a `Review`; the list keeps it and marks the film.
"""

import streamlit as st

from cxr.reading.cases import AGREE, DISAGREE, UNSURE, Review
from ui.classify import keyboard
from ui.classify.films import FilmList

LONGEST_REASON = 300
CHOICES = (
    (AGREE, "Agree", ":material/check:", keyboard.AGREE),
    (DISAGREE, "Disagree", ":material/close:", keyboard.DISAGREE),
    (UNSURE, "Unsure", ":material/question_mark:", keyboard.UNSURE),
)
HELP = (
    "Your own answer, beside the model's. It is in the list and in what you export, "
    "and never changes a score. The same button again takes it back."
)


def show_review(listed: FilmList) -> None:
    """Shows the reader's answer to the chosen film, and then its reason."""
    film = listed.films[listed.chosen]
    review = film.review

    def answer(opinion: str) -> None:
        if review and review.opinion == opinion:
            listed.set_review(None)
        else:
            reason = review.reason if review else ""
            listed.set_review(Review(opinion=opinion, reason=reason))

    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    for opinion, label, icon, key in CHOICES:
        taken = review is not None and review.opinion == opinion
        row.button(
            label,
            key=f"review_{opinion}",
            icon=icon,
            shortcut=key,
            type="primary" if taken else "secondary",
            help=HELP,
            on_click=answer,
            args=(opinion,),
        )
    if review:
        _show_reason(row, listed, review)


def _show_reason(
    place: st.delta_generator.DeltaGenerator, listed: FilmList, review: Review
) -> None:
    key = f"reason_{listed.chosen}"

    def keep() -> None:
        reason = st.session_state[key].strip()
        listed.set_review(Review(opinion=review.opinion, reason=reason))

    place.text_input(
        "Reason",
        review.reason,
        max_chars=LONGEST_REASON,
        key=key,
        on_change=keep,
        placeholder="Reason, if you like",
        label_visibility="collapsed",
        width=280,
    )
