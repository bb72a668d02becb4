"""One reading, in the order in which it is understood: the film first, then words."""

import streamlit as st

from cxr.errors import ImageError
from cxr.models.inference import Model, Prediction
from cxr.reading import samples
from cxr.reading.scoring import Reading
from ui import thresholds, wording
from ui.classify.context import show_context
from ui.classify.decision import show_decision, show_second_opinion
from ui.classify.exports import show_film_export
from ui.classify.film_pane import show_film
from ui.classify.films import FilmList, ListedFilm
from ui.classify.meaning import show_meaning
from ui.classify.own_read import ask_first, is_hidden
from ui.classify.review import show_review
from ui.classify.room import reading_room
from ui.classify.terms import case_of, terms
from ui.classify.trials import show_trials
from ui.frame import PAGES
from ui.samples import ATTRIBUTION, BADGE


def show_reading(listed: FilmList, film: ListedFilm, model: Model) -> None:
    """Shows a film and, beside it, what the model says of it.

    Args:
        listed: the films of the session.
        film: the chosen one, with its picture.
        model: that read it.
    """
    beside, panel = reading_room()
    with beside:
        show_film(film, model)
    with panel:
        result = film.reading.result
        if film.sample:
            st.badge(BADGE, icon=":material/science:", color="gray")
        if isinstance(result, ImageError):
            _show_refusal(film, result)
        else:
            _show_panel(listed, film, result, model)
        _show_origin(film)
    if isinstance(film.reading.result, Prediction) and not is_hidden(film):
        _show_limits(film.reading.result, model)


def _show_panel(
    listed: FilmList, film: ListedFilm, prediction: Prediction, model: Model
) -> None:
    _show_eligibility(film)
    if is_hidden(film):
        ask_first(listed, model)
        return
    show_decision(prediction, model)
    show_review(listed, model)
    thresholds.show_reader_threshold(model.card)
    at = terms(model.card)
    show_meaning(case_of(film, model, at), at, model.card)
    show_trials(listed, film, model, at)
    show_second_opinion(prediction, model.card)
    show_context(listed, model)
    if not film.found_again:
        show_film_export(film, model, at)
    _show_case(film)


def _show_case(film: ListedFilm) -> None:
    if film.case_id:
        st.page_link(
            PAGES["History"][0],
            label=f"Kept as case {film.case_id}",
            icon=":material/history:",
            query_params={"case": film.case_id},
        )


def _show_refusal(film: ListedFilm, error: ImageError) -> None:
    st.markdown(
        f"### :{wording.REFUSED.colour}[{wording.REFUSED.icon} {wording.REFUSED.words}]"
    )
    st.markdown(f"**{wording.escaped(film.name)}** · {wording.escaped(error.message)}")
    st.caption(f"No score was given to this film. Reason code: {error.code}.")


def _show_origin(film: ListedFilm) -> None:
    """Shows of a sample whose film it is, and on request what it is called there."""
    sample = samples.sample_of(film.sha256) if film.sample else None
    if sample is None:
        return
    with st.expander("What the data set calls this film"):
        st.markdown(
            f"**{wording.sentence(sample.label.capitalize())}** So the graders of the "
            f"data set called it; it is no proven diagnosis. Its file there: "
            f"{wording.escaped(sample.source)}"
        )
    st.caption(f"Sample film: {wording.escaped(ATTRIBUTION)}")


def _show_eligibility(film: ListedFilm) -> None:
    reading = film.reading
    for caution in reading.cautions:
        st.warning(wording.escaped(caution), icon=":material/warning:")
    st.caption(
        f":material/check: **{wording.escaped(film.name)}** · frontal chest film, "
        f"readable · {_facts(reading)}"
    )
    for warning in reading.warnings:
        st.caption(f":material/info: {wording.escaped(warning)}")


def _facts(reading: Reading) -> str:
    return (
        f"{reading.format}, {reading.width:,} × {reading.height:,} pixels, "
        f"{reading.bits} bits"
    )


def _show_limits(prediction: Prediction, model: Model) -> None:
    card = model.card
    grid = st.grid(2, min_column_width=320, gap="medium")
    with grid.cell():
        st.markdown("#### What this can't tell")
        st.markdown("\n".join(f"- {wording.escaped(limit)}" for limit in card.limits))
    with grid.cell():
        st.markdown("#### The model")
        st.markdown(f"**{card.model_id}**. {wording.sentence(card.population)}")
        st.markdown(wording.escaped(card.intended_use))
        st.caption(f"Network SHA-256 {prediction.model_sha256[:16]}…")
