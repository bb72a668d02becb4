"""A new run with the settings of another: they fill the fields and can be changed."""

from dataclasses import asdict
from typing import Any

import streamlit as st

from cxr.runs import architectures
from cxr.runs.config import PRESETS, TrainConfig, config_for
from ui import wording
from ui.session import SOURCE
from ui.train import beginning
from ui.train.fields import FIELDS, key_of
from ui.train.runs import RunView

PRESET, ARCHITECTURE, TAKEN = "train_preset", "train_architecture", "train_taken"
# What has a place of its own on the page.
_SHOWN = {
    *(field.name for field in FIELDS),
    *("data", "preset", "architecture", "backbone_weights", "backbone_note"),
}


def offer_again(view: RunView) -> None:
    """Draws the button that takes a run's settings for a new one."""
    if view.config is None:
        return
    st.button(
        "New run with these settings",
        key="train_again",
        icon=":material/replay:",
        help="Puts them into the fields above, where they can be changed. Nothing "
        "starts yet.",
        on_click=_take,
        args=(view.name, view.config),
    )


def show_taken() -> None:
    """Says whose settings the fields hold, if a run's were taken."""
    if taken := st.session_state.get(TAKEN):
        st.info(
            f"With the settings of {wording.escaped(taken['run'])}. Change what is to "
            "be different, then start.",
            icon=":material/replay:",
        )


def taken_beside(config: TrainConfig) -> dict[str, Any]:
    """Returns those settings of the run that have no field on the page.

    They belong to its preset and network; with others they are those of the preset.
    """
    taken = st.session_state.get(TAKEN)
    if not taken or taken["of"] != (config.preset, config.architecture):
        return {}
    return dict(taken["beside"])


def forget_taken() -> None:
    """Forgets whose settings the fields hold: they were started with."""
    st.session_state.pop(TAKEN, None)


def _take(name: str, config: TrainConfig) -> None:
    values = asdict(config)
    preset = config.preset if config.preset in PRESETS else "standard"
    st.session_state[SOURCE] = config.data
    st.session_state[PRESET] = preset
    if config.architecture in architectures.ARCHITECTURES:
        st.session_state[ARCHITECTURE] = config.architecture
    beginning.take(config.backbone_weights, config.backbone_note)
    first = config_for(
        preset,
        architecture=config.architecture,
        backbone_weights=config.backbone_weights,
    )
    for field in FIELDS:
        low, high = field.low, field.high
        value = values[field.name]
        st.session_state[key_of(field, first)] = type(value)(min(max(value, low), high))
    st.session_state[TAKEN] = {
        "run": name,
        "of": (preset, config.architecture),
        "beside": {k: v for k, v in values.items() if k not in _SHOWN},
    }
