"""Forty films read, ten reviewed, the server killed: found again and used."""

import re
import signal
from pathlib import Path

import pytest
from classify_in_browser import PATIENCE, opened, picture, put, settled
from playwright.sync_api import expect
from synthetic_films import as_jpeg, chest_phantom
from tiny_model import register_tiny_model

from cxr.records import audit, search

pytestmark = pytest.mark.browser

FILMS, REVIEWS = 40, 10


@pytest.fixture
def folders(tmp_path, monkeypatch):
    register_tiny_model(tmp_path / "models")
    monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
    return tmp_path


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_list_outlives_its_server_and_a_case_is_exported_and_deleted(
    browser, serve, folders, scheme
):
    records = folders / "records"
    address, server = serve(folders / "models")
    page = opened(browser, address, color_scheme=scheme)
    films = [
        (f"DOE_JANE_{n:02}.jpeg", as_jpeg(chest_phantom(224, 224, seed=n)))
        for n in range(FILMS)
    ]
    put(page, *films)
    page.get_by_text(re.compile(f"^{FILMS} films")).wait_for(timeout=PATIENCE)
    settled(page)
    for number in range(REVIEWS):
        review_one(page, disagree=number % 3 == 0)
    counted = search.count(records)
    assert (counted.cases, counted.reviewed) == (FILMS, REVIEWS)
    query = page.url.split("?")[1]
    assert "DOE" not in page.url and "DOE" not in page.title()

    server.send_signal(signal.SIGKILL)
    server.wait(20)
    address, _ = serve(folders / "models")
    page = browser.new_page(
        viewport={"width": 1440, "height": 1000}, color_scheme=scheme
    )
    page.goto(f"{address}/Classify?{query}")
    page.get_by_text(f"{FILMS} films were found again").wait_for(timeout=PATIENCE)
    settled(page)
    picture(page, f"history-found-again-{scheme}")
    marked = page.locator(".st-key-worklist label").filter(has_text=re.compile("Case"))
    expect(marked).to_have_count(FILMS, timeout=PATIENCE)

    page.goto(f"{address}/History")
    page.get_by_text(f"{FILMS} cases").wait_for(timeout=PATIENCE)
    settled(page)
    picture(page, f"history-{scheme}")
    page.get_by_role("radio", name="Disagreements").click(timeout=PATIENCE)
    page.get_by_text(re.compile("^4 cases")).wait_for(timeout=PATIENCE)
    chosen = search.cases(records, search.Query(disagreement=True))[0]
    page.goto(f"{address}/History?case={chosen.case_id}")
    page.get_by_text("What happened (").wait_for(timeout=PATIENCE)
    settled(page)
    picture(page, f"history-case-{scheme}")
    page.get_by_role("tab", name="Report and export").click(timeout=PATIENCE)
    page.get_by_role("button", name="Cases (CSV)").wait_for(timeout=PATIENCE)
    settled(page)
    with page.expect_download(timeout=PATIENCE) as saved:
        page.get_by_role("button", name="Cases (CSV)").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8-sig")
    assert len(text.splitlines()) == FILMS + 1
    assert "DOE" not in text

    page.get_by_role("tab", name="Cases").click(timeout=PATIENCE)
    page.get_by_role("button", name="Delete this case").click(timeout=PATIENCE)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("read twice")
    dialog.get_by_role("button", name="Delete", exact=True).click(timeout=PATIENCE)
    page.get_by_text(f"Case {chosen.case_id} was deleted").wait_for(timeout=PATIENCE)
    picture(page, f"history-deleted-{scheme}")
    assert search.count(records).cases == FILMS - 1
    actions = [entry.action for entry in audit.entries(records)]
    assert {"export history", "delete case"} <= {*actions}
    for path in folders.rglob("*"):
        if path.is_file() and path.name != "server.log":
            assert b"DOE_JANE" not in path.read_bytes(), path
    assert "DOE" not in (folders / "server.log").read_text()


def review_one(page, *, disagree):
    """Reviews the chosen film and goes to the next that is not reviewed."""
    name = re.compile("^Disagree" if disagree else "^Agree")
    page.get_by_role("button", name=name).first.click(timeout=PATIENCE)
    page.get_by_placeholder("Reason, if you like").wait_for(timeout=PATIENCE)
    settled(page)
    page.get_by_role("button", name="Next").click(timeout=PATIENCE)
    page.get_by_placeholder("Reason, if you like").wait_for(
        state="detached", timeout=PATIENCE
    )
    settled(page)
