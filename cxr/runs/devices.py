"""What a training on this machine would compute on, found without TensorFlow."""

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Device:
    """The processors of this machine.

    Attributes:
        kind: `GPU` if there is one that TensorFlow could use, else `CPU`.
        names: of the GPUs.
        cores: processor cores that this process may use.
    """

    kind: str
    names: tuple[str, ...]
    cores: int

    @property
    def words(self) -> str:
        """The device in a few words; also names what a speed was measured on."""
        cores = f"{self.cores} core{'s' if self.cores != 1 else ''}"
        if self.kind == "CPU":
            return f"CPU, {cores} (no GPU found)"
        count = f"{len(self.names)} × " if len(self.names) > 1 else ""
        return f"{count}{self.names[0]}, CPU with {cores}"


def find() -> Device:
    """Returns what there is; the NVIDIA driver's own tool is asked for GPUs."""
    names = _gpu_names()
    return Device(
        kind="GPU" if names else "CPU",
        names=names,
        cores=_cores(),
    )


def _gpu_names() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        # A driver that doesn't answer is none that a training could use.
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
