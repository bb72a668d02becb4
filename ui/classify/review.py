"""The reader's own answer to the film on the page, by button or by key.

It owns the controls of a `Review`; the list keeps it and marks the film.
"""

from dataclasses import replace

import streamlit as st

from cxr.models.inference import Model
from cxr.reading.cases import Review, answer
from cxr.records import actors
from cxr.records.kept import ABOVE, AGREE, BELOW, DISAGREE, UNSURE
from ui import thresholds
from ui.classify import keyboard
from ui.classify.films import FilmList
from ui.classify.keeping import keep_review
from ui.people import allowed, say_who_can
from ui.reviews import ICONS, LONGEST_REASON, SEEN

CHOICES = (
    (AGREE, "Agree", keyboard.AGREE),
    (DISAGREE, "Disagree", keyboard.DISAGREE),
    (UNSURE, "Unsure", keyboard.UNSURE),
)
HELP = (
    "Your own answer, beside the model's. It is in the list and in what you export, "
    "and never changes a score. The same button again takes it back."
)


def show_review(listed: FilmList, model: Model) -> None:
    """Shows the reader's answer to the chosen film, and then its reason.

    Args:
        listed: the films of the session.
        model: that read them.
    """
    if not allowed(actors.REVIEW):
        say_who_can(actors.REVIEW)
        return
    film = listed.films[listed.chosen]
    review = film.review

    def give(opinion: str) -> None:
        said = None
        if not review or review.opinion != opinion:
            said = Review(opinion=opinion, reason=review.reason if review else "")
        keep_review(listed, said, model)

    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    for opinion, label, key in CHOICES:
        taken = review is not None and review.opinion == opinion
        row.button(
            label,
            key=f"review_{opinion}",
            icon=ICONS[opinion],
            shortcut=key,
            type="primary" if taken else "secondary",
            help=HELP,
            on_click=give,
            args=(opinion,),
        )
    if review:
        if not _says_what_is_seen(listed, review, model):
            _ask_what_is_seen(row, listed, review, model)
        _show_reason(row, listed, review, model)


def _says_what_is_seen(listed: FilmList, review: Review, model: Model) -> bool:
    """Returns whether opinion and answer together say what the reader sees."""
    threshold = thresholds.threshold(model.card)
    given = answer(listed.films[listed.chosen].reading, model, threshold)
    return given in (ABOVE, BELOW) and review.opinion in (AGREE, DISAGREE)


def _ask_what_is_seen(
    place: st.delta_generator.DeltaGenerator,
    listed: FilmList,
    review: Review,
    model: Model,
) -> None:
    key = f"seen_{listed.chosen}"

    def keep() -> None:
        seen = SEEN.get(st.session_state[key] or "")
        keep_review(listed, replace(review, pneumonia=seen), model)

    names = {value: name for name, value in SEEN.items()}
    place.segmented_control(
        "What you see",
        list(SEEN),
        default=None if review.pneumonia is None else names[review.pneumonia],
        key=key,
        on_change=keep,
        label_visibility="collapsed",
    )


def _show_reason(
    place: st.delta_generator.DeltaGenerator,
    listed: FilmList,
    review: Review,
    model: Model,
) -> None:
    key = f"reason_{listed.chosen}"

    def keep() -> None:
        reason = st.session_state[key].strip()
        keep_review(listed, replace(review, reason=reason), model)

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
