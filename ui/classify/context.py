"""What is known of the patient besides the film: kept with it, never in the score."""

import streamlit as st

from cxr.reading.cases import Context
from ui.classify.films import FilmList

# The question, the range and the step of each fact.
FACTS = {
    "age_years": ("Age, years", 0.0, 120.0, 1.0),
    "temperature_celsius": ("Temperature, °C", 30.0, 45.0, 0.1),
    "spo2_percent": ("SpO2, %", 50.0, 100.0, 1.0),
    "days_ill": ("Days ill", 0.0, 60.0, 1.0),
}


def show_context(listed: FilmList) -> None:
    """Asks what is known of the patient of the chosen film, and keeps it with it."""
    key = listed.chosen
    context = listed.films[key].context

    def keep() -> None:
        values = {name: st.session_state.get(f"{name}_{key}") for name in FACTS}
        listed.set_context(Context(**values))

    with st.expander("Clinical context"):
        st.caption("Kept with the film. It never changes the score.")
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
