"""Readings to be kept, and what somebody with own tools does to a database."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from cxr.models.cards import Card
from cxr.records.kept import KeptReading

FILM, PATIENT = "f" * 64, "a" * 64


def reading(**changes: Any) -> KeptReading:
    """A film above the threshold, with changes."""
    values: dict[str, Any] = {
        "film": FILM,
        "patient": PATIENT,
        "model_id": "m-1",
        "model_sha256": "1" * 64,
        "card_sha256": "2" * 64,
        "threshold": 0.17,
        "threshold_source": "shipped",
        "answer": "above threshold",
        "probability": 0.9,
        "logit": 2.2,
        "frontal": 8.0,
        "unlike": -3.0,
        "brightness": 120.0,
        "contrast": 55.0,
        "format": "PNG",
        "bits": 8,
        "height": 256,
        "width": 192,
    }
    return KeptReading(**{**values, **changes})


def of_model(card: Card, **changes: Any) -> KeptReading:
    """A film above the threshold that a registered model read, with changes."""
    return reading(
        **{
            "model_id": card.model_id,
            "model_sha256": card.weights_sha256,
            "threshold": card.threshold.value,
            "logit": None,
            **changes,
        }
    )


def refusal(**changes: Any) -> KeptReading:
    """A film that could not be read."""
    none = dict.fromkeys(
        ("probability", "logit", "frontal", "unlike", "brightness", "contrast")
    )
    empty = {"patient": "", "format": "", "bits": 0, "height": 0, "width": 0}
    return reading(
        **{**none, **empty, "answer": "refused", "code": "incomplete", **changes}
    )


def tamper(path: Path, *statements: str) -> None:
    """Changes a database as somebody with a tool of their own would."""
    with closing(sqlite3.connect(path)) as database, database:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = database.execute(query).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        for _, text in triggers:
            database.execute(text)


def overwrite_header(path: Path) -> None:
    """The first bytes of a file are lost."""
    with path.open("r+b") as file:
        file.write(b"\xff" * 100)


def overwrite_pages(path: Path) -> None:
    """All pages but the first are lost."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def cut(path: Path) -> None:
    """A file ends in its second page."""
    with path.open("r+b") as file:
        file.truncate(5000)


def fold(path: Path) -> None:
    """Moves what is in the log of a database into the database."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
