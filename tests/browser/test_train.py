"""The Train page in headless Chromium, over runs that are files and no training."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tiny_model import register_tiny_model

from cxr.jobs import endings, heartbeat, queues
from cxr.runs import history, run_folder
from cxr.runs.config import config_for
from cxr.runs.history import HISTORY_COLUMNS

pytestmark = pytest.mark.browser

PATIENCE = 60_000  # milliseconds


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("models", "runs", "cache", "records", "data"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    register_tiny_model(tmp_path / "models")
    make_run(tmp_path, "failed", reason="Memory ran out.", advice="Halve the batch.")
    make_run(tmp_path, "done", seed=3)
    broken = make_run(tmp_path, "stopped")
    (broken / queues.CONFIG).write_text("{")
    return tmp_path


def make_run(where, state, reason="", advice="", **changes):
    config = config_for("quick", data=str(where / "data"), **changes)
    folder = run_folder.create(where / "runs", config)
    rows = [
        f"head,{i},0.{9 - i},0.8,0.{8 - i},0.{80 + i},1e-3,1.0" for i in range(1, 6)
    ]
    rows += [f"fine-tuning,{i},0.3,0.9,0.2{i},0.9{i},3e-4,9.0" for i in (1, 2)]
    text = "\n".join([",".join(HISTORY_COLUMNS), *rows]) + "\n"
    (folder / history.HISTORY).write_text(text)
    (folder / endings.LOG).write_text("<script>document.title = 'taken'</script>\n")
    status = {"stage": "done", "updated": time.time(), "model_id": "tiny-1"}
    if state == "done":
        (folder / heartbeat.STATUS).write_text(json.dumps(status))
    number = 1 + len(queues.records(folder.parent))
    record = queues.Record(
        command=("true",),
        token=folder.name,
        number=number,
        turn=number,
        created=time.time() - 99,
        started=time.time() - 90,
        ended=time.time() - 9,
        state=state,
        reason=reason,
        advice=advice,
    )
    queues.write_record(folder, record)
    return folder


def opened(browser, address, width=1440, scheme="dark"):
    page = browser.new_page(
        viewport={"width": width, "height": 1600}, color_scheme=scheme
    )
    page.goto(f"{address}/Train")
    page.get_by_role("combobox", name="Compare runs").wait_for(timeout=PATIENCE)
    return page


def choose(page, number):
    page.get_by_role("combobox", name="Run", exact=True).click()
    page.get_by_role("option").filter(has_text=re.compile(rf"-{number}$")).click()


def compare(page, number):
    """Adds a run; the page is drawn anew after a choice, which may close the list."""
    option = page.get_by_role("option").filter(has_text=re.compile(rf"-{number}$"))
    for _ in range(6):
        page.wait_for_timeout(1500)
        page.get_by_role("combobox", name="Compare runs").click()
        page.wait_for_timeout(800)
        if option.count():
            option.click(timeout=5000)
            break
    page.keyboard.press("Escape")


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"train-{name}.png", full_page=True)


def test_each_run_says_how_it_ended(browser, serve, folders):
    address, _ = serve(folders / "models")
    page = opened(browser, address)
    page.get_by_text("Its settings can't be read").wait_for(timeout=PATIENCE)
    choose(page, 1)
    page.get_by_text("Memory ran out. Halve the batch.").wait_for(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    page.get_by_text("<script>").wait_for(timeout=PATIENCE)
    assert "taken" not in page.title()
    picture(page, "failed")
    choose(page, 2)
    page.get_by_role("button", name="Open tiny-1 on the Models page").click()
    page.get_by_role("heading", name="Models").wait_for(timeout=PATIENCE)


@pytest.mark.parametrize(("width", "scheme"), [(900, "light"), (1440, "dark")])
def test_two_runs_are_compared_on_every_width(browser, serve, folders, width, scheme):
    address, _ = serve(folders / "models")
    page = opened(browser, address, width, scheme)
    choose(page, 2)
    for number in (1, 2):
        compare(page, number)
    page.get_by_text("AUC on validation films").wait_for(timeout=PATIENCE)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    picture(page, f"compared-{width}-{scheme}")
