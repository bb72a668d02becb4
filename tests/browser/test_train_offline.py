"""With no network and nothing set, Train goes on from the active model, in Chromium."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cxr.config import ROOT
from cxr.jobs import control
from cxr.models import registry
from cxr.runs import continuation, run_folder

pytestmark = pytest.mark.browser

PATIENCE = 60_000  # milliseconds
FILMS = 60


@pytest.fixture
def folders(training_folders, monkeypatch, offline):
    """Temporary folders, the shipped models and films of phantoms."""
    monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
    made = training_folders(FILMS)
    shutil.copytree(ROOT / "models", made / "models")
    return made


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"offline-{name}.png", full_page=True)


def runs(folders):
    """The settings of all runs, the newest first."""
    jobs = control.list_jobs(folders / "runs")
    return [run_folder.read_config(job.folder) for job in jobs]


def test_it_goes_on_from_the_active_model(browser, serve, folders):
    active = registry.active_id(folders / "models")
    address, _ = serve(folders / "models")
    page = browser.new_page(viewport={"width": 1440, "height": 1200})
    page.goto(f"{address}/Train")
    page.get_by_text(f"{FILMS} films").first.wait_for(timeout=PATIENCE)
    page.get_by_text(f"Training goes on from {active}").wait_for(timeout=PATIENCE)
    expect(page.get_by_text("no connection to fetch them")).to_be_visible()
    picture(page, "1-default")
    page.get_by_role("button", name="Start training").click()
    stop = page.locator(".st-key-train_stop button:visible")
    stop.wait_for(timeout=PATIENCE)
    page.get_by_text("fine-tuning").first.wait_for(timeout=3 * PATIENCE)
    [config] = runs(folders)
    assert config.backbone_weights == f"model:{active}"
    [job] = control.list_jobs(folders / "runs")
    kept = continuation.keep(job.folder, folders / "models", config.backbone_weights)
    assert kept.model_id == active
    stop.click()
    again = page.get_by_role("button", name="New run with these settings")
    again.wait_for(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Resume")).to_be_enabled()
    picture(page, "2-stopped")
    again.click()
    page.get_by_text("With the settings of").wait_for(timeout=PATIENCE)
    page.get_by_text("Settings", exact=True).click()
    field = page.get_by_role("spinbutton", name="Epochs").first
    field.fill("3")
    field.press("Enter")
    page.get_by_text("epochs 3 (preset 7)").wait_for(timeout=PATIENCE)
    picture(page, "3-changed")
    page.get_by_role("button", name="Start training").click()
    stop.wait_for(timeout=PATIENCE)
    made, first = runs(folders)
    assert (made.epochs, made.backbone_weights) == (3, first.backbone_weights)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (900, "light")])
def test_it_is_said_on_every_width(browser, serve, folders, width, scheme):
    address, _ = serve(folders / "models")
    page = browser.new_page(
        viewport={"width": width, "height": 1400}, color_scheme=scheme
    )
    page.goto(f"{address}/Train")
    page.get_by_text("Training goes on from").wait_for(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"{width}-{scheme}")
