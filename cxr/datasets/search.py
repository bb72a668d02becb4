"""Scored films found again in a data folder, by name and by content.

A film is recognised by the SHA-256 that was scored; its name alone proves nothing.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cxr import data_folder
from cxr.config import settings
from cxr.datasets import words
from cxr.errors import DatasetError, ImageError
from cxr.films import kinds
from cxr.films.refusals import content_of

MOST_FILES = 1_000_000
Stamp = tuple[tuple[str, int], ...]


def allowed_folder(folder: Path) -> Path:
    """Returns the folder without links in its path, if the app may read it.

    `folder` is taken as it was typed.

    Raises:
        DatasetError: no such folder, or it leads out of the data that may be read.
    """
    real = folder.expanduser().resolve()
    data_folder.require_inside(real)
    if not real.is_dir():
        raise DatasetError(f"There is no folder {folder}.", code="no-such-folder")
    return real


def stamp(source: Path) -> Stamp:
    """Returns what changes when films are added to or taken from a data folder.

    Of a folder with classes and splits each has its time of change, of a manifest the
    file.
    """
    below = [source, *source.glob("*/"), *source.glob("*/*/")]
    return tuple(
        (str(path), path.stat().st_mtime_ns)
        for path in below
        if path == source
        or words.split_of(path.name)
        or words.label_of(path.name) is not None
    )


def films_below(root: Path) -> Iterator[Path]:
    """Yields what can be a film below a folder; links to folders are not followed.

    What came along with films (`__MACOSX` and its like) is left out.
    """
    count = 0
    for folder, _, names in os.walk(root):
        if any(map(kinds.is_companion, Path(folder).relative_to(root).parts)):
            continue
        for name in names:
            path = Path(folder, name)
            if kinds.is_companion(name) or not path.is_file():
                continue
            if not kinds.can_be_film(path):
                continue
            if count < MOST_FILES:
                count += 1
                yield path


def films_in(folder: Path) -> list[Path]:
    """Returns what can be a film in a folder, in the order of names.

    Raises:
        DatasetError: no such folder or film, or it leads out of the data that may be
            read.
    """
    root = allowed_folder(folder)
    films = sorted(filter(data_folder.is_inside, films_below(root)))
    if not films:
        raise DatasetError(f"The folder {folder} holds no films.")
    return films


class FilmIndex:
    """The films below one folder, by file name; contents are read when asked for."""

    def __init__(self, root: Path) -> None:
        """Lists the files below `root` once.

        Raises:
            DatasetError: no such folder, or it leads out of the data that may be read.
        """
        self.root = allowed_folder(root)
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in films_below(self.root):
            self._paths[path.name].append(path)

    def find(self, name: str, sha256: str) -> bytes | None:
        """Returns the bytes of the film with this name and SHA-256, None without it."""
        for path in self._paths.get(PurePosixPath(name).name, ()):
            content = _content(path)
            if content and hashlib.sha256(content).hexdigest() == sha256:
                return content
        return None


def _content(path: Path) -> bytes | None:
    try:
        # A link could lead out of the folder, a pipe would be read for ever.
        if path.is_symlink() or not path.is_file():
            return None
        return content_of(path)
    except (OSError, ImageError):
        return None


def allowed(text: str) -> Path:
    """Returns the data folder or manifest of this name, symbolic links resolved.

    Raises:
        DatasetError: it is not there, or lies outside the folder of all data.
    """
    root = settings().data_dir
    try:
        given = Path(text).expanduser()
        path = (root / given if root else given).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError("That is not a path.", code="no-data") from error
    data_folder.require_inside(path)
    if not is_there(path) or not (root or given.is_absolute()):
        raise DatasetError(
            "There is no such data folder or CSV manifest on the machine that this app "
            "runs on, or it may not be read. Give its full path.",
            code="no-data",
        )
    return path


def is_there(path: Path) -> bool:
    """Returns whether a folder or file that may be read is there."""
    try:
        if path.is_dir():
            return os.access(path, os.R_OK | os.X_OK)
        return path.suffix.lower() == ".csv" and path.is_file()
    except OSError:
        return False
