"""What a model is worth, and what every threshold costs."""

import streamlit as st

import ui
from ui import dashboard, dashboard_comparison, dashboard_local

ui.frame("Dashboard")

with ui.show_errors():
    source = dashboard.choose_source()
    dashboard.show_threshold(source)
    st.divider()
    columns = st.grid(2, min_column_width=400, gap="medium")
    with columns.cell():
        dashboard.show_calibration(source)
    with columns.cell():
        dashboard.show_learning(source)
    dashboard.show_shortcuts(source)
    dashboard_comparison.show_comparison(source)
    dashboard_local.show_local_validation(source.card)
