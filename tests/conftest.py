"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what a test runs out of the folders of whoever runs the tests."""
    for name in ("RUNS", "CACHE", "RECORDS"):
        if f"CXR_{name}_DIR" not in os.environ:
            monkeypatch.setenv(f"CXR_{name}_DIR", str(tmp_path / name.lower()))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `chest_xray` and `originals`, for tests marked real_data."""
    folder = Path(os.environ.get("CXR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not (folder / "chest_xray").is_dir():
        pytest.skip(f"no films in {folder}: set CXR_DATA_DIR")
    return folder
