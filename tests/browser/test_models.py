"""Promotion and the way back in headless Chromium: another session gets the new model.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import os
import re
from pathlib import Path

import pytest
from classify_in_browser import settled
from synthetic_films import as_jpeg, chest_phantom
from tiny_model import register_tiny_model

from cxr.governance import promotion
from cxr.models import cards, registry

pytestmark = pytest.mark.browser

PROBABILITY = re.compile(r"Probability of pneumonia [\d.<> ]+, (above|below)")
PATIENCE = 60_000  # milliseconds
FILM = {
    "name": "film.jpg",
    "mimeType": "image/jpeg",
    "buffer": as_jpeg(chest_phantom(256, 256)),
}


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    """Two tiny models with other thresholds; too few films, so a wider margin."""
    folder = tmp_path / "models"
    threshold = cards.Threshold(value=0.3, rule="made up", split="validation")
    register_tiny_model(
        folder, "tiny-2", created="2026-02-02T10:00:00+00:00", threshold=threshold
    )
    register_tiny_model(folder, "tiny-1", created="2026-01-01T10:00:00+00:00")
    monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
    return folder


def opened(browser, address, path):
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}/{path}")
    page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
    return page


def classified(page):
    uploader = page.locator("input[type=file]")
    uploader.wait_for(state="attached", timeout=PATIENCE)
    uploader.set_input_files([FILM])
    page.get_by_text(PROBABILITY).first.wait_for(timeout=PATIENCE)


def confirm(page, button):
    dialog = page.get_by_role("dialog")
    dialog.wait_for(timeout=PATIENCE)
    picture(page, f"dialog-{button.split()[0].lower()}")
    dialog.get_by_role("button", name=button, exact=True).click()


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"models-{name}.png", full_page=True)


def test_a_promotion_and_its_way_back_reach_other_sessions(
    browser, serve, models_dir, tmp_path
):
    records_dir = tmp_path / "records"
    promotion.activate(models_dir, records_dir, "tiny-2", actor="test")
    promotion.activate(models_dir, records_dir, "tiny-1", actor="test")
    address, _ = serve(models_dir)
    reader = opened(browser, address, "Classify")
    classified(reader)
    reader.get_by_text("your threshold 0.40").wait_for(timeout=PATIENCE)

    lead = opened(browser, address, "Models")
    lead.get_by_role("tab", name="Compare and promote").click(timeout=PATIENCE)
    lead.get_by_role("button", name="Roll back to tiny-2").click(timeout=PATIENCE)
    confirm(lead, "Roll back")
    lead.get_by_text("tiny-2 serves again").wait_for(timeout=PATIENCE)
    assert registry.active_id(models_dir) == "tiny-2"
    picture(lead, "rolled-back")

    reader.get_by_role("slider", name="Your threshold").press("ArrowRight")
    reader.get_by_text("The active model has changed").wait_for(timeout=PATIENCE)
    classified(reader)
    reader.get_by_text("your threshold 0.30").wait_for(timeout=PATIENCE)


def test_a_model_leaves_and_comes_back_as_a_file(browser, serve, models_dir):
    address, _ = serve(models_dir)
    page = opened(browser, address, "Models")
    page.get_by_role("tab", name="Files").click(timeout=PATIENCE)
    page.get_by_role("button", name="Model (zip)").wait_for(timeout=PATIENCE)
    settled(page)  # while the page runs, its file is one that the next run replaces
    with page.expect_download(timeout=PATIENCE) as export:
        page.get_by_role("button", name="Model (zip)").click(timeout=PATIENCE)
    assert export.value.suggested_filename == "tiny-2.zip"
    archive = Path(export.value.path()).read_bytes()

    (models_dir / "tiny-2").rename(models_dir.parent / "elsewhere")
    file = {"name": "m.zip", "mimeType": "application/zip", "buffer": archive}
    page.locator("input[type=file]").set_input_files([file])
    page.get_by_role("button", name="Import").click(timeout=PATIENCE)
    page.get_by_text("tiny-2 was imported as a candidate").wait_for(timeout=PATIENCE)
    picture(page, "imported")
    assert registry.active_id(models_dir) == "tiny-1"
