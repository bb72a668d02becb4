"""Registered models: what each is worth, which serves, promotion and the way back."""

import streamlit as st

import ui

CARD, COMPARE, FILES, TRAIL = "Card", "Compare and promote", "Files", "Audit trail"

ui.frame("Models")

with ui.show_errors("The model that serves is unchanged."):
    ui.show_notice()
    models = ui.registered_models()
    if models:
        ui.show_models(models)
    chosen = ui.choose_model(models)
    if not chosen:
        ui.show_no_models()
    views = [CARD, COMPARE, FILES, TRAIL] if chosen else [FILES, TRAIL]
    tabs = st.tabs(views, key="models_view", on_change="rerun")
    view, place = next(pair for pair in zip(views, tabs, strict=True) if pair[1].open)

    with place:
        if view == CARD and chosen:
            ui.show_card(chosen)

        if view == COMPARE and chosen:
            ui.show_promotion(chosen, models)
            other = ui.choose_other(models, chosen)
            if other:
                ui.show_comparison(chosen, other)

        if view == FILES:
            if chosen:
                ui.show_export(chosen, models)
            ui.show_import()
            ui.show_checks(models)

        if view == TRAIL:
            ui.show_audit_trail()
