"""What is begun in the background for training: a run, and a measurement of speed.

Each act checks what is in its way, creates a folder with the settings, and starts the
job or queues it.
"""

import sys
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
from cxr.runs import architectures, backbone, continuation, run_folder
from cxr.runs.config import TrainConfig
from cxr.runs.run_folder import Run

# A training of EfficientNetB0 on the 5,232 films of the official folder, 32 a step,
# took 2.6 GB at its peak; the baseline takes less. Where the whole network learns, the
# steps alone took 4.2 GB.
LEAST_MEMORY_GB, LEAST_OF_BASELINE_GB, LEAST_OF_WHOLE_GB = 3, 1, 5
BUSY = "A run goes on, and each would slow the other down. Measure when it has ended."


def start(config: TrainConfig) -> Path:
    """Starts a run in the background, or queues it, and returns its folder.

    Raises:
        DatasetError: the films are not there, or the app may not read them.
        JobError: something of `obstacles` is in the way (`cannot-start`), or the job
            can't be started; nothing is left of the run then.
    """
    allowed(config.data)
    require(config)
    # Nothing of the page in between: a second click would cut the two apart.
    folder = run_folder.create(settings().runs_dir, config)
    _submit_or_delete(folder, command_for(folder))
    return folder


def resume(folder: Path) -> None:
    """Lets a run that ended go on after its last whole epoch, or queues it.

    Raises:
        JobError: its settings can't be read, something of `obstacles_to_resume` is in
            the way (`cannot-start`), or the job can't be started.
    """
    require_resumable(folder)
    control.submit(folder, command_for(folder))


def require(config: TrainConfig) -> None:
    """Makes sure that nothing is in the way of a run with these settings.

    Raises:
        DatasetError: a film lies outside the data that the app may read.
        JobError: something of `obstacles` is in the way (`cannot-start`).
    """
    _refuse(obstacles(config))


def require_resumable(folder: Path) -> None:
    """Makes sure that nothing is in the way of going on with a run.

    Raises:
        JobError: its settings can't be read, or something of `obstacles_to_resume` is
            in the way (`cannot-start`).
    """
    _refuse(obstacles_to_resume(folder))


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


def measure(config: TrainConfig) -> Path:
    """Starts a measurement of the speed of such a run; returns its folder.

    Earlier measurements that have ended are deleted; their speeds stay.

    Raises:
        JobError: a run goes on (`busy`), or the job can't be started; nothing is left
            of the measurement then.
    """
    if is_busy():
        raise JobError(BUSY, code="busy")
    for job in control.list_jobs(measurements()):
        if job.has_ended:
            control.delete(job.folder)
    folder = run_folder.create(measurements(), config)
    command = (sys.executable, "-m", "cxr", "measure", "--run", str(folder))
    _submit_or_delete(folder, command)
    return folder


def is_busy() -> bool:
    """Returns whether a run goes on, beside which no speed can be measured."""
    return any(job.alive for job in control.list_jobs(settings().runs_dir))


def measurements() -> Path:
    """Returns the queue of the measurements."""
    return settings().cache_dir / "measurements"


def command_for(folder: Path) -> tuple[str, ...]:
    """Returns the command that begins the run in a folder or goes on with it."""
    return (sys.executable, "-m", "cxr", "train", "--run", str(folder), "--resume")


def _submit_or_delete(folder: Path, command: tuple[str, ...]) -> None:
    try:
        control.submit(folder, command)
    except CxrError:
        control.delete(folder)
        raise
