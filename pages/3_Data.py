"""What is in a data folder: classes, images, faults, shortcuts to the label."""

import streamlit as st

from ui.data.checking import current_check
from ui.data.findings import show_integrity
from ui.data.folders import choose_data
from ui.data.measures import show_images, show_shortcuts
from ui.data.survey import show_classes, show_data_tiles, show_samples
from ui.errors import show_errors
from ui.frame import frame

with show_errors():
    frame("Data")

    source = choose_data()
    check = current_check(source)
    show_data_tiles(check)
    classes, images, samples, findings, shortcuts = st.tabs(
        ["Classes and splits", "Images", "Samples", "Integrity", "Shortcuts"],
        key="data_tab",
        on_change="rerun",
    )
    with classes:
        if classes.open:
            show_classes(check)
    with images:
        if images.open:
            show_images(check)
    with samples:
        if samples.open:
            show_samples(check)
    with findings:
        if findings.open:
            show_integrity(check)
    with shortcuts:
        if shortcuts.open:
            show_shortcuts(check)
