"""Training runs as the page sees them: files and job of each, the table, two compared.

A folder with damaged files is a run that says so, never an error of the page.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

from cxr import disk
from cxr.config import settings
from cxr.errors import JobError, ModelError
from cxr.jobs import control, heartbeat
from cxr.jobs.control import Job
from cxr.jobs.heartbeat import Status
from cxr.jobs.queues import CONFIG
from cxr.models import cards, registry
from cxr.runs import history, run_folder
from cxr.runs.config import TrainConfig
from cxr.runs.history import Epoch, epoch
from ui import wording

CHOSEN = "train_run"
TABLE = "train_table"
DAMAGED, UNSTARTED = "damaged", "not started"
STAGES = {stage: stage for stage in run_folder.STAGES}
MOST_ROWS = 10  # in sight at once
ROW_PIXELS = 35


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as it is now.

    Attributes:
        folder: of its files.
        state: one of `jobs.STATES`, or `DAMAGED` or `UNSTARTED`.
        job: None if the app has never started it.
        config: None if its settings can't be read.
        status: None if it has not said anything yet.
        epochs: of all phases, in order.
        damage: what can't be read, a sentence; else empty.
    """

    folder: Path
    state: str
    job: Job | None
    config: TrainConfig | None
    status: Status | None
    epochs: tuple[Epoch, ...]
    damage: str

    @property
    def name(self) -> str:
        """Name of the folder, fit to be shown."""
        return wording.file_name(self.folder.name)

    @property
    def moves(self) -> bool:
        """Whether it may be another one in a moment."""
        return self.state in (control.QUEUED, control.RUNNING, control.SILENT)

    @property
    def best_auc(self) -> float:
        """The highest AUC on validation films; nan before there is one."""
        known = [e.val_auc for e in self.epochs if math.isfinite(e.val_auc)]
        return max(known, default=math.nan)

    @property
    def model_id(self) -> str:
        """The model that came of it; empty before there is one."""
        named = self.status.model_id if self.status else ""
        return named if registry.is_model_id(named) else ""


def all_runs() -> list[RunView]:
    """Returns every run, the newest first.

    Raises:
        JobError: the folder of the runs can't be read.
    """
    folder = settings().runs_dir
    known = {job.folder.name: job for job in control.list_jobs(folder)}
    others = _folders(folder) - set(known)
    names = [*known, *others]
    # A name begins with its day; those of one day are in order of their number.
    names.sort(key=_order, reverse=True)
    return [_view(folder / name, known.get(name)) for name in names]


def read_run(folder: Path) -> RunView | None:
    """Returns one run as it is now, None if it is gone."""
    return _view(folder, control.read(folder)) if folder.is_dir() else None


def show_table(views: Sequence[RunView]) -> None:
    """Shows all runs; a click on a row chooses its run."""

    def choose() -> None:
        rows = st.session_state[TABLE]["selection"]["rows"]
        if rows:
            st.session_state[CHOSEN] = views[rows[0]].folder.name

    st.dataframe(
        [_row(view) for view in views],
        height=ROW_PIXELS * (min(len(views), MOST_ROWS) + 1) + 3,
        hide_index=True,
        key=TABLE,
        on_select=choose,
        selection_mode="single-row",
        column_config={
            "Run": st.column_config.TextColumn(pinned=True),
            "Best AUC": st.column_config.TextColumn(
                help="The highest of any epoch on validation films, from which the "
                "weights are chosen. A model's test AUC is on the Models page."
            ),
            "Took": st.column_config.TextColumn(
                help="Since it last began; of a registered model its whole training."
            ),
        },
        alt="Training runs with their state, settings and best validation AUC",
    )


def choose_compared(views: Sequence[RunView]) -> list[RunView]:
    """Returns the two to four runs that are to be compared, none until there are."""
    usable = {view.folder.name: view for view in views if view.config}
    if len(usable) < 2:
        return []
    chosen = st.multiselect(
        "Compare runs",
        list(usable),
        max_selections=4,
        placeholder="Choose two to four",
        key="train_compared",
    )
    return [usable[name] for name in chosen] if len(chosen) > 1 else []


