"""A full disk: recognised, named with the space that is left, and prevented."""

import errno
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cxr.errors import CxrError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
FULL = "disk-full"
DRAFT = ".draft-"  # begins the name of a folder that is still being written
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
# HDF5 and OpenVINO raise without an error number, or with the text alone.
_FULL_WORDS = ("No space left on device", "errno = 28", "Disk quota exceeded")
_NEARLY_NOTHING = 1_000_000  # bytes; a write that failed with so little left was that


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the errors that a full disk causes, in any library, into one that says so.

    Raises:
        CxrError: the disk that holds `folder` is full (code `disk-full`).
    """
    try:
        yield
    except CxrError:
        raise
    except Exception as error:
        if not _means_full(error, folder):
            raise
        raise CxrError(
            f"The disk is full: {in_words(free(folder))} are free where "
            f"{folder.name}/ is. Free some space and go on; what was stored before is "
            "unchanged.",
            code=FULL,
        ) from error


def lock(file: IO[Any]) -> bool:
    """Locks an open file for this process alone; returns whether nobody else has.

    The lock ends when the file is closed, or the process ends in whatever way.

    Raises:
        OSError: its file system has no locks.
    """
    if not CAN_LOCK:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free(folder: Path) -> int:
    """Returns the bytes that are free where a folder is or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require(folder: Path, size: int) -> None:
    """Makes sure that so many bytes are free before a library writes them.

    HDF5 ends the process when the disk is full in the middle of a file.

    Raises:
        OSError: there is less.
    """
    if free(folder) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Writes a file in one step: a reader sees the old one or the new one, never half.

    Yields a path beside `path` to write at. When the block ends, what is there is on
    the disk and takes the place of `path`; when it raises, nothing is left of it.

    Raises:
        OSError: it can't be written.
    """
    # A name of its own: another process may be writing the same file.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.draft")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Makes a folder below `parent` for what is not whole yet.

    Yields the folder, whose name begins with `DRAFT`. Whoever fills it renames it, or
    what is in it, when it is whole; what is left at the end of the block is removed.

    Raises:
        OSError: it can't be made.
    """
    draft = parent / f"{DRAFT}{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def reserve(path: Path, size: int) -> None:
    """Claims the space of a file that is written through a memory map.

    Such a file has holes at first, and a write that finds no space for one ends the
    process (SIGBUS) instead of raising.

    Raises:
        OSError: there is not enough.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            header = path.stat().st_size - size
            os.posix_fallocate(file.fileno(), 0, max(0, header) + size)
    else:
        require(path.parent, size)


def age(path: Path) -> float:
    """Returns the seconds since a file or folder was changed, infinite if not there."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf


def in_words(size: int) -> str:
    """Returns a number of bytes in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _means_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL_ERRORS:
        return True
    if any(word in str(error) for word in _FULL_WORDS):
        return True
    return isinstance(error, OSError | RuntimeError) and free(folder) < _NEARLY_NOTHING
