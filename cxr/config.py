"""Folders and limits, from the environment (`CXR_*`), checked when a program starts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cxr.errors import CxrError

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are and how much is allowed.

    Attributes:
        models_dir: the registry (`CXR_MODELS_DIR`).
        runs_dir: training runs (`CXR_RUNS_DIR`).
        decoder_workers: processes that decode untrusted films (`CXR_DECODERS`).
        threads: processor threads for one inference, 0 for all (`CXR_THREADS`).
    """

    models_dir: Path = ROOT / "models"
    runs_dir: Path = ROOT / "runs"
    decoder_workers: int = 1
    threads: int = 0


def settings() -> Settings:
    """Returns the settings of this process; an empty variable is as good as none.

    Raises:
        CxrError: a variable holds something that can't be used; it names which.
    """
    return Settings(
        models_dir=Path(os.environ.get("CXR_MODELS_DIR") or Settings.models_dir),
        runs_dir=Path(os.environ.get("CXR_RUNS_DIR") or Settings.runs_dir),
        decoder_workers=_whole_number("CXR_DECODERS", Settings.decoder_workers, 1, 64),
        threads=_whole_number("CXR_THREADS", Settings.threads, 0, 256),
    )


def _whole_number(name: str, default: int, lowest: int, highest: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch("[0-9]{1,6}", text) or not lowest <= int(text) <= highest:
        raise CxrError(
            f"The setting {name} must be a whole number from {lowest} to {highest}; "
            f"it is {text!r}.",
            code="settings",
        )
    return int(text)
