"""Every setting of a training that can be changed, in its range."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from cxr.config import settings
from cxr.runs import architectures
from cxr.runs.architectures import BASELINE
from cxr.runs.backbone import IMAGENET, NONE, SUFFIX
from cxr.runs.config import TrainConfig

CONFIGURED, OTHER = "configured", "other"


@dataclass(frozen=True, kw_only=True)
class Field:
    """A setting that can be changed, and its range."""

    name: str
    label: str
    low: float
    high: float
    step: float
    format: str = "%d"
    help: str = ""


FIELDS = (
    Field(
        name="epochs",
        label="Epochs",
        low=1,
        high=200,
        step=1,
        help="At most, of fine-tuning; of everything for the baseline network.",
    ),
    Field(
        name="harder_from",
        label="Harder films from epoch",
        low=0,
        high=200,
        step=1,
        help="From this epoch on the changes of films go further and the learning rate "
        "starts anew; 0 for never. Only with randomised style.",
    ),
    Field(
        name="unfreeze_from",
        label="First block that learns",
        low=2,
        high=7,
        step=1,
        help="A lower number lets more of the network learn and takes longer.",
    ),
    Field(
        name="patience",
        label="Patience, epochs",
        low=1,
        high=100,
        step=1,
        help="Epochs without a better validation loss before the run stops.",
    ),
    Field(
        name="batch_size",
        label="Batch size, films",
        low=1,
        high=256,
        step=1,
        help="Over all devices. Halve it if memory is too short.",
    ),
    Field(
        name="accumulate",
        label="Accumulate, steps",
        low=1,
        high=64,
        step=1,
        help="Steps whose gradients are added up before the weights move.",
    ),
    Field(
        name="learning_rate",
        label="Learning rate",
        low=1e-6,
        high=0.1,
        step=1e-5,
        format="%.2e",
        help="Adam's, after the warm-up.",
    ),
    Field(name="warm_up", label="Warm-up, steps", low=0, high=10_000, step=10),
    Field(
        name="averaging",
        label="Averaging of weights",
        low=0.0,
        high=0.9999,
        step=0.01,
        format="%.4f",
        help="Momentum of the running mean of the weights that is kept; 0 for none.",
    ),
    Field(name="dropout", label="Dropout", low=0.0, high=0.9, step=0.05, format="%.2f"),
    Field(
        name="head_epochs",
        label="Head epochs",
        low=1,
        high=500,
        step=1,
        help="At most, for the head alone on the frozen network.",
    ),
    Field(
        name="target_sensitivity",
        label="Target sensitivity",
        low=0.5,
        high=0.999,
        step=0.005,
        format="%.3f",
        help="Of the shipped threshold, on validation films.",
    ),
    Field(
        name="assured_sensitivity",
        label="Its lower limit, at least",
        low=0.3,
        high=0.999,
        step=0.005,
        format="%.3f",
        help="Of the 95 % interval of that sensitivity.",
    ),
    Field(
        name="target_under_shift",
        label="Sensitivity after shifts",
        low=0.0,
        high=0.999,
        step=0.005,
        format="%.3f",
        help="Of the shipped threshold, on validation films as they are and after "
        "synthetic shifts together; then the lower limit above has no meaning. 0 for "
        "the films as they are alone.",
    ),
    Field(
        name="standard_tone",
        label="Standard tone",
        low=0.0,
        high=1.0,
        step=0.05,
        format="%.2f",
        help="How far films are moved towards the mean grey scale of training films "
        "before the finished network reads them. 0 for not at all.",
    ),
    Field(
        name="seed",
        label="Seed",
        low=0,
        high=2**31 - 1,
        step=1,
        help="Of the draws and the first weights.",
    ),
    Field(
        name="split_seed",
        label="Seed of the split",
        low=0,
        high=2**31 - 1,
        step=1,
        help="Models with the same one are tested on the same patients and can be "
        "compared. Leave it as it is unless this is what you study.",
    ),
)
WITHOUT_BASELINE = ("unfreeze_from", "head_epochs")


def choose_numbers(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings that are numbers, by name, as the reader has them."""
    values = {}
    grid = st.grid(4, min_column_width=180)
    for field in FIELDS:
        if config.architecture == BASELINE and field.name in WITHOUT_BASELINE:
            continue
        with grid.cell():
            values[field.name] = _number(field, config)
    return values


def choose_backbone(architecture: str) -> dict[str, Any]:
    """Returns the settings of the backbone's start."""
    if architecture == BASELINE:
        return {"backbone_weights": NONE}
    configured = settings().backbone_weights
    labels = {
        IMAGENET: "ImageNet, downloaded by Keras",
        NONE: "None, from random weights",
        OTHER: "A file",
    }
    if configured not in (IMAGENET, NONE):
        labels = {CONFIGURED: f"{Path(configured).name} of this app", **labels}
    first = configured if configured in labels else CONFIGURED
    columns = st.grid(2, min_column_width=330)
    with columns.cell():
        choice = st.selectbox(
            "Backbone weights",
            list(labels),
            index=list(labels).index(first),
            format_func=labels.__getitem__,
            key="train_backbone",
            persist_state="session",
        )
    if choice not in (CONFIGURED, OTHER):
        return {"backbone_weights": str(choice)}
    with columns.cell():
        note = st.text_input(
            "Where this file comes from",
            max_chars=200,
            key="train_backbone_note",
            persist_state="session",
            help="Goes on the card of the model.",
        )
    path = configured if choice == CONFIGURED else _weights_path()
    return {"backbone_weights": path, "backbone_note": str(note or "").strip()}


def show_changes(preset: TrainConfig, config: TrainConfig) -> None:
    """Names what is not as in the preset."""
    changed = [
        f"{field.label.lower()} {getattr(config, field.name):g} "
        f"(preset {getattr(preset, field.name):g})"
        for field in FIELDS
        if getattr(config, field.name) != getattr(preset, field.name)
    ]
    if changed:
        st.caption(f":material/edit: Changed: {', '.join(changed)}")


def _number(field: Field, config: TrainConfig) -> float:
    default = getattr(config, field.name)
    high = field.high
    if field.name == "unfreeze_from":
        high = architectures.find(config.architecture).last_block
        default = min(default, high)
    kind = type(default)
    # Another preset's default is another field: what was typed belongs to one.
    value = st.number_input(
        field.label,
        min_value=kind(field.low),
        max_value=kind(high),
        value=default,
        step=kind(field.step),
        format=field.format,
        key=f"train_{field.name}_{default}_{high}",
        persist_state="session",
        help=field.help or None,
    )
    return default if value is None else kind(value)


def _weights_path() -> str:
    text = st.text_input(
        f"Path of the weights ({SUFFIX})",
        key="train_backbone_file",
        persist_state="session",
    )
    return str(text or "").strip()
