"""What a model is worth, and what every threshold costs."""

import streamlit as st

from ui.dashboard import comparison, local, sections, site
from ui.dashboard.source import choose_source
from ui.errors import show_errors
from ui.frame import frame

with show_errors():
    frame("Dashboard")

    source = choose_source()
    sections.show_threshold(source)
    st.divider()
    columns = st.grid(2, min_column_width=400, gap="medium")
    with columns.cell():
        sections.show_calibration(source)
    with columns.cell():
        sections.show_learning(source)
    sections.show_shortcuts(source)
    comparison.show_comparison(source)
    site.show_site_threshold(source.card)
    local.show_local_validation(source.card)
