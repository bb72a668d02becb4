"""Fixtures that every test file shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.config import ROOT
from cxr.runs import architectures, backbone

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
def keras_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks as if Keras had fetched the ImageNet weights of all networks.

    So no test asks for a connection to find out whether it could.
    """
    home = tmp_path_factory.mktemp("keras")
    (home / "models").mkdir()
    for item in architectures.ARCHITECTURES.values():
        name = item.builder.lower().replace("v2", "v2-")
        (home / "models" / f"{name}_notop.h5").touch()
    return home


@pytest.fixture(autouse=True)
def weights_are_there(keras_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every test find the ImageNet weights, by their names."""
    monkeypatch.setenv("KERAS_HOME", str(keras_home))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without ImageNet weights and without a network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no-keras"))
    # Nothing listens there, so it is refused at once.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    backbone.forget_answer()
    yield
    backbone.forget_answer()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `chest_xray` and `originals`, for tests marked real_data."""
    if not (FILMS / "chest_xray").is_dir():
        pytest.skip(f"no films in {FILMS}: set CXR_DATA_DIR")
    return FILMS
