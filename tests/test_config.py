"""Settings from the environment."""

from pathlib import Path

import pytest

from cxr.config import ROOT, Settings, settings
from cxr.errors import CxrError

NAMES = ("CXR_MODELS_DIR", "CXR_RUNS_DIR", "CXR_DECODERS", "CXR_THREADS")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_folders_of_the_project():
    assert settings() == Settings()
    assert settings().models_dir == ROOT / "models"
    assert (ROOT / "cxr" / "config.py").is_file()


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")
    assert settings() == Settings()


def test_every_setting_comes_from_its_variable(monkeypatch):
    for name, value in zip(NAMES, ("/m", "/r", "3", "2"), strict=True):
        monkeypatch.setenv(name, value)
    assert settings() == Settings(
        models_dir=Path("/m"), runs_dir=Path("/r"), decoder_workers=3, threads=2
    )


@pytest.mark.parametrize("name, lowest, highest", [("CXR_DECODERS", 1, 64)])
def test_the_limits_themselves_are_allowed(monkeypatch, name, lowest, highest):
    for value in (lowest, highest):
        monkeypatch.setenv(name, str(value))
        assert settings().decoder_workers == value


@pytest.mark.parametrize("name", ["CXR_DECODERS", "CXR_THREADS"])
@pytest.mark.parametrize(
    "value", ["-1", "1.5", "two", " 1", "1e3", "9" * 10_000, "٣", "0x2", "1000"]
)
def test_a_number_that_can_not_be_used_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CxrError, match=f"The setting {name} must be") as refused:
        settings()
    assert refused.value.code == "settings"


def test_at_least_one_decoder_is_needed(monkeypatch):
    monkeypatch.setenv("CXR_DECODERS", "0")
    with pytest.raises(CxrError, match="from 1 to 64"):
        settings()
