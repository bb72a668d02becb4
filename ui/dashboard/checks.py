"""What the newest check of a model's data folder measured: film sizes, shortcuts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.datasets import checks
from cxr.datasets.shortcuts import ShortcutAudit
from cxr.errors import CxrError
from cxr.models.cards import Card


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What is taken of a check: numbers, and where it looked.

    Attributes:
        stamp: changes when the folder is checked again.
        pixels: rows times columns of each readable film, by its SHA-256.
        audit: the shortcut audit.
        source: the checked data folder.
    """

    stamp: str
    pixels: Mapping[str, float]
    audit: ShortcutAudit
    source: Path


def film_pixels(card: Card) -> tuple[Mapping[str, float], str]:
    """Returns rows times columns of each film by SHA-256, and a text for a cache key.

    The text changes with the check. Both are empty if the films that made the model
    were never checked.
    """
    check = _newest(card)
    return (check.pixels, check.stamp) if check else ({}, "")


def audit(card: Card) -> ShortcutAudit | None:
    """Returns the newest shortcut audit of the films that made a model, or None."""
    check = _newest(card)
    return check.audit if check else None


def source(card: Card) -> Path | None:
    """Returns the folder where the films that made a model were checked last."""
    check = _newest(card)
    return check.source if check else None


def _newest(card: Card) -> _Measured | None:
    """Returns the newest check of exactly the films that made a model."""
    root = settings().cache_dir / "checks"
    stamps = {
        path.parent: path.stat().st_mtime_ns for path in root.glob(f"*/{checks.REPORT}")
    }
    for folder, stamp in sorted(stamps.items(), key=lambda x: x[1], reverse=True):
        if _fingerprint(folder, stamp) == card.data.fingerprint:
            check = _read(folder, stamp)
            if check:
                return check
    return None


@st.cache_data(max_entries=100, show_spinner=False)
def _fingerprint(folder: Path, stamp: int) -> str:
    """Returns the fingerprint in a check's report; films are not read for it."""
    try:
        report = json.loads((folder / checks.REPORT).read_text(encoding="utf-8"))
        return str(report["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""  # The Data page says what is wrong with a damaged one.


@st.cache_resource(max_entries=4, show_spinner=False)
def _read(folder: Path, stamp: int) -> _Measured | None:
    try:
        check = checks.read(folder)
    except CxrError:
        return None
    if check is None:
        return None
    survey = check.survey
    sizes = survey.width.astype(float) * survey.height
    return _Measured(
        stamp=f"{folder} {stamp}",
        pixels={
            film.sha256: float(size)
            for film, size, readable in zip(
                survey.films, sizes, survey.readable, strict=True
            )
            if readable
        },
        audit=check.audit,
        source=check.source if check.source.is_dir() else check.source.parent,
    )
