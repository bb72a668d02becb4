"""Settings from the environment."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from cxr import config
from cxr.config import ROOT, Settings, settings
from cxr.errors import CxrError

VALUES = {
    "CXR_MODELS_DIR": "/m",
    "CXR_RUNS_DIR": "/r",
    "CXR_CACHE_DIR": "/c",
    "CXR_RECORDS_DIR": "/a",
    "CXR_DATA_DIR": "/d",
    "CXR_BACKBONE_WEIGHTS": "b.weights.h5",
    "CXR_DISK_RESERVE_GB": "0",
    "CXR_UPLOAD_MB": "600",
    "CXR_LOGIN": "proxy",
    "CXR_LOGIN_HEADER": "X-User",
    "CXR_PREVALENCE": "12.5",
    "CXR_KEEP_FILMS": "yes",
    "CXR_KEEP_DAYS": "3650",
    "CXR_DECODERS": "3",
    "CXR_THREADS": "2",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VALUES:
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_folders_of_the_project():
    assert settings() == Settings()
    assert settings().models_dir == ROOT / "models"
    assert (ROOT / "cxr" / "config.py").is_file()


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    for name in VALUES:
        monkeypatch.setenv(name, "")
    assert settings() == Settings()


def test_every_setting_comes_from_its_variable(monkeypatch):
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    assert settings() == Settings(
        models_dir=Path("/m"),
        runs_dir=Path("/r"),
        cache_dir=Path("/c"),
        records_dir=Path("/a"),
        data_dir=Path("/d"),
        backbone_weights="b.weights.h5",
        disk_reserve_gb=0,
        upload_mb=600,
        login="proxy",
        login_header="X-User",
        prevalence=0.125,
        keep_films=True,
        keep_days=3650,
        decoder_workers=3,
        threads=2,
    )


@pytest.mark.parametrize("login", ["", "none", "oidc"])
def test_a_header_is_believed_behind_a_proxy_alone(monkeypatch, login):
    monkeypatch.setenv("CXR_LOGIN", login)
    monkeypatch.setenv("CXR_LOGIN_HEADER", "X-User")
    with pytest.raises(CxrError, match="only with CXR_LOGIN=proxy"):
        settings()


@pytest.mark.parametrize("header", ["X User", "X:User", "x\n", "é", "x" * 101])
def test_a_header_that_is_none_is_named(monkeypatch, header):
    monkeypatch.setenv("CXR_LOGIN", "proxy")
    monkeypatch.setenv("CXR_LOGIN_HEADER", header)
    with pytest.raises(CxrError, match="CXR_LOGIN_HEADER must be the name"):
        settings()


@pytest.mark.parametrize(
    ("login", "header", "known"),
    [
        ("none", "", False),
        ("proxy", "", False),
        ("proxy", "X", True),
        ("oidc", "", True),
    ],
)
def test_who_is_at_a_page_is_known_by_a_login_that_says_so(login, header, known):
    assert Settings(login=login, login_header=header).knows_people is known


@pytest.mark.parametrize("name, lowest, highest", [("CXR_DECODERS", 1, 64)])
def test_the_limits_themselves_are_allowed(monkeypatch, name, lowest, highest):
    for value in (lowest, highest):
        monkeypatch.setenv(name, str(value))
        assert settings().decoder_workers == value


@pytest.mark.parametrize("name", ["CXR_DECODERS", "CXR_THREADS", "CXR_DISK_RESERVE_GB"])
@pytest.mark.parametrize(
    "value", ["-1", "1.5", "two", " 1", "1e3", "9" * 10_000, "٣", "0x2", "1000000"]
)
def test_a_number_that_can_not_be_used_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CxrError, match=f"The setting {name} must be") as refused:
        settings()
    assert refused.value.code == "settings"


def test_uploads_have_a_quarter_of_the_memory(monkeypatch):
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(total=8_000_000_000)
    )
    config._memory_bytes.cache_clear()
    assert settings().upload_mb == 2000
    config._memory_bytes.cache_clear()


def test_a_login_that_is_not_known_is_named(monkeypatch):
    monkeypatch.setenv("CXR_LOGIN", "yes")
    with pytest.raises(CxrError, match="CXR_LOGIN must be one of none, proxy"):
        settings()


def test_at_least_one_decoder_is_needed(monkeypatch):
    monkeypatch.setenv("CXR_DECODERS", "0")
    with pytest.raises(CxrError, match="from 1 to 64"):
        settings()


@pytest.mark.parametrize("value", ["0", "100", "-3", "20 %", "0.2e1", "nan", "a fifth"])
def test_a_prevalence_is_a_share_in_percent(monkeypatch, value):
    monkeypatch.setenv("CXR_PREVALENCE", value)
    with pytest.raises(CxrError, match="CXR_PREVALENCE must be a share in percent"):
        settings()
