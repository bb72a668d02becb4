"""The check of a data folder, begun in the background."""

import sys
from pathlib import Path

from cxr.config import settings
from cxr.datasets import checks
from cxr.errors import CxrError
from cxr.jobs import control


def start(source: Path) -> Path:
    """Starts the check of a data folder in the background and returns its own folder.

    Args:
        source: the data folder or manifest.

    Raises:
        CxrError: the folder for cached data can't be written (`cache-folder`).
        JobError: the check runs already, or can't be started.
    """
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
