"""What is begun in the background for training: a run, and a measurement of speed.

Each act checks what is in its way, creates a folder with the settings, and starts the
job or queues it.
"""

import sys
from pathlib import Path

from cxr import disk
from cxr.config import settings
from cxr.datasets import checks
from cxr.datasets.search import allowed
from cxr.errors import CxrError, JobError
from cxr.jobs import control
from cxr.runs import backbone, run_folder
from cxr.runs.config import TrainConfig

BUSY = "A run goes on, and each would slow the other down. Measure when it has ended."


def start(config: TrainConfig) -> Path:
    """Starts a run in the background, or queues it, and returns its folder.

    Raises:
        DatasetError: the films are not there, or the app may not read them.
        JobError: something of `obstacles` is in the way (`cannot-start`), or the job
            can't be started; nothing is left of the run then.
    """
    allowed(config.data)
    if sentences := obstacles(config):
        raise JobError(" ".join(sentences), code="cannot-start")
    # Nothing of the page in between: a second click would cut the two apart.
    folder = run_folder.create(settings().runs_dir, config)
    _submit_or_delete(folder, command_for(folder))
    return folder


def resume(folder: Path) -> None:
    """Lets a run that ended go on after its last whole epoch, or queues it.

    Raises:
        JobError: its settings can't be read, or the job can't be started.
    """
    run_folder.read_config(folder)
    control.submit(folder, command_for(folder))


def obstacles(config: TrainConfig) -> list[str]:
    """Returns a sentence for each thing that stops a run with these settings."""
    where = settings()
    source = Path(config.data) if config.data else None
    free = disk.free(where.runs_dir)
    sentences = [
        backbone.problem(config.backbone_weights),
        checks.why_no_splits(where.cache_dir, source) if source else "",
        ""
        if free >= where.disk_reserve_gb * 1e9
        else f"{free / 1e9:.1f} GB are free on the disk of the runs; a training begins "
        f"from {where.disk_reserve_gb} GB. Delete runs that are no longer needed.",
    ]
    return [sentence for sentence in sentences if sentence]


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
