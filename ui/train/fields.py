"""Every setting of a training that can be changed, in its range."""

from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from cxr.runs import architectures
from cxr.runs.architectures import BASELINE
from cxr.runs.config import TrainConfig
from ui.wording import escaped


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
        low=1,
        high=7,
        step=1,
        help="A lower number lets more of the network learn and takes longer; 1 lets "
        "all of it learn, batch normalisation too.",
    ),
    Field(
        name="consistency",
        label="Consistency of two draws",
        low=0.0,
        high=10.0,
        step=0.5,
        format="%.1f",
        help="Each film is drawn twice in a batch, and its two probabilities are "
        "pulled together by this weight; an epoch takes twice as long. 0 for one draw.",
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
BLOCK = "unfreeze_from"


def choose_numbers(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings that are numbers, by name, as the reader has them."""
    is_baseline = config.architecture == BASELINE
    has_head = is_baseline or config.continues
    absent = [*([BLOCK] if is_baseline else []), *(["head_epochs"] if has_head else [])]
    values = {}
    grid = st.grid(4, min_column_width=180)
    for field in FIELDS:
        if field.name in absent:
            continue
        with grid.cell():
            values[field.name] = _number(field, config)
    return values


def show_changes(preset: TrainConfig, config: TrainConfig) -> None:
    """Names what is not as in the preset."""
    labels = {field.name: field.label for field in FIELDS}
    changed = [
        f"{labels.get(name, name.replace('_', ' ')).lower()} {_short(value)} "
        f"(preset {_short(getattr(preset, name))})"
        for name, value in asdict(config).items()
        if value != getattr(preset, name)
    ]
    if changed:
        st.caption(f":material/edit: Changed: {', '.join(changed)}")


def key_of(field: Field, preset: TrainConfig) -> str:
    """Returns the key of a number's field on the page, one for each preset's default.

    What was typed belongs to one default.
    """
    return f"train_{field.name}_{_default(field, preset)}_{_high(field, preset)}"


def _number(field: Field, config: TrainConfig) -> float:
    default = _default(field, config)
    kind = type(default)
    value = st.number_input(
        field.label,
        min_value=kind(field.low),
        max_value=kind(_high(field, config)),
        value=default,
        step=kind(field.step),
        format=field.format,
        key=key_of(field, config),
        persist_state="session",
        help=field.help or None,
    )
    return default if value is None else kind(value)


def _default(field: Field, config: TrainConfig) -> Any:
    default = getattr(config, field.name)
    return min(default, _high(field, config)) if field.name == BLOCK else default


def _high(field: Field, config: TrainConfig) -> float:
    if field.name == BLOCK:
        return architectures.find(config.architecture).last_block
    return field.high


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else escaped(str(value))
