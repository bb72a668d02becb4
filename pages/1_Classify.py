"""Films in, readings out: probability, decision at a threshold, heat map."""

import streamlit as st

import ui

ui.frame("Classify")

with ui.show_errors():
    model = ui.active_model()
    films = ui.session_films(model)
    ui.add_films(films, model)

    if not films.readings:
        st.markdown(
            "Each film gets a probability of pneumonia, a decision at your threshold, "
            "and a heat map of the regions that made the score. Several films are "
            "listed with the most urgent first."
        )
        st.caption(
            "Frontal chest films of the population above; the app does not yet check "
            "that. Films stay in the memory of this session and are never stored."
        )
        st.stop()

    reading = ui.choose_film(films, model)
    ui.show_reading(reading, model)
