"""A data folder checked in headless Chromium, from the empty page to its findings.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import os
from pathlib import Path

import pytest
from synthetic_films import as_jpeg, chest_phantom
from tiny_model import register_tiny_model

pytestmark = pytest.mark.browser

PATIENCE = 120_000  # milliseconds


@pytest.fixture
def address(serve, tmp_path, monkeypatch):
    """The address of an app with a folder of films that has two faults."""
    register_tiny_model(tmp_path / "models")
    for i in range(6):
        for label, name in enumerate(
            (f"NORMAL/IM-{i}-1", f"PNEUMONIA/person{i}_virus_1")
        ):
            film = chest_phantom(160, 170 + i, seed=i, opacity=float(label))
            path = tmp_path / "data" / "films" / f"{name}.jpeg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_jpeg(film))
    (path.parent / "letter.png").write_bytes(b"a letter")
    (path.parent / "person0_bacteria_2.jpeg").write_bytes(path.read_bytes())
    for name in ("data", "cache", "runs", "records"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    return serve(tmp_path / "models")[0]


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"data-{name}.png", full_page=True)


def test_a_folder_is_chosen_checked_and_found_again(browser, address):
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}/Data")
    page.get_by_text("films", exact=True).click(timeout=PATIENCE)
    page.get_by_role("button", name="Check this data").click(timeout=PATIENCE)
    page.get_by_role("tab", name="Integrity").wait_for(timeout=PATIENCE)
    picture(page, "classes")

    page.reload()  # a new session finds the folder and its check
    page.get_by_role("tab", name="Integrity").click(timeout=PATIENCE)
    page.get_by_text("Unreadable (1)").click(timeout=PATIENCE)
    page.get_by_text("letter.png").wait_for(timeout=PATIENCE)
    page.get_by_text("Exact copies (1)").click()
    page.get_by_text("2 films are equal, byte for byte.").wait_for(timeout=PATIENCE)
    picture(page, "copies")
    with page.expect_download(timeout=PATIENCE) as plan:
        page.get_by_role("button", name="Repair plan (CSV)").click()
    lines = Path(plan.value.path()).read_text().splitlines()
    assert lines[0] == "film,kind,group,suggestion"
    assert any("letter.png,unreadable" in line for line in lines)

    page.get_by_role("tab", name="Samples").click()
    page.locator("[data-testid=stImage] img").nth(8).wait_for(timeout=PATIENCE)
    page.get_by_role("tab", name="Shortcuts").click()
    page.get_by_text("to the right of 0.5").wait_for(timeout=PATIENCE)
    page.locator(".js-plotly-plot").first.wait_for(timeout=PATIENCE)
    picture(page, "shortcuts")


def test_a_folder_outside_the_data_is_refused(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/Data")
    field = page.get_by_label("Data folder or manifest")
    field.fill("/etc", timeout=PATIENCE)
    field.press("Enter")
    page.get_by_text("outside the data that this app may read").wait_for(
        timeout=PATIENCE
    )
