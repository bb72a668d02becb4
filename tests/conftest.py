"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest

from cxr.config import ROOT

# Where the real films are is no limit for films that a test makes: the setting is put
# away before any fixture runs, under a name that test processes inherit.
if "CXR_DATA_DIR" in os.environ:
    os.environ["CXR_TEST_FILMS"] = os.environ.pop("CXR_DATA_DIR")
FILMS = Path(os.environ.get("CXR_TEST_FILMS", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what a test runs out of the folders of whoever runs the tests."""
    for name in ("RUNS", "CACHE", "RECORDS"):
        if f"CXR_{name}_DIR" not in os.environ:
            monkeypatch.setenv(f"CXR_{name}_DIR", str(tmp_path / name.lower()))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `chest_xray` and `originals`, for tests marked real_data."""
    if not (FILMS / "chest_xray").is_dir():
        pytest.skip(f"no films in {FILMS}: set CXR_DATA_DIR")
    return FILMS
