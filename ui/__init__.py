"""All Streamlit code that pages share."""

from ui.audit_trail import show_audit_trail
from ui.comparison import choose_other, show_comparison
from ui.data import choose_data
from ui.data_check import current_check
from ui.errors import show_errors
from ui.films import add_films, choose_film, session_films
from ui.findings import show_integrity
from ui.frame import frame
from ui.live_run import choose_run, show_run, show_validation_curves
from ui.loaders import active_card, active_model
from ui.machine import show_machine
from ui.measures import show_images, show_shortcuts
from ui.model import show_limits, show_model_tiles, show_purpose
from ui.model_card import show_card
from ui.model_exchange import show_checks, show_export, show_import
from ui.promotion import show_promotion
from ui.reading import show_reading
from ui.registry import (
    choose_model,
    registered_models,
    show_models,
    show_no_models,
    show_notice,
)
from ui.runs import (
    all_runs,
    choose_compared,
    show_differences,
    show_table,
)
from ui.survey import show_classes, show_data_tiles, show_samples
from ui.training import choose_settings, offer_start
from ui.training_data import choose_training_data

__all__ = [
    "active_card",
    "active_model",
    "add_films",
    "all_runs",
    "choose_compared",
    "choose_data",
    "choose_film",
    "choose_model",
    "choose_other",
    "choose_run",
    "choose_settings",
    "choose_training_data",
    "current_check",
    "frame",
    "offer_start",
    "registered_models",
    "session_films",
    "show_audit_trail",
    "show_card",
    "show_checks",
    "show_classes",
    "show_comparison",
    "show_data_tiles",
    "show_differences",
    "show_errors",
    "show_export",
    "show_images",
    "show_import",
    "show_integrity",
    "show_limits",
    "show_machine",
    "show_model_tiles",
    "show_models",
    "show_no_models",
    "show_notice",
    "show_promotion",
    "show_purpose",
    "show_reading",
    "show_run",
    "show_samples",
    "show_shortcuts",
    "show_table",
    "show_validation_curves",
]
