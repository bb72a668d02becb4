"""What is in a data folder: classes, images, faults, shortcuts to the label."""

import streamlit as st

import ui

ui.frame("Data")

with ui.show_errors():
    source = ui.choose_data()
    check = ui.current_check(source)
    ui.show_data_tiles(check)
    classes, images, samples, findings, shortcuts = st.tabs(
        ["Classes and splits", "Images", "Samples", "Integrity", "Shortcuts"],
        key="data_tab",
        on_change="rerun",
    )
    with classes:
        if classes.open:
            ui.show_classes(check)
    with images:
        if images.open:
            ui.show_images(check)
    with samples:
        if samples.open:
            ui.show_samples(check)
    with findings:
        if findings.open:
            ui.show_integrity(check)
    with shortcuts:
        if shortcuts.open:
            ui.show_shortcuts(check)
