"""Films in, readings out: probability, decision at a threshold, heat map."""

import streamlit as st

from cxr.records.actors import READ
from ui.classify.browser import warn_before_leaving
from ui.classify.keeping import listed_films, show_trouble, where_films_go
from ui.classify.reading import show_reading
from ui.classify.uploads import add_films
from ui.classify.worklist import choose_film
from ui.errors import show_errors
from ui.frame import frame
from ui.loaders import active_model
from ui.people import end_unless_allowed
from ui.samples import show_source

with show_errors():
    frame("Classify", narrow=True)

    end_unless_allowed(READ)
    model = active_model()
    listed = listed_films(model)
    beside = st.sidebar.container()
    add_films(listed, model)
    warn_before_leaving(bool(listed.films))
    show_trouble(listed)

    if not listed.films:
        st.markdown(
            "Each film gets a probability of pneumonia, a decision at your threshold, "
            "and a heat map of the regions that made the score. Several films are "
            "listed with the most urgent first."
        )
        st.caption(
            "Frontal chest films only; anything else is refused. " + where_films_go()
        )
        show_source()
        st.stop()

    film = choose_film(listed, model, beside)
    show_reading(listed, film, model)
