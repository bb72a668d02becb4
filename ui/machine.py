"""What a training would compute on, and how long it takes by what was measured."""

import sys
from pathlib import Path

import streamlit as st

from cxr import architectures, devices, estimate, jobs, prepared, runs
from cxr.config import settings
from cxr.devices import Device
from cxr.estimate import Speeds
from cxr.jobs import Job
from cxr.runs import TrainConfig
from ui import durations, wording
from ui.errors import show_errors
from ui.training_data import TrainingData

REFRESH_SECONDS = 2


def show_machine(config: TrainConfig | None, found: TrainingData | None) -> None:
    """Shows the device and the estimate, or how to get one."""
    device = find_device()
    columns = st.grid(2, min_column_width=380, gap="large")
    with columns.cell():
        _show_device(device)
    with columns.cell():
        _show_time(config, found, device)


@st.cache_data(ttl=600, show_spinner=False)
def find_device() -> Device:
    """Returns the device; asking a driver takes a moment."""
    return devices.find()


def _show_device(device: Device) -> None:
    icon = ":material/developer_board:" if device.kind == "GPU" else ":material/memory:"
    st.markdown(f"{icon} **Device** {wording.escaped(device.words)}")


def _show_time(
    config: TrainConfig | None, found: TrainingData | None, device: Device
) -> None:
    if config is None or found is None:
        st.markdown(f":material/timer: **Time** {wording.NOT_MEASURED}")
        return
    speeds = estimate.find_speeds(settings().cache_dir, config, device.words)
    if speeds is None:
        _offer_measurement(config)
    else:
        _show_estimate(config, found, speeds)


def _show_estimate(config: TrainConfig, found: TrainingData, speeds: Speeds) -> None:
    size = architectures.find(config.architecture).size
    fingerprint = found.check.fingerprint if found.check else ""
    ready = bool(fingerprint) and prepared.is_there(
        settings().cache_dir, fingerprint, size
    )
    time = estimate.estimate(config, found.films, speeds, prepared=ready)
    st.markdown(
        f":material/timer: **Time** {durations.span(time.low, time.high)}, the less "
        "the earlier it stops by itself."
    )
    st.caption(
        f"From speeds that {speeds.films:,} films took on this machine with this "
        f"network, for {found.films:,} films"
        + (" that are prepared already." if ready else ".")
    )


def _offer_measurement(config: TrainConfig) -> None:
    queue = settings().cache_dir / "measurements"
    last = next(iter(jobs.list_jobs(queue)), None)
    if last and not last.has_ended:
        watch = st.fragment(_show_measurement, run_every=REFRESH_SECONDS)
        watch(last.folder)
        return
    st.markdown(
        f":material/timer: **Time** {wording.NOT_MEASURED}  \nThe speed of this "
        "network with these settings was never measured on this machine."
    )
    if last and last.reason and _is_like(last.folder, config):
        st.warning(
            wording.escaped(f"{last.reason} {last.advice}"), icon=":material/report:"
        )
    busy = any(job.alive for job in jobs.list_jobs(settings().runs_dir))
    if st.button(
        "Measure this machine",
        icon=":material/speed:",
        disabled=busy,
        help="A run goes on: both would be slower than they are."
        if busy
        else "Does all of a training in small, on a sample of these films. Larger "
        "networks take longer.",
    ):
        _measure(queue, config)
        st.rerun()


def _measure(queue: Path, config: TrainConfig) -> None:
    for job in jobs.list_jobs(queue):
        if job.has_ended:
            jobs.delete(job.folder)
    folder = runs.create(queue, config)
    command = (sys.executable, "-m", "cxr", "measure", "--run", str(folder))
    jobs.submit(folder, command)


def _show_measurement(folder: Path) -> None:
    with show_errors():
        job = jobs.read(folder)
        if job is None or job.has_ended:
            st.rerun()
        _show_progress(job)


def _show_progress(job: Job) -> None:
    """Shows a measurement that runs or waits, and the way to end it."""
    status = runs.read_status(job.folder)
    st.markdown(
        ":material/timer: **Time** being measured"
        + (f": {wording.escaped(status.stage)}" if status else "")
    )
    elapsed = durations.words(job.seconds)
    st.progress(_share(status), text=f"{elapsed} so far")
    if st.button("Stop measuring", icon=":material/stop_circle:"):
        jobs.stop(job.folder)
        st.rerun(scope="fragment")


def _share(status: runs.Status | None) -> float:
    """Returns how many of the stages are behind it, `[0, 1]`."""
    if status is None or status.stage not in runs.STAGES:
        return 0.0
    return runs.STAGES.index(status.stage) / (len(runs.STAGES) - 1)


def _is_like(folder: Path, config: TrainConfig) -> bool:
    from cxr.errors import JobError

    try:
        other = runs.read_config(folder)
    except JobError:
        return False
    return (other.architecture, other.unfreeze_from) == (
        config.architecture,
        config.unfreeze_from,
    )
