"""The settings of a training, and its start."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.models import cards, registry
from cxr.models.cards import Card
from cxr.records.actors import TRAIN
from cxr.runs import architectures, start
from cxr.runs.config import PRESETS, PURPOSES, TrainConfig, config_for
from ui import wording
from ui.people import actor, allowed, say_who_can
from ui.train.again import (
    ARCHITECTURE,
    PRESET,
    forget_taken,
    show_taken,
    taken_beside,
)
from ui.train.beginning import choose_beginning, first_architecture
from ui.train.fields import choose_numbers, show_changes
from ui.train.films import TrainingData
from ui.train.runs import CHOSEN

MOST_REACHED = 3


def choose_settings(training: TrainingData | None) -> TrainConfig:
    """Draws preset, architecture and settings, and returns what they come to."""
    show_taken()
    columns = st.grid(2, min_column_width=380, gap="large")
    with columns.cell():
        preset = _preset()
        architecture = _architecture()
        beginning = choose_beginning(architecture)
    with columns.cell():
        _show_reached(preset)
    config = config_for(
        preset,
        architecture=architecture,
        data=str(training.path) if training else "",
        **beginning,
    )
    with st.expander("Settings", icon=":material/tune:"):
        changed = replace(config, **taken_beside(config), **choose_numbers(config))
    show_changes(config, changed)
    return changed


def offer_start(config: TrainConfig, training: TrainingData | None) -> None:
    """Draws the button that starts a run, or says who may or what is in the way."""
    if not allowed(TRAIN):
        say_who_can(TRAIN)
        return
    obstacles = start.obstacles(config)
    for obstacle in obstacles:
        st.caption(f":material/block: {wording.escaped(obstacle)}")
    if st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        disabled=training is None or bool(obstacles),
    ):
        st.session_state[CHOSEN] = start.start(config, actor=actor()).name
        forget_taken()
        st.rerun()


def _preset() -> str:
    preset = st.segmented_control(
        "Preset",
        list(PRESETS),
        default="standard",
        required=True,
        format_func=str.capitalize,
        key=PRESET,
        persist_state="session",
    )
    st.caption(PURPOSES[preset])
    return str(preset)


def _architecture() -> str:
    names = list(architectures.ARCHITECTURES)
    return str(
        st.selectbox(
            "Architecture",
            names,
            index=names.index(first_architecture()),
            format_func=lambda name: f"{name}, {architectures.find(name).size} px",
            key=ARCHITECTURE,
            persist_state="session",
        )
    )


def _show_reached(preset: str) -> None:
    st.markdown(f"**What models made with “{preset}” reached**")
    made = [card for card in _cards() if card.training.get("preset") == preset]
    if not made:
        st.caption(f"{wording.NOT_MEASURED} None is registered.")
        return
    rows = [
        {
            "Model": card.model_id,
            "Test AUC": wording.estimate(card.metrics["test"].auc),
            "Took": _took(card),
        }
        for card in made[:MOST_REACHED]
    ]
    st.dataframe(rows, hide_index=True, alt=f"Models made with {preset}")
    if len(made) > MOST_REACHED:
        st.caption(f"The newest {MOST_REACHED} of {len(made)}.")


def _took(card: Card) -> str:
    seconds = card.training.get("seconds")
    return wording.duration(
        float(seconds) if isinstance(seconds, int | float) and seconds else None
    )


def _cards() -> list[Card]:
    models_dir = settings().models_dir
    stamps = sorted(
        (path.parent.name, path.stat().st_mtime_ns)
        for path in models_dir.glob(f"*/{cards.CARD}")
    )
    return _read_cards(models_dir, tuple(stamps))


@st.cache_data(max_entries=4, show_spinner=False)
def _read_cards(models_dir: Path, stamps: tuple[tuple[str, int], ...]) -> list[Card]:
    return registry.cards(models_dir)
