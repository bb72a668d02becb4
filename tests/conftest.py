"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `chest_xray` and `originals`, for tests marked real_data."""
    folder = Path(os.environ.get("CXR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not (folder / "chest_xray").is_dir():
        pytest.skip(f"no films in {folder}: set CXR_DATA_DIR")
    return folder
