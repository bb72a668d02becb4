"""JSON documents: what goes in, and how a file is replaced by its next version.

It also owns the list of errors that a damaged file, of JSON or arrays, can raise.
"""

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import dacite

from cxr import disk

_Kind = TypeVar("_Kind")

# What `json` and NumPy raise on a damaged file, and what the content of a sound file
# raises that is not the document or the arrays it should be, when it is used.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)


def parse(text: str, kind: type[_Kind], *, strict: bool = True) -> _Kind:
    """Returns the document in a text as such a dataclass.

    Args:
        text: JSON.
        kind: the dataclass.
        strict: whether a field that the dataclass does not have is an error.

    Raises:
        ValueError: the text is not JSON, or its fields are not those of the dataclass.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"expected a document of {kind.__name__}: too deep") from error
    return build(content, kind, strict=strict)


def build(content: Any, kind: type[_Kind], *, strict: bool = True) -> _Kind:
    """Returns what was read from JSON as such a dataclass; null stands for a nan.

    Args:
        content: an object of JSON, as Python has it.
        kind: the dataclass.
        strict: whether a field that the dataclass does not have is an error.

    Raises:
        ValueError: a field is missing, unknown, or of another type.
    """
    config = dacite.Config(strict=strict, cast=[tuple], type_hooks={float: _number})
    try:
        return dacite.from_dict(kind, content, config)
    except (TypeError, AttributeError, RecursionError, dacite.DaciteError) as error:
        raise ValueError(f"expected a document of {kind.__name__}: {error}") from error


def read(path: Path, kind: type[_Kind]) -> _Kind:
    """Returns the document in a file as such a dataclass.

    Raises:
        OSError: the file can't be read.
        ValueError: it holds no such document.
    """
    return parse(path.read_text(encoding="utf-8"), kind)


def plain(value: Any) -> Any:
    """Returns the value as JSON knows it: what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def replace(path: Path, content: Any) -> None:
    """Writes the document in one step: a reader sees the old one or the new one.

    What is not finite is written as null.
    """
    with disk.whole_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        json.dump(plain(content), file, indent=2, allow_nan=False)
        file.write("\n")


def _number(value: object) -> float:
    # JSON has neither nan nor infinity; both are null in the file.
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number or null, received {value=}")
    return float(value)
