"""The settings of a training, and its start."""

import sys
from dataclasses import replace
from pathlib import Path

import streamlit as st

from cxr import architectures, jobs, registry, runs
from cxr.config import settings
from cxr.errors import CxrError
from cxr.registry import Card
from cxr.runs import PRESETS, PURPOSES, TrainConfig
from ui import durations, wording
from ui.runs import CHOSEN
from ui.training_data import TrainingData
from ui.training_settings import choose_backbone, choose_numbers, show_changes

MOST_REACHED = 3


def choose_settings(found: TrainingData | None) -> tuple[TrainConfig, list[str]]:
    """Draws preset, architecture and settings.

    Returns:
        The settings, and sentences on what is in the way of starting with them.
    """
    columns = st.grid(2, min_column_width=380, gap="large")
    with columns.cell():
        preset = _preset()
        architecture = _architecture()
    with columns.cell():
        _show_reached(preset)
    config = runs.config_for(
        preset, architecture=architecture, data=str(found.path) if found else ""
    )
    with st.expander("Settings", icon=":material/tune:"):
        changed = replace(config, **choose_numbers(config))
        backbone, problem = choose_backbone(architecture)
    changed = replace(changed, **backbone)
    show_changes(config, changed)
    return changed, [problem] if problem else []


def offer_start(
    config: TrainConfig, found: TrainingData | None, problems: list[str]
) -> None:
    """Draws the button that starts a run, or says what is in the way."""
    obstacles = [*problems, *_obstacles(found)]
    for obstacle in obstacles:
        st.caption(f":material/block: {wording.escaped(obstacle)}")
    if st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        disabled=found is None or bool(obstacles),
    ):
        st.session_state[CHOSEN] = start(config).name
        st.rerun()


def start(config: TrainConfig) -> Path:
    """Creates a run, starts or queues it, and returns its folder.

    Raises:
        JobError: it can't be started; nothing is left of it then.
    """
    # Nothing of the page in between: a second click would cut the two apart.
    folder = runs.create(settings().runs_dir, config)
    try:
        jobs.submit(folder, command_for(folder))
    except CxrError:
        jobs.delete(folder)
        raise
    return folder


def command_for(folder: Path) -> tuple[str, ...]:
    """Returns the command that begins the run in a folder or goes on with it."""
    return (sys.executable, "-m", "cxr", "train", "--run", str(folder), "--resume")


def _preset() -> str:
    preset = st.segmented_control(
        "Preset",
        list(PRESETS),
        default="standard",
        required=True,
        format_func=str.capitalize,
        key="train_preset",
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
            index=names.index(architectures.DEFAULT),
            format_func=lambda name: f"{name}, {architectures.find(name).size} px",
            key="train_architecture",
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
    return durations.words(
        float(seconds) if isinstance(seconds, int | float) and seconds else None
    )


def _cards() -> list[Card]:
    models_dir = settings().models_dir
    stamps = sorted(
        (path.parent.name, path.stat().st_mtime_ns)
        for path in models_dir.glob(f"*/{registry.CARD}")
    )
    return _read_cards(models_dir, tuple(stamps))


@st.cache_data(max_entries=4, show_spinner=False)
def _read_cards(models_dir: Path, stamps: tuple[tuple[str, int], ...]) -> list[Card]:
    return registry.cards(models_dir)


def _obstacles(found: TrainingData | None) -> list[str]:
    obstacles = []
    if found and found.check and found.check.no_splits:
        obstacles.append(found.check.no_splits)
    reserve = settings().disk_reserve_gb
    free = jobs.disk_free(settings().runs_dir)
    if free < reserve * 1e9:
        obstacles.append(
            f"{free / 1e9:.1f} GB are free on the disk of the runs; a training begins "
            f"from {reserve} GB. Delete runs that are no longer needed."
        )
    return obstacles
