"""Commands for jobs in tests, small and quick to start, and what is left of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cxr.config import ROOT
from cxr.jobs import processes, queues

BEATS = """
import json, pathlib, sys, time
folder, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
end = time.monotonic() + seconds
while time.monotonic() < end:
    draft = folder / "status.draft"
    draft.write_text(json.dumps({"stage": "fine-tuning", "updated": time.time()}))
    draft.replace(folder / "status.json")
    time.sleep(0.05)
"""
# A child of its own group, a grandchild of its own session; none of them heeds SIGTERM.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, depth = pathlib.Path(sys.argv[1]), int(sys.argv[2])
(folder / f"depth-{depth}").write_text("here")
if depth:
    kind = {"process_group": 0} if depth == 2 else {"start_new_session": True}
    command = [sys.executable, "-S", __file__, str(folder), str(depth - 1)]
    subprocess.Popen(command, **kind)
time.sleep(60)
"""


def python(code: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *map(str, arguments))


def beats(folder: Path, seconds: float) -> tuple[str, ...]:
    return python(BEATS, folder, seconds)


def elsewhere(code: str, *arguments: object, **options) -> subprocess.Popen[str]:
    """A process of its own that runs code of a caller of `cxr.jobs.control`."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def until(happened: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def everybody(queue: Path) -> list[processes.Process]:
    """All living processes of a queue's jobs, supervisors too."""
    tokens = {record.token for record in queues.records(queue).values()}
    return [process for token in tokens for process in processes.members(token)]


def clear(queue: Path) -> None:
    for _ in range(50):
        left = everybody(queue)
        for process in left:
            processes.send(process, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.02)


def kill(process: processes.Process | None) -> None:
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: processes.identify(process.pid) != process)
