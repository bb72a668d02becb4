"""A real server and a real browser for the tests in this folder."""

import os
import shutil
import subprocess
import sys

import pytest
from servers import free_port, wait_for
from synthetic_films import as_jpeg, chest_phantom

from cxr.config import ROOT
from cxr.jobs import control

BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, or a skip that says why."""
    path = os.environ.get("CXR_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: install it or set CXR_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=list(BROWSER_ARGUMENTS)
        )
        yield running
        running.close()


@pytest.fixture
def serve(tmp_path, browser):
    """Starts the app on a free port; gives its address and its process.

    Pages stay open until the server has stopped, as readers leave them.
    """
    started = []

    def start(models_dir, *options):
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        log = (tmp_path / "server.log").open("w")
        process = subprocess.Popen(
            [*command, "--server.port", str(port), *options],
            cwd=ROOT,
            env=os.environ | {"CXR_MODELS_DIR": str(models_dir)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        started.append(process)
        wait_for(port)
        return f"http://127.0.0.1:{port}", process

    yield start
    for process in started:
        process.terminate()
        process.wait(20)
    # An open page would try for ever to reach its server.
    for context in browser.contexts:
        context.close()


@pytest.fixture
def training_folders(tmp_path, monkeypatch):
    """Makes temporary folders and so many films of phantoms; ends what trains there."""

    def make(films):
        for name in ("runs", "cache", "records", "data"):
            (tmp_path / name).mkdir()
            monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
        monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
        for i in range(films):
            label = int(i % 3 > 0)
            folder = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[label]
            folder.mkdir(exist_ok=True)
            film = chest_phantom(160, 160, seed=i, opacity=label)
            (folder / f"film{i}.jpg").write_bytes(as_jpeg(film))
        return tmp_path

    yield make
    for job in control.list_jobs(tmp_path / "runs"):
        control.stop(job.folder)
        control.wait(job.folder, 20)
