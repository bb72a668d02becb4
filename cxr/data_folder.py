"""Which data may be read: the one rule, for every film, folder, manifest and file.

It owns the folder limit of `CXR_DATA_DIR`. A link or a manifest can name any file of
the machine; what counts is where a path leads in the end. The rule is asked before
anything is looked at, so that its answer does not tell what there is outside.
"""

from pathlib import Path

from cxr.config import settings
from cxr.errors import DatasetError

OUTSIDE = "outside-data-folder"


def is_inside(path: Path, limit: Path | None = None) -> bool:
    """Returns whether a path leads into the data that may be read.

    Args:
        path: of a file or folder, whether or not it is there.
        limit: a folder below which it has to be as well; None for none.
    """
    limits = [folder for folder in (settings().data_dir, limit) if folder is not None]
    try:
        real = path.resolve()
        return all(real.is_relative_to(folder.resolve()) for folder in limits)
    except (OSError, RuntimeError, ValueError):
        return False


def require_inside(path: Path, limit: Path | None = None) -> None:
    """Makes sure that a path leads into the data that may be read.

    Args:
        path: of a file or folder, whether or not it is there.
        limit: a folder below which it has to be as well; None for none.

    Raises:
        DatasetError: it leads elsewhere (code `outside-data-folder`).
    """
    if not is_inside(path, limit):
        raise DatasetError(
            f"{path.name} lies outside the data that this app may read (CXR_DATA_DIR).",
            code=OUTSIDE,
        )
