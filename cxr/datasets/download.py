"""The Kaggle data set "Chest X-Ray Images (Pneumonia)", fetched through kagglehub."""

import shutil
from pathlib import Path

from cxr import disk
from cxr.datasets import folders, words
from cxr.errors import DatasetError

DATASET = "paultimothymooney/chest-xray-pneumonia"
PAGE = f"https://www.kaggle.com/datasets/{DATASET}"
FOLDER = "chest_xray"


def fetch(to: Path | None = None) -> Path:
    """Returns the data folder after fetching the data set, 1.2 GB.

    Args:
        to: becomes the data folder; must be new or empty. None leaves the films in
            kagglehub's own cache.

    Raises:
        DatasetError: it can't be had; the sentence says what to do instead.
    """
    if to is not None and to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise DatasetError(
            f"{to} is there already and is not empty: give a new folder, or leave out "
            "--to."
        )
    folder = data_folder(_fetched(to))
    return folder if to is None else _copied(folder, to)


def data_folder(root: Path) -> Path:
    """Returns the folder over `train`, nearest to `root`: the archive holds it twice.

    Raises:
        DatasetError: there is none.
    """
    candidates = [root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/"))]
    for folder in candidates:
        if all((folder / "train" / name).is_dir() for name in folders.CLASSES):
            return folder
    raise DatasetError(
        f"What kagglehub fetched to {root} holds no folder train with "
        f"{' and '.join(folders.CLASSES)}. {_by_hand(None)}"
    )


def _fetched(to: Path | None) -> Path:
    try:
        import kagglehub
    except ImportError as error:
        raise DatasetError(
            "The package kagglehub is not there. Install it (pip install kagglehub) "
            f"and try again. {_by_hand(to)}",
            code="no-kagglehub",
        ) from error
    try:
        return Path(kagglehub.dataset_download(DATASET))
    except Exception as error:
        # Its errors come from several libraries: network, rights, disk, archive.
        raise DatasetError(
            f"The data set can't be fetched from Kaggle ({type(error).__name__}). "
            f"Check the network and try again. {_by_hand(to)}",
            code="no-download",
        ) from error


def _by_hand(to: Path | None) -> str:
    place = "any folder" if to is None else str(to)
    return (
        f"Or load it in a browser from {PAGE}, unpack it, put the folder {FOLDER} "
        f"(train, val, test) into {place}, and check it with `python -m cxr check`."
    )


def _copied(folder: Path, to: Path) -> Path:
    """Returns `to` with the splits in it, all of them or none."""
    try:
        with disk.draft_folder(to.parent) as draft:
            for split in words.FOLDER_SPLITS:
                if (folder / split).is_dir():
                    shutil.copytree(folder / split, draft / split)
            if to.is_dir():
                to.rmdir()
            draft.replace(to)
    except OSError as error:
        # A copy's error is a list of those of the single files.
        why = error.strerror or "not all films could be copied"
        raise DatasetError(
            f"The films can't be written to {to}: {why}. They are in {folder}."
        ) from error
    return to
