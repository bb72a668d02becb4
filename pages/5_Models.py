"""Registered models: what each is worth, which serves, promotion and the way back."""

import streamlit as st

from ui.errors import show_errors
from ui.frame import frame
from ui.models.card import show_card
from ui.models.comparison import choose_other, show_comparison
from ui.models.exchange import show_checks, show_export, show_import
from ui.models.promotion import show_promotion
from ui.models.roles import show_roles
from ui.models.table import (
    choose_model,
    registered_models,
    show_models,
    show_no_models,
    show_notice,
)
from ui.models.trail import show_audit_trail

CARD, COMPARE, FILES = "Card", "Compare and promote", "Files"
TRAIL, ROLES = "Audit trail", "Roles"

with show_errors("The model that serves is unchanged."):
    frame("Models")

    show_notice()
    models = registered_models()
    if models:
        show_models(models)
    chosen = choose_model(models)
    if not chosen:
        show_no_models()
    views = [*([CARD, COMPARE] if chosen else []), FILES, TRAIL, ROLES]
    tabs = st.tabs(views, key="models_view", on_change="rerun")
    view, place = next(pair for pair in zip(views, tabs, strict=True) if pair[1].open)

    with place:
        if view == CARD and chosen:
            show_card(chosen)

        if view == COMPARE and chosen:
            show_promotion(chosen, models)
            other = choose_other(models, chosen)
            if other:
                show_comparison(chosen, other)

        if view == FILES:
            if chosen:
                show_export(chosen, models)
            show_import()
            show_checks(models)

        if view == TRAIL:
            show_audit_trail()

        if view == ROLES:
            show_roles()
