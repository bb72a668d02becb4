"""What a training would compute on, and how long it takes by what was measured."""

from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.datasets import prepared
from cxr.errors import JobError
from cxr.jobs import control
from cxr.records import actors
from cxr.runs import architectures, devices, estimate, run_folder, start
from cxr.runs.config import TrainConfig
from cxr.runs.devices import Device
from cxr.runs.estimate import Speeds
from ui import jobs, wording
from ui.errors import show_errors
from ui.people import actor, allowed
from ui.train.films import TrainingData
from ui.train.runs import STAGES


def show_machine(config: TrainConfig | None, training: TrainingData | None) -> None:
    """Shows the device and the estimate, or how to get one."""
    device = find_device()
    columns = st.grid(2, min_column_width=380, gap="large")
    with columns.cell():
        _show_device(device)
    with columns.cell():
        _show_time(config, training, device)


@st.cache_data(ttl=600, show_spinner=False)
def find_device() -> Device:
    """Returns the device; asking a driver takes a moment."""
    return devices.find()


def _show_device(device: Device) -> None:
    icon = ":material/developer_board:" if device.kind == "GPU" else ":material/memory:"
    st.markdown(f"{icon} **Device** {wording.escaped(device.words)}")


def _show_time(
    config: TrainConfig | None, training: TrainingData | None, device: Device
) -> None:
    if config is None or training is None:
        st.markdown(f":material/timer: **Time** {wording.NOT_MEASURED}")
        return
    speeds = estimate.find_speeds(settings().cache_dir, config, device.words)
    if speeds is None:
        _offer_measurement(config)
    else:
        _show_estimate(config, training, speeds)


def _show_estimate(config: TrainConfig, training: TrainingData, speeds: Speeds) -> None:
    size = architectures.find(config.architecture).size
    fingerprint = training.check.fingerprint if training.check else ""
    ready = bool(fingerprint) and prepared.is_there(
        settings().cache_dir, fingerprint, size
    )
    time = estimate.estimate(config, training.films, speeds, prepared=ready)
    st.markdown(
        f":material/timer: **Time** {wording.duration_span(time.low, time.high)}, the "
        "less the earlier it stops by itself."
    )
    st.caption(
        f"From speeds that {speeds.films:,} films took on this machine with this "
        f"network, for {training.films:,} films"
        + (" that are prepared already." if ready else ".")
    )


def _offer_measurement(config: TrainConfig) -> None:
    last = next(iter(control.list_jobs(start.measurements())), None)
    if last and not last.has_ended:
        watch = st.fragment(_show_measurement, run_every=jobs.REFRESH_SECONDS)
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
    if not allowed(actors.MEASURE_SPEED):
        return
    busy = start.is_busy()
    if st.button(
        "Measure this machine",
        icon=":material/speed:",
        disabled=busy,
        help=start.BUSY
        if busy
        else "Does all of a training in small, on a sample of these films. Larger "
        "networks take longer.",
    ):
        start.measure(config, actor=actor())
        st.rerun()


def _show_measurement(folder: Path) -> None:
    with show_errors():
        job = control.read(folder)
        if job is None or job.has_ended:
            st.rerun()
        jobs.show_job(
            job,
            STAGES,
            stop=_stop if allowed(actors.STOP_TRAINING) else None,
            title=f"**Time** being measured, {wording.duration(job.seconds)} so far",
            key="train_stop_measuring",
            help="Nothing is kept of a measurement that was stopped.",
        )


def _stop(folder: Path) -> None:
    start.stop(folder, actor=actor())


def _is_like(folder: Path, config: TrainConfig) -> bool:
    try:
        other = run_folder.read_config(folder)
    except JobError:
        return False
    return (other.architecture, other.unfreeze_from) == (
        config.architecture,
        config.unfreeze_from,
    )
