"""What the check of a data folder adds: film sizes and the shortcut audit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cxr import checks
from cxr.config import settings
from cxr.errors import CxrError
from cxr.registry import Card
from cxr.shortcuts import ShortcutAudit


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What is taken of a check: numbers only.

    Attributes:
        stamp: of the check's report, another for another check.
        pixels: rows times columns of each readable film, by its SHA-256.
        audit: the shortcut audit.
        source: the checked data folder.
    """

    stamp: str
    pixels: Mapping[str, float]
    audit: ShortcutAudit
    source: Path


def film_pixels(card: Card) -> tuple[Mapping[str, float], str]:
    """Returns rows times columns of each film by SHA-256, and what stands for them.

    Empty if the films that made the model were never checked.
    """
    found = _newest(card)
    return (found.pixels, found.stamp) if found else ({}, "")


def audit(card: Card) -> ShortcutAudit | None:
    """Returns the newest shortcut audit of the films that made a model, or None."""
    found = _newest(card)
    return found.audit if found else None


def source(card: Card) -> Path | None:
    """Returns the folder where the films that made a model were checked last."""
    found = _newest(card)
    return found.source if found else None


def _newest(card: Card) -> _Found | None:
    """Returns the newest check of exactly the films that made a model."""
    root = settings().cache_dir / "checks"
    stamps = {
        path.parent: path.stat().st_mtime_ns for path in root.glob(f"*/{checks.REPORT}")
    }
    for folder, stamp in sorted(stamps.items(), key=lambda x: x[1], reverse=True):
        if _fingerprint(folder, stamp) == card.data.fingerprint:
            found = _read(folder, stamp)
            if found:
                return found
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
def _read(folder: Path, stamp: int) -> _Found | None:
    try:
        check = checks.read(folder)
    except CxrError:
        return None
    if check is None:
        return None
    survey = check.survey
    sizes = survey.width.astype(float) * survey.height
    return _Found(
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
