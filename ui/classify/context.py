"""What is known of the patient besides the film: kept with it, never in the score."""

from dataclasses import replace

import streamlit as st

from cxr.models.inference import Model
from cxr.reading.cases import Context
from ui.classify.films import FilmList
from ui.classify.keeping import keep_additions

# The question, the range and the step of each fact.
FACTS = {
    "age_years": ("Age, years", 0.0, 120.0, 1.0),
    "temperature_celsius": ("Temperature, °C", 30.0, 45.0, 0.1),
    "spo2_percent": ("SpO2, %", 50.0, 100.0, 1.0),
    "days_ill": ("Days ill", 0.0, 60.0, 1.0),
}


def show_context(listed: FilmList, model: Model) -> None:
    """Asks what is known of the patient of the chosen film, and keeps it with it."""
    key = listed.chosen
    context = listed.films[key].context

    def keep() -> None:
        values = {name: st.session_state.get(f"{name}_{key}") for name in FACTS}
        _keep(listed, replace(listed.films[key].context, **values), model)

    with st.expander("Clinical context"):
        st.caption("Kept with the film. It never changes the score.")
        _ask_before(listed, model)
        fields = st.grid(2, min_column_width=120)
        for name, (words, low, high, step) in FACTS.items():
            fields.number_input(
                words,
                low,
                high,
                getattr(context, name),
                step,
                key=f"{name}_{key}",
                on_change=keep,
            )


def _keep(listed: FilmList, context: Context, model: Model) -> None:
    listed.set_context(context)
    keep_additions(listed, listed.chosen, model, context=context)


def _ask_before(listed: FilmList, model: Model) -> None:
    """Asks how probable pneumonia was before the film."""
    key = listed.chosen
    context = listed.films[key].context
    name, held = f"pretest_{key}", context.pretest_probability

    def keep() -> None:
        percent = st.session_state.get(name)
        before = None if percent is None else percent / 100
        now = replace(listed.films[key].context, pretest_probability=before)
        _keep(listed, now, model)

    st.number_input(
        "Probability before the film, %",
        0.1,
        99.9,
        None if held is None else 100 * held,
        1.0,
        format="%.1f",
        key=name,
        help="Your own estimate for this patient. The likelihood ratio of the answer "
        "gives the probability after the film.",
        on_change=keep,
    )
