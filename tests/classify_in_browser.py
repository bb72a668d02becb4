"""The Classify page in a real browser: open it, put films in, wait until it is still.

With CXR_SCREENSHOTS set to a folder `picture` leaves the page's picture there.
"""

import os
from pathlib import Path

from playwright.sync_api import expect

PATIENCE = 60_000  # milliseconds


def opened(browser, address, path="Classify", **options):
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, **options)
    page.set_default_timeout(PATIENCE)  # a loaded machine can need it for a key press
    page.goto(f"{address}/{path}")
    page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
    return page


def put(page, *films):
    # While a page runs again, what it showed before stays beside it for a moment.
    expect(page.locator("input[type=file]")).to_have_count(1, timeout=PATIENCE)
    page.set_input_files(
        "input[type=file]",
        [
            {"name": name, "mimeType": "application/octet-stream", "buffer": data}
            for name, data in films
        ],
    )


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def settled(page):
    """Waits until no script runs: what is on the page then stays."""
    expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=PATIENCE
    )
