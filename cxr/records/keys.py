"""The site's secret, and hashes under it: the same film or patient, and no way back.

A plain hash of a patient's number can be tried out in minutes. Under a secret that
stays at the site it can't be; whoever has the secret and the history can.
"""

import hashlib
import hmac
import logging
import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path

from cxr.errors import CxrError

KEY = "history.key"
LENGTH = 32  # bytes

logger = logging.getLogger(__name__)


def secret(records_dir: Path) -> bytes:
    """Returns the secret of a site, made once; of many callers at once one makes it.

    Args:
        records_dir: a folder that is there.

    Raises:
        OSError: it can't be read or written.
        CxrError: it is damaged (code `history-key`).
    """
    path = records_dir / KEY
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        _make(path)
        content = path.read_bytes()
    if len(content) != LENGTH:
        raise CxrError(
            f"{KEY} is damaged: nothing is kept without it. Put it back from a copy of "
            "the records. Without a copy delete it: a new one is made, under which "
            "earlier films and patients are not known again.",
            code="history-key",
        )
    return content


def keyed(key: bytes, value: str) -> str:
    """Returns the HMAC-SHA256 of a value under a secret; nothing stays nothing."""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest() if value else ""


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
            logger.info("A new secret was made for the history: %s", KEY)
    finally:
        draft.unlink(missing_ok=True)
