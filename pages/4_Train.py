"""A training: films, settings, start; the run as it goes; all runs and comparisons."""

import streamlit as st

from ui.errors import show_errors
from ui.frame import frame
from ui.train.films import choose_training_data
from ui.train.form import choose_settings, offer_start
from ui.train.live import choose_run, show_run, show_validation_curves
from ui.train.machine import show_machine
from ui.train.runs import all_runs, choose_compared, show_differences, show_table

with show_errors():
    frame("Train")

    training = choose_training_data()
    config = choose_settings(training)
    show_machine(config, training)
    offer_start(config, training)

    views = all_runs()
    st.subheader("Runs", anchor=False)
    if not views:
        st.caption("There is none yet. A run that was started is listed here.")
        st.stop()

    show_run(choose_run(views))
    show_table(views)
    compared = choose_compared(views)
    if compared:
        show_validation_curves(compared)
        show_differences(compared)
