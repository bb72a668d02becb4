"""The check of a data folder: begun in the background, allowed here and now, ended."""

import sys
from pathlib import Path

from cxr.config import settings
from cxr.datasets import checks
from cxr.errors import CxrError
from cxr.jobs import control
from cxr.records import actors


def start(source: Path, *, actor: str) -> Path:
    """Starts the check of a data folder in the background and returns its own folder.

    Args:
        source: the data folder or manifest.
        actor: who starts it.

    Raises:
        CxrError: that person may not (`not-allowed`), or the folder for cached data
            can't be written (`cache-folder`).
        JobError: the check runs already, or can't be started.
    """
    actors.require(settings().records_dir, actor, actors.CHECK_DATA)
    folder = checks.folder_for(settings().cache_dir, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CxrError(
            "The folder for cached data can't be written (`CXR_CACHE_DIR`): "
            f"{error.strerror}.",
            code="cache-folder",
        ) from error
    command = (sys.executable, "-m", "cxr", "check", str(source))
    control.submit(folder, (*command, "--folder", str(folder)))
    return folder


def require(folder: Path, *, actor: str) -> None:
    """Makes sure that a check may be run here and now; the started one itself may.

    Args:
        folder: of the check's result.
        actor: who runs it.

    Raises:
        CxrError: that person may not (`not-allowed`).
    """
    if not control.is_this_process(folder):
        actors.require(settings().records_dir, actor, actors.CHECK_DATA)


def stop(folder: Path, *, actor: str) -> None:
    """Ends a check with all its processes; what it measured stays.

    Args:
        folder: of the check.
        actor: who ends it.

    Raises:
        CxrError: that person may not (`not-allowed`).
        JobError: there is none, or another user of the machine started it.
    """
    actors.require(settings().records_dir, actor, actors.CHECK_DATA)
    control.stop(folder)
