"""A training: films, settings, start; the run as it goes; all runs and comparisons."""

import streamlit as st

import ui

ui.frame("Train")

with ui.show_errors():
    found = ui.choose_training_data()
    config, problems = ui.choose_settings(found)
    ui.show_machine(config, found)
    ui.offer_start(config, found, problems)

    views = ui.all_runs()
    st.subheader("Runs", anchor=False)
    if not views:
        st.caption("There is none yet. A run that was started is listed here.")
        st.stop()

    ui.show_run(ui.choose_run(views))
    ui.show_table(views)
    compared = ui.choose_compared(views)
    if compared:
        ui.show_validation_curves(compared)
        ui.show_differences(compared)
