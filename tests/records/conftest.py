"""Fixtures of what is recorded: a folder, and one that may not be written."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
Fill = Callable[[Path], object]
ReadOnly = Callable[[Fill], AbstractContextManager[Path]]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def read_only() -> ReadOnly:
    """Fills a records folder five times; while it is open it may only be read."""

    @contextmanager
    def made(fill: Fill) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            records = Path(name) / "records"
            for _ in range(5):
                fill(records)
            for path in records.iterdir():
                path.chmod(0o444)
            records.chmod(0o555)
            user = os.geteuid()
            if user == 0:
                os.seteuid(NOBODY)
            try:
                yield records
            finally:
                os.seteuid(user)
                records.chmod(0o755)

    return made
