"""The site's secret, and hashes under it: the same film or patient, and no way back.

A plain hash of a patient's number can be tried out in minutes. Under a secret that
stays at the site it can't be; whoever has the secret and the history can.
"""

import hashlib
import hmac
import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path

from cxr.errors import CxrError

KEY = "history.key"
LENGTH = 32  # bytes


def secret(records_dir: Path, *, first: bool) -> bytes:
    """Returns the secret of a site, made once; of many callers at once one makes it.

    Args:
        records_dir: a folder that is there.
        first: whether nothing was kept under a secret yet; else none is made.

    Raises:
        OSError: it can't be read or written.
        CxrError: it is damaged, or gone (code `history-key`).
    """
    path = records_dir / KEY
    if first and not path.exists():
        _make(path)
    if not is_sound(records_dir):
        raise lost()
    return path.read_bytes()


def lost() -> CxrError:
    """Returns the error that says that the secret is missing or damaged."""
    return CxrError(
        f"{KEY} is missing or damaged: without it films and patients are not known "
        "again, so nothing is kept. Put it back from a copy of the records, or set the "
        "history aside (`python -m cxr history check --set-aside REASON`).",
        code="history-key",
    )


def is_sound(records_dir: Path) -> bool:
    """Returns whether there is a secret of the right length.

    Raises:
        OSError: it can't be read.
    """
    path = records_dir / KEY
    return path.exists() and path.stat().st_size == LENGTH


def keyed(key: bytes, value: str) -> str:
    """Returns the HMAC of a value under a secret, 32 hexadecimal digits.

    Nothing stays nothing. Half of HMAC-SHA256, which RFC 2104, section 5, allows, is
    enough to tell a thousand million films apart.
    """
    if not value:
        return ""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:32]


def _make(path: Path) -> None:
    # Whole under another name first, so that nobody reads half of it.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # Another process was first.
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
