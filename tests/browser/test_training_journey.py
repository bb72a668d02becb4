"""A small training from the browser: films chosen, started, watched, stopped, resumed,
promoted if it may be, and its model on the Models page.

`benchmarks/journey.py` does the same with real films and takes its time.
"""

import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tiny_model import register_tiny_model

from cxr.jobs import control

pytestmark = pytest.mark.browser

PATIENCE = 60_000  # milliseconds
FILMS = 120


@pytest.fixture
def folders(training_folders):
    """Temporary folders, a tiny model and films of phantoms."""
    made = training_folders(FILMS)
    register_tiny_model(made / "models")
    return made


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"journey-{name}.png", full_page=True)


def choose_baseline(page, epochs):
    page.get_by_role("radio", name="Quick").click()
    page.get_by_text("Shows that films and machine work").wait_for(timeout=PATIENCE)
    page.get_by_role("combobox", name="Architecture").click()
    page.get_by_role("option", name=re.compile("baseline-cnn")).click()
    page.get_by_text("Settings", exact=True).click()
    field = page.get_by_role("spinbutton", name="Epochs").first
    field.fill(str(epochs))
    field.press("Enter")


def test_a_model_is_made_from_the_browser(browser, serve, folders):
    address, _ = serve(folders / "models")
    page = browser.new_page(viewport={"width": 1440, "height": 1200})
    page.goto(f"{address}/Train")
    page.get_by_text(f"{FILMS} films").first.wait_for(timeout=PATIENCE)
    choose_baseline(page, epochs=2)
    picture(page, "1-chosen")

    page.get_by_role("button", name="Start training").click()
    stop = page.locator(".st-key-train_stop button:visible")
    stop.wait_for(timeout=PATIENCE)
    [job] = control.list_jobs(folders / "runs")
    stop.click()
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for(timeout=PATIENCE)
    assert control.read(job.folder).state == control.STOPPED
    picture(page, "2-stopped")

    resume.click()
    stop.wait_for(timeout=PATIENCE)
    page.reload()
    stop.wait_for(timeout=PATIENCE)
    seen = set()
    deadline = time.monotonic() + 150
    made = page.get_by_role("button", name=re.compile("^Open .* on the Models page"))
    while not made.count() and time.monotonic() < deadline:
        seen |= set(page.get_by_test_id("stProgress").all_inner_texts())
        page.wait_for_timeout(500)
    expect(made).to_be_visible(timeout=PATIENCE)
    assert seen, "the page showed no progress"
    page.get_by_text("AUC", exact=True).first.wait_for(timeout=PATIENCE)
    picture(page, "3-done")

    page.get_by_role("button", name="Delete run").click()
    page.get_by_role("dialog").get_by_text("A model that came of it stays").wait_for()
    picture(page, "4-delete")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("dialog").wait_for(state="detached")
    assert job.folder.is_dir()

    model_id = re.search("Open (.*) on the", made.inner_text())[1]
    made.click()
    page.get_by_role("heading", name="Models").wait_for(timeout=PATIENCE)
    page.get_by_role("tab", name="Compare and promote").click()
    gates = page.get_by_role("heading", name=f"Gates for {model_id}")
    gates.wait_for(timeout=PATIENCE)
    picture(page, "5-model")

    page.get_by_role("link", name="Train").click()
    page.get_by_role("button", name="Delete run").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("There is none yet").wait_for(timeout=PATIENCE)
    assert not job.folder.exists()
    assert (folders / "models" / model_id).is_dir()


def test_case_d4_two_tabs_press_start_at_once(browser, serve, folders):
    address, _ = serve(folders / "models")
    tabs = [browser.new_page() for _ in range(2)]
    for page in tabs:
        page.goto(f"{address}/Train")
        page.get_by_text(f"{FILMS} films").first.wait_for(timeout=PATIENCE)
        choose_baseline(page, epochs=2)
        page.wait_for_timeout(1500)
    for page in tabs:
        page.get_by_role("button", name="Start training").evaluate(
            "button => setTimeout(() => button.click(), 1000)"
        )
    told = re.compile("behind 20")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(page.get_by_text(told).count() for page in tabs):
            break
        tabs[0].wait_for_timeout(200)
    assert [page.get_by_text(told).count() > 0 for page in tabs].count(True) == 1
    states = sorted(job.state for job in control.list_jobs(folders / "runs"))
    assert states == [control.QUEUED, control.RUNNING]
