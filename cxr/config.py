"""Folders and limits, from the environment (`CXR_*`), checked when a program starts."""

import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cxr.errors import CxrError

ROOT = Path(__file__).resolve().parents[1]
LOGINS = ("none", "proxy", "oidc")
NO_OR_YES = ("no", "yes")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are and how much is allowed.

    Attributes:
        models_dir: the registry (`CXR_MODELS_DIR`).
        runs_dir: training runs (`CXR_RUNS_DIR`).
        cache_dir: prepared films and checks of data folders; may be deleted
            (`CXR_CACHE_DIR`).
        records_dir: the audit trail and the history (`CXR_RECORDS_DIR`).
        data_dir: the only folder below which the app reads data folders; None for
            any that its user may read (`CXR_DATA_DIR`).
        backbone_weights: where a backbone's start comes from unless a run says
            otherwise: `imagenet`, `none` or a file (`CXR_BACKBONE_WEIGHTS`).
        disk_reserve_gb: free space in GB below which nothing large is begun
            (`CXR_DISK_RESERVE_GB`).
        upload_mb: megabytes of uploaded films that the server holds until they are
            read, over all sessions; by default a quarter of the machine's memory
            (`CXR_UPLOAD_MB`).
        login: who asks people for a login: `none`, `oidc` for the app itself (OpenID
            Connect), or `proxy` for one in front of it (`CXR_LOGIN`).
        login_header: in which that proxy says who somebody is; empty if it doesn't
            (`CXR_LOGIN_HEADER`).
        prevalence: share of pneumonia among the patients whose films are read here,
            `(0, 1)`, which readers start with; None where nobody has stated it
            (`CXR_PREVALENCE`, in percent).
        keep_films: whether the history keeps the pictures of films (`CXR_KEEP_FILMS`,
            `yes` or `no`).
        keep_days: days after which a case is deleted from the history; None to keep
            cases for ever (`CXR_KEEP_DAYS`).
        read_first: whether readers say what they see before they see an answer
            (`CXR_READ_FIRST`, `yes` or `no`).
        decoder_workers: processes that decode untrusted films (`CXR_DECODERS`).
        threads: processor threads for one inference, 0 for all (`CXR_THREADS`).
    """

    models_dir: Path = ROOT / "models"
    runs_dir: Path = ROOT / "runs"
    cache_dir: Path = ROOT / "cache"
    records_dir: Path = ROOT / "records"
    data_dir: Path | None = None
    backbone_weights: str = "imagenet"
    disk_reserve_gb: int = 5
    upload_mb: int = field(default_factory=lambda: _quarter_of_memory_mb())
    login: str = "none"
    login_header: str = ""
    prevalence: float | None = None
    keep_films: bool = False
    keep_days: int | None = None
    read_first: bool = False
    decoder_workers: int = 1
    threads: int = 0

    @property
    def knows_people(self) -> bool:
        """Whether a login says who is at a page; else all people there are one."""
        return self.login == "oidc" or bool(self.login_header)


def settings() -> Settings:
    """Returns the settings of this process; an empty variable counts as not set.

    Raises:
        CxrError: a variable holds something that can't be used; it names which.
    """
    return Settings(
        models_dir=Path(os.environ.get("CXR_MODELS_DIR") or Settings.models_dir),
        runs_dir=Path(os.environ.get("CXR_RUNS_DIR") or Settings.runs_dir),
        cache_dir=Path(os.environ.get("CXR_CACHE_DIR") or Settings.cache_dir),
        records_dir=Path(os.environ.get("CXR_RECORDS_DIR") or Settings.records_dir),
        data_dir=_folder_or_none("CXR_DATA_DIR"),
        backbone_weights=os.environ.get("CXR_BACKBONE_WEIGHTS")
        or Settings.backbone_weights,
        disk_reserve_gb=_whole_number(
            "CXR_DISK_RESERVE_GB", Settings.disk_reserve_gb, 0, 100_000
        ),
        upload_mb=_whole_number("CXR_UPLOAD_MB", _quarter_of_memory_mb(), 50, 999_999),
        login=_one_of("CXR_LOGIN", LOGINS),
        login_header=_header("CXR_LOGIN_HEADER"),
        prevalence=_percent_or_none("CXR_PREVALENCE"),
        keep_films=_one_of("CXR_KEEP_FILMS", NO_OR_YES) == "yes",
        keep_days=_days_or_none("CXR_KEEP_DAYS"),
        read_first=_one_of("CXR_READ_FIRST", NO_OR_YES) == "yes",
        decoder_workers=_whole_number("CXR_DECODERS", Settings.decoder_workers, 1, 64),
        threads=_whole_number("CXR_THREADS", Settings.threads, 0, 256),
    )


def _quarter_of_memory_mb() -> int:
    """Returns a quarter of the machine's memory in MB, within what may be set."""
    return min(max(_memory_bytes() // 4_000_000, 50), 999_999)


@cache
def _memory_bytes() -> int:
    import psutil  # not needed by most of what reads settings

    return int(psutil.virtual_memory().total)


def _one_of(name: str, known: tuple[str, ...]) -> str:
    text = os.environ.get(name) or known[0]
    if text not in known:
        raise CxrError(
            f"The setting {name} must be one of {', '.join(known)}; it is {text!r}.",
            code="settings",
        )
    return text


def _header(name: str) -> str:
    text = os.environ.get(name) or ""
    if not text:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", text):
        raise CxrError(
            f"The setting {name} must be the name of a header; it is {text!r}.",
            code="settings",
        )
    if _one_of("CXR_LOGIN", LOGINS) != "proxy":
        raise CxrError(
            f"The setting {name} is believed only with CXR_LOGIN=proxy: without a "
            "proxy everybody could send that header.",
            code="settings",
        )
    return text


def _folder_or_none(name: str) -> Path | None:
    text = os.environ.get(name)
    return Path(text) if text else None


def _days_or_none(name: str) -> int | None:
    return _whole_number(name, 1, 1, 99_999) if os.environ.get(name) else None


def _percent_or_none(name: str) -> float | None:
    text = os.environ.get(name)
    if not text:
        return None
    percent = float(text) if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text) else 0.0
    if not 0 < percent < 100:
        raise CxrError(
            f"The setting {name} must be a share in percent, above 0 and below 100; "
            f"it is {text!r}.",
            code="settings",
        )
    return percent / 100


def _whole_number(name: str, default: int, lowest: int, highest: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch("[0-9]{1,6}", text) or not lowest <= int(text) <= highest:
        raise CxrError(
            f"The setting {name} must be a whole number from {lowest} to {highest}; "
            f"it is {text!r}.",
            code="settings",
        )
    return int(text)
