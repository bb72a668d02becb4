"""Scored films found again in a data folder, by name and by content.

A name alone is no proof: only a file with the SHA-256 that was scored is that film.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cxr.data import SUFFIXES
from cxr.errors import DatasetError
from cxr.refusals import MAX_FILE_BYTES

MOST_FILES = 1_000_000


def allowed_folder(folder: Path, limit: Path | None) -> Path:
    """Returns the folder without links in its path, if the app may read it.

    Args:
        folder: as somebody typed it.
        limit: the only folder below which anything is read; None for any.

    Raises:
        DatasetError: no such folder, or it is outside the limit.
    """
    found = folder.expanduser().resolve()
    if limit is not None and not found.is_relative_to(limit.resolve()):
        raise DatasetError(
            "The app reads films only below the folder that its settings name "
            "(CXR_DATA_DIR). Choose a folder in there.",
            code="outside-data-folder",
        )
    if not found.is_dir():
        raise DatasetError(f"There is no folder {folder}.", code="no-such-folder")
    return found


class FilmIndex:
    """The films below one folder, by file name; contents are read when asked for."""

    def __init__(self, root: Path, limit: Path | None = None) -> None:
        """Lists the folder once.

        Args:
            root: folder to search.
            limit: the only folder below which anything is read; None for any.

        Raises:
            DatasetError: no such folder, or it is outside the limit.
        """
        self.root = allowed_folder(root, limit)
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in self._files():
            self._paths[path.name].append(path)

    @property
    def films(self) -> int:
        """How many files there are that can be films."""
        return sum(map(len, self._paths.values()))

    def find(self, name: str, sha256: str) -> bytes | None:
        """Returns the bytes of the film with this name and SHA-256, None without it."""
        for path in self._paths.get(PurePosixPath(name).name, ()):
            content = _content(path)
            if content and hashlib.sha256(content).hexdigest() == sha256:
                return content
        return None

    def _files(self) -> Iterator[Path]:
        count = 0
        for folder, _, names in os.walk(self.root):  # does not follow links
            for name in names:
                if name.lower().endswith(SUFFIXES) and count < MOST_FILES:
                    count += 1
                    yield Path(folder, name)


def _content(path: Path) -> bytes | None:
    try:
        # A link could lead out of the folder, a pipe would be read for ever.
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