def show_differences(views: Sequence[RunView]) -> None:
    """Shows the settings in which these runs differ."""
    configs = {view.name: asdict(view.config) for view in views if view.config}
    rows = differences(configs)
    if not rows:
        st.caption("The settings of these runs are the same.")
        return
    st.dataframe(
        rows,
        hide_index=True,
        height="content",
        alt="Settings that differ between the compared runs",
    )


def differences(configs: Mapping[str, Mapping[str, object]]) -> list[dict[str, str]]:
    """Returns a row for each setting that is not the same in all runs."""
    first = next(iter(configs.values()))
    return [
        {"Setting": key.replace("_", " ")}
        | {name: _setting(key, config[key]) for name, config in configs.items()}
        for key in first
        if len({str(config[key]) for config in configs.values()}) > 1
    ]


def took(view: RunView) -> float | None:
    """Returns the seconds since it last began, of a model its whole training's.

    None before it begins.
    """
    seconds = _training_seconds_of(view.model_id) if view.model_id else None
    if seconds is None and view.job:
        return view.job.seconds
    return seconds


def _setting(key: str, value: object) -> str:
    # Of a path the last part says enough.
    text = str(value)
    return wording.file_name(text) if key in ("data", "backbone_weights") else text


def _folders(runs_dir: Path) -> set[str]:
    if not runs_dir.is_dir():
        return set()
    return {
        path.name
        for path in runs_dir.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and any((path / name).exists() for name in (CONFIG, heartbeat.STATUS))
    }


def _order(name: str) -> tuple[str, int]:
    day, _, number = name.rpartition("-")
    return (day, int(number)) if number.isdecimal() else (name, 0)


def _view(folder: Path, job: Job | None) -> RunView:
    damage: list[str] = []
    status = heartbeat.read_status(folder)
    config: TrainConfig | None = None
    epochs: tuple[Epoch, ...] = ()
    try:
        config = run_folder.read_config(folder)
    except JobError:
        damage.append("Its settings can't be read: it can't go on.")
    try:
        epochs = tuple(epoch(row) for row in history.read_history(folder))
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        damage.append("Its learning curve can't be read.")
    return RunView(
        folder=folder,
        state=_state(folder, job, config, status),
        job=job,
        config=config,
        status=status,
        epochs=epochs,
        damage=" ".join(damage),
    )


def _state(
    folder: Path, job: Job | None, config: TrainConfig | None, status: Status | None
) -> str:
    if job is not None and (job.alive or job.state == control.QUEUED or config):
        return job.state
    if config is None:
        return DAMAGED
    if status is None:
        return UNSTARTED
    if status.stage == heartbeat.DONE:
        return control.DONE
    # The command line runs it, or did until it was ended.
    fresh = disk.age(folder / heartbeat.STATUS) <= max(
        control.SILENT_SECONDS, status.patience
    )
    return control.RUNNING if fresh else control.STOPPED


def _row(view: RunView) -> dict[str, str]:
    dash, config = wording.NOT_MEASURED, view.config
    auc = view.best_auc
    return {
        "Run": view.name,
        "State": view.state.capitalize(),
        "Data": wording.file_name(config.data) if config else dash,
        "Architecture": config.architecture if config else dash,
        "Preset": config.preset if config else dash,
        "Best AUC": dash if math.isnan(auc) else f"{auc:.4f}",
        "Epochs": _epochs_in_words(view),
        "Took": wording.duration(took(view)),
        "Model": view.model_id or dash,
    }


def _epochs_in_words(view: RunView) -> str:
    if view.damage and not view.epochs:
        return wording.NOT_MEASURED
    fine = sum(epoch.phase != "head" for epoch in view.epochs)
    return f"{fine} of {view.config.epochs}" if view.config else f"{fine}"


def _training_seconds_of(model_id: str) -> float | None:
    path = settings().models_dir / model_id / cards.CARD
    try:
        modified = path.stat().st_mtime_ns
    except OSError:
        return None
    return _training_seconds(settings().models_dir, model_id, modified)


@st.cache_data(max_entries=256, show_spinner=False)
def _training_seconds(models_dir: Path, model_id: str, modified: int) -> float | None:
    try:
        seconds = registry.read_card(models_dir, model_id).training.get("seconds")
    except ModelError:
        return None
    return float(seconds) if isinstance(seconds, int | float) else None
