"""Which files can be films, by name and, where the name says nothing, by content.

It owns the endings of film files, and how to tell files that only accompany films.
"""

from pathlib import Path

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jls", ".jp2", ".j2k", ".jph"),
    *(".dcm", ".dicom", ".ima"),
)
# What systems and archives leave beside the files that somebody meant.
COMPANIONS = {
    *("thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db"),
    "dicomdir",  # the list of a disc's films (PS3.10 8.6), no film itself
}
_PREAMBLE, _MAGIC = 128, b"DICM"  # PS3.10 7.1


def is_companion(name: str) -> bool:
    """Returns whether a file or folder of this name only accompanies films.

    macOS keeps its own notes on `film.jpeg` in `._film.jpeg`; other names that begin
    with a dot are hidden, which a film never is.
    """
    return name.startswith(".") or name.lower() in COMPANIONS


def can_be_film(path: Path) -> bool:
    """Returns whether a file can be a film, without reading all of it.

    Archives send DICOM files without an ending, or with a number for one: these are
    opened and asked for the four letters that a DICOM file has after its preamble.
    """
    by_name = _can_be_film_by_name(path.name)
    if by_name is not None:
        return by_name
    try:
        with path.open("rb") as file:
            return _is_dicom(file.read(_PREAMBLE + len(_MAGIC)))
    except OSError:
        return False


def content_can_be_film(name: str, content: bytes) -> bool:
    """Returns the same as `can_be_film` for a file that is in memory.

    Args:
        name: of the file, without its folder.
        content: its bytes.
    """
    by_name = _can_be_film_by_name(name)
    return _is_dicom(content) if by_name is None else by_name


def _can_be_film_by_name(name: str) -> bool | None:
    """Returns None where the name does not say."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    return None


def _is_dicom(content: bytes) -> bool:
    return content[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC
