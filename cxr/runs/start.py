"""What is begun in the background for training: a run, and a measurement of speed.

Each act checks who may and what is in its way, records it, and starts the job or queues
it. A stop and a deletion are recorded where that can be: they work on a full disk too.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import psutil

from cxr import data_folder, disk
from cxr.config import settings
from cxr.datasets import checks, folders, lineage, splits
from cxr.datasets.lineage import EarlierFilm
from cxr.datasets.search import Stamp, allowed, stamp
from cxr.errors import CxrError, DatasetError, JobError, ModelError
from cxr.jobs import control
from cxr.models import registry
from cxr.records import actors, audit
from cxr.runs import architectures, backbone, continuation, run_folder
from cxr.runs.config import TrainConfig
from cxr.runs.run_folder import Run

# A training of EfficientNetB0 on the 5,232 films of the official folder, 32 a step,
# took 2.6 GB at its peak; the baseline takes less. Where the whole network learns, the
# steps alone took 4.2 GB.
LEAST_MEMORY_GB, LEAST_OF_BASELINE_GB, LEAST_OF_WHOLE_GB = 3, 1, 5
BUSY = "A run goes on, and each would slow the other down. Measure when it has ended."


def start(config: TrainConfig, *, actor: str) -> Path:
    """Starts a run in the background, or queues it, and returns its folder.

    Args:
        config: its settings.
        actor: who starts it, for the audit trail.

    Raises:
        DatasetError: the films are not there, or the app may not read them.
        JobError: something of `obstacles` is in the way (`cannot-start`), or the job
            can't be started; nothing is left of the run then.
        CxrError: that person may not (`not-allowed`), or the audit trail can't be
            written.
    """
    actors.require(settings().records_dir, actor, actors.TRAIN)
    allowed(config.data)
    _refuse(obstacles(config))
    # Nothing of the page in between: a second click would cut the two apart.
    folder = run_folder.create(settings().runs_dir, config)
    with _deleted_if_not_begun(folder):
        _record(folder, actors.TRAIN, actor)
        control.submit(folder, command_for(folder))
    return folder


def resume(folder: Path, *, actor: str) -> None:
    """Lets a run that ended go on after its last whole epoch, or queues it.

    Args:
        folder: of the run.
        actor: who lets it go on, for the audit trail.

    Raises:
        JobError: its settings can't be read, something of `obstacles_to_resume` is in
            the way (`cannot-start`), or the job can't be started.
        CxrError: that person may not (`not-allowed`), or the audit trail can't be
            written.
    """
    require_resumable(folder, actor=actor)
    control.submit(folder, command_for(folder))


def stop(folder: Path, *, actor: str) -> None:
    """Ends a run or a measurement, or takes it out of the queue; whole epochs stay.

    Args:
        folder: of the run.
        actor: who ends it, for the audit trail.

    Raises:
        JobError: there is no such job, or another user of the machine started it.
        CxrError: that person may not (`not-allowed`).
    """
    _end(folder, actors.STOP_TRAINING, actor)
    control.stop(folder)


def delete(folder: Path, *, actor: str) -> None:
    """Deletes a run that has ended, with all that is in its folder.

    Args:
        folder: of the run.
        actor: who deletes it, for the audit trail.

    Raises:
        JobError: there is no such run, or it runs or waits.
        CxrError: that person may not (`not-allowed`).
    """
    _end(folder, actors.DELETE_RUN, actor)
    control.delete(folder)


def begin(config: TrainConfig, folder: Path | None, *, actor: str) -> Path:
    """Returns the folder of a run that the caller is about to train itself.

    Args:
        config: its settings.
        folder: of the run; None for a new one among all runs.
        actor: who begins it, for the audit trail.

    Raises:
        DatasetError: a film lies outside the data that the app may read.
        JobError: something of `obstacles` is in the way (`cannot-start`).
        CxrError: that person may not (`not-allowed`), the folder holds a run that has
            begun (`run-exists`), or the audit trail can't be written.
    """
    actors.require(settings().records_dir, actor, actors.TRAIN)
    _refuse(obstacles(config))
    if folder and Run(folder).has_checkpoint:
        raise CxrError(
            f"{folder} holds a run already: go on with --resume, or name another.",
            code="run-exists",
        )
    folder = folder or run_folder.create(settings().runs_dir, config)
    _record(folder, actors.TRAIN, actor)
    return folder


def require_resumable(folder: Path, *, actor: str) -> None:
    """Records that a run goes on if nothing is in the way; a job goes on by itself.

    Args:
        folder: of the run.
        actor: who lets it go on.

    Raises:
        JobError: its settings can't be read, or something of `obstacles_to_resume` is
            in the way (`cannot-start`).
        CxrError: that person may not (`not-allowed`), or the audit trail can't be
            written.
    """
    mine = control.is_this_process(folder)
    if not mine:
        actors.require(settings().records_dir, actor, actors.TRAIN)
    _refuse(obstacles_to_resume(folder))
    if not mine:
        _record(folder, actors.TRAIN, actor, resumed=True)


def obstacles(config: TrainConfig) -> list[str]:
    """Returns a sentence for each thing that stops a run with these settings.

    Raises:
        DatasetError: a film lies outside the data that the app may read.
    """
    return _said(
        [_no_weights(config), _no_split(config), _no_disk(), _no_memory(config)]
    )


def obstacles_to_resume(folder: Path) -> list[str]:
    """Returns a sentence for each thing that keeps a run from going on.

    Where its best weights are kept, those that it began with are not needed any more.

    Raises:
        JobError: its settings can't be read.
    """
    config = run_folder.read_config(folder)
    begun = Run.weights_of(folder).is_file()
    return _said(["" if begun else _no_weights(config), _no_disk(), _no_memory(config)])


def _refuse(sentences: list[str]) -> None:
    if sentences:
        raise JobError(" ".join(sentences), code="cannot-start")


def _said(sentences: list[str]) -> list[str]:
    return [sentence for sentence in sentences if sentence]


def _no_weights(config: TrainConfig) -> str:
    weights, architecture = config.backbone_weights, config.architecture
    return backbone.problem(weights, architecture) or continuation.problem(
        settings().models_dir, weights, architecture
    )


def _no_split(config: TrainConfig) -> str:
    """Returns why the films can't be dealt; what only their contents tell comes later.

    Whether the films may be read at all is asked by whoever chooses them.
    """
    if not config.data:
        return ""
    source, where = Path(config.data), settings()
    if said := checks.why_no_splits(where.cache_dir, source):
        return said
    try:
        model = backbone.model_of(config.backbone_weights) if config.continues else ""
        card = registry.card_sha256(where.models_dir, model) if model else ""
        return _not_dealt(source, stamp(source), config.split_seed, model, card)
    except (ModelError, OSError):
        return ""  # Said of the weights, and by whoever looks for the films.


@lru_cache(maxsize=16)
def _not_dealt(source: Path, stamped: Stamp, seed: int, model: str, card: str) -> str:
    """Returns why not; what was seen stands for as long as folders and card are so."""
    models_dir = settings().models_dir
    earlier: tuple[EarlierFilm, ...] = ()
    if model:
        found = registry.read_card(models_dir, model)
        earlier = continuation.films_of(models_dir, found)
    try:
        films = folders.scan(source)
        known = lineage.settle(films, earlier)
        splits.split_by_patient(films, seed=seed, settled=known.splits)
    except DatasetError as error:
        if error.code == data_folder.OUTSIDE:
            raise
        return error.message
    return ""


def _no_disk() -> str:
    free, reserve = disk.free(settings().runs_dir), settings().disk_reserve_gb
    if free >= reserve * 1e9:
        return ""
    return (
        f"{free / 1e9:.1f} GB are free on the disk of the runs; a training begins from "
        f"{reserve} GB. Delete runs that are no longer needed."
    )


def _no_memory(config: TrainConfig) -> str:
    least = LEAST_OF_WHOLE_GB if config.unfreeze_from == 1 else LEAST_MEMORY_GB
    if config.architecture == architectures.BASELINE:
        least = LEAST_OF_BASELINE_GB
    free = psutil.virtual_memory().available
    if free >= least * 1e9:
        return ""
    return (
        f"{free / 1e9:.1f} GB of memory are free; a training of this network begins "
        f"from {least} GB. End what else runs on this machine."
    )


def measure(config: TrainConfig, *, actor: str) -> Path:
    """Starts a measurement of the speed of such a run; returns its folder.

    Earlier measurements that have ended are deleted; their speeds stay.

    Args:
        config: settings of the run.
        actor: who starts it.

    Raises:
        JobError: a run goes on (`busy`), or the job can't be started; nothing is left
            of the measurement then.
        CxrError: that person may not (`not-allowed`).
    """
    actors.require(settings().records_dir, actor, actors.MEASURE_SPEED)
    if is_busy():
        raise JobError(BUSY, code="busy")
    for job in control.list_jobs(measurements()):
        if job.has_ended:
            control.delete(job.folder)
    folder = run_folder.create(measurements(), config)
    command = (sys.executable, "-m", "cxr", "measure", "--run", str(folder))
    with _deleted_if_not_begun(folder):
        control.submit(folder, command)
    return folder


def require_measurable(folder: Path, *, actor: str) -> None:
    """Makes sure that the caller may measure itself; a started measurement may.

    Raises:
        CxrError: that person may not (`not-allowed`).
    """
    if not control.is_this_process(folder):
        actors.require(settings().records_dir, actor, actors.MEASURE_SPEED)


def is_busy() -> bool:
    """Returns whether a run goes on, beside which no speed can be measured."""
    return any(job.alive for job in control.list_jobs(settings().runs_dir))


def measurements() -> Path:
    """Returns the queue of the measurements."""
    return settings().cache_dir / "measurements"


def command_for(folder: Path) -> tuple[str, ...]:
    """Returns the command that begins the run in a folder or goes on with it."""
    return (sys.executable, "-m", "cxr", "train", "--run", str(folder), "--resume")


def _record(folder: Path, act: str, actor: str, *, resumed: bool = False) -> None:
    details = {"run": folder.name, **({"resumed": True} if resumed else {})}
    audit.record(settings().records_dir, act, actor=actor, details=details)


def _end(folder: Path, act: str, actor: str) -> None:
    records_dir = settings().records_dir
    actors.require(records_dir, actor, act)
    audit.note(records_dir, act, actor=actor, details={"run": folder.name})


@contextmanager
def _deleted_if_not_begun(folder: Path) -> Iterator[None]:
    try:
        yield
    except CxrError:
        control.delete(folder)
        raise
