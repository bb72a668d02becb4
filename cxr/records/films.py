"""The pictures of films that a site lets be kept: pixels alone, one file a case."""

from collections.abc import Callable
from pathlib import Path

from cxr import disk
from cxr.errors import CxrError

FOLDER = "films"
_STRAY_SECONDS = 3600.0
_PNG = b"\x89PNG\r\n\x1a\n"


def store(records_dir: Path, case_id: str, picture: bytes) -> None:
    """Keeps the picture of a case; only the user of this process can read it.

    Args:
        records_dir: of the history.
        case_id: of the case.
        picture: a grey PNG file without metadata.

    Raises:
        ValueError: it is no PNG file.
        OSError: it can't be written.
    """
    if not picture.startswith(_PNG):
        raise ValueError("expected a PNG file")
    path = path_of(records_dir, case_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with disk.whole_file(path) as draft:
        draft.touch(mode=0o600)
        draft.write_bytes(picture)


def read(records_dir: Path, case_id: str) -> bytes:
    """Returns the picture of a case, a grey PNG file.

    Raises:
        CxrError: there is none (code `no-film`).
    """
    try:
        return path_of(records_dir, case_id).read_bytes()
    except OSError as error:
        raise CxrError("The film of this case is not kept.", code="no-film") from error


def is_kept(records_dir: Path, case_id: str) -> bool:
    """Returns whether there is a picture of a case."""
    return path_of(records_dir, case_id).is_file()


def remove(records_dir: Path, case_id: str) -> None:
    """Removes the picture of a case, if there is one.

    Raises:
        OSError: it can't be removed.
    """
    path_of(records_dir, case_id).unlink(missing_ok=True)


def sweep(records_dir: Path, is_known: Callable[[str], bool]) -> None:
    """Removes pictures that a process left when it was killed: no case claims them.

    Args:
        records_dir: of the history.
        is_known: says whether there is a case with such an id.

    Raises:
        OSError: one can't be removed.
    """
    folder = records_dir / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        # One that is being written now is claimed in a moment.
        if disk.age(path) > _STRAY_SECONDS and not is_known(path.stem):
            path.unlink(missing_ok=True)


def path_of(records_dir: Path, case_id: str) -> Path:
    """Returns where the picture of a case is, or would be.

    Raises:
        ValueError: that is no case's id.
    """
    if not (case_id.isascii() and case_id.isalnum()):
        raise ValueError(f"expected the id of a case, received {case_id=}")
    return records_dir / FOLDER / f"{case_id}.png"
