"""JSON documents: what goes in, and how a file is replaced by its next version."""

import json
import math
import os
import uuid
from pathlib import Path
from typing import Any, TypeVar

import dacite

_Kind = TypeVar("_Kind")
# A document as a dataclass: nothing unknown, nothing missing, null for a nan.
_STRICT = dacite.Config(
    strict=True, cast=[tuple], type_hooks={float: lambda value: _number(value)}
)


def parse(text: str, kind: type[_Kind]) -> _Kind:
    """Returns the document in a text as such a dataclass.

    Raises:
        ValueError: it is none: no JSON, or other fields than the dataclass has.
    """
    try:
        return dacite.from_dict(kind, json.loads(text), _STRICT)
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
    # A name of its own: another process may be replacing the same document.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(plain(content), file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _number(value: object) -> float:
    # JSON has neither nan nor infinity; both are null in the file.
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number or null, received {value=}")
    return float(value)
