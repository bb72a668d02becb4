"""What a training begins with: the active model, weights of others, or nothing."""

from pathlib import Path
from typing import Any

import streamlit as st

from cxr.config import settings
from cxr.errors import ModelError
from cxr.models import registry
from cxr.runs import architectures, backbone, continuation
from cxr.runs.architectures import BASELINE
from cxr.runs.backbone import IMAGENET, MODEL, NONE, SUFFIX
from ui.wording import escaped

CONFIGURED, OTHER = "configured", "other"
CHOICE, PATH, NOTE = "train_backbone", "train_backbone_file", "train_backbone_note"
OTHERS = "train_backbone_other_model"  # a model that an earlier run went on from


def first_architecture() -> str:
    """Returns the network that the page offers first.

    That is the usual one, or the active model's where the weights of the usual one
    can't be had and training can go on from that model.
    """
    usual = architectures.DEFAULT
    if not backbone.problem(settings().backbone_weights, usual):
        return usual
    active, architecture = _active()
    return architecture if active else usual


def choose_beginning(architecture: str) -> dict[str, Any]:
    """Draws the choice of first weights and returns them as settings of a run."""
    labels = _labels(architecture)
    if st.session_state.get(CHOICE) not in labels:
        st.session_state[CHOICE] = _first(labels, architecture)
    choice = str(
        st.selectbox(
            "Begin with",
            list(labels),
            format_func=labels.__getitem__,
            key=CHOICE,
            persist_state="session",
        )
    )
    _explain(choice, architecture)
    if choice not in (CONFIGURED, OTHER):
        return {"backbone_weights": choice}
    path = settings().backbone_weights if choice == CONFIGURED else _weights_path()
    return {"backbone_weights": path, "backbone_note": _note()}


def take(weights: str, note: str) -> None:
    """Puts what another run began with into the fields."""
    configured = settings().backbone_weights
    st.session_state[NOTE] = note
    if weights in (IMAGENET, NONE):
        st.session_state[CHOICE] = weights
    elif weights.startswith(MODEL):
        st.session_state[OTHERS] = st.session_state[CHOICE] = weights
    elif weights == configured:
        st.session_state[CHOICE] = CONFIGURED
    else:
        st.session_state[CHOICE], st.session_state[PATH] = OTHER, weights


def _labels(architecture: str) -> dict[str, str]:
    """Returns the choices for a network, with their words."""
    labels = {}
    active, its_network = _active()
    if active and its_network == architecture:
        labels[active] = f"The active model, {active.removeprefix(MODEL)}"
    other = st.session_state.get(OTHERS, active)
    if other and other != active:
        labels[other] = f"The model {other.removeprefix(MODEL)}"
    if architecture == BASELINE:
        return {**labels, NONE: "Random weights"}
    configured = settings().backbone_weights
    if configured not in (IMAGENET, NONE):
        labels[CONFIGURED] = f"{Path(configured).name} of this app"
    return {
        **labels,
        IMAGENET: "ImageNet, downloaded by Keras",
        NONE: "Random weights",
        OTHER: "A file of weights",
    }


def _first(labels: dict[str, str], architecture: str) -> str:
    """Returns the settings' choice, or the active model where that can't be had."""
    configured = settings().backbone_weights
    first = next(iter(labels))
    if first.startswith(MODEL) and _lacks(configured, architecture):
        return first
    if architecture == BASELINE:
        return NONE
    return configured if configured in labels else CONFIGURED


def _lacks(weights: str, architecture: str) -> bool:
    # The baseline needs none itself; it may be here for want of those of another.
    needed = architectures.DEFAULT if architecture == BASELINE else architecture
    return bool(backbone.problem(weights, needed))


def _explain(choice: str, architecture: str) -> None:
    if not choice.startswith(MODEL):
        return
    st.caption(escaped(continuation.words(choice.removeprefix(MODEL))))
    if _lacks(IMAGENET, architecture):
        st.caption(
            ":material/cloud_off: ImageNet weights are not on this machine and there "
            "is no connection to fetch them."
        )


def _active() -> tuple[str, str]:
    """Returns the active model as weights and its network; empty if it has none."""
    models_dir = settings().models_dir
    try:
        card = registry.read_card(models_dir, registry.active_id(models_dir))
    except ModelError:
        return "", ""
    weights = f"{MODEL}{card.model_id}"
    if continuation.problem(models_dir, weights, card.architecture):
        return "", ""
    return weights, card.architecture


def _note() -> str:
    text = st.text_input(
        "Where this file comes from",
        max_chars=200,
        key=NOTE,
        persist_state="session",
        help="Goes on the card of the model.",
    )
    return str(text or "").strip()


def _weights_path() -> str:
    text = st.text_input(
        f"Path of the weights ({SUFFIX})", key=PATH, persist_state="session"
    )
    return str(text or "").strip()
