"""A site's own threshold in headless Chromium: found, read, signed, used, left again.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import re

import numpy as np
import pytest
from classify_in_browser import opened, picture, put, settled
from command_line import film_of
from playwright.sync_api import expect
from tiny_model import (
    BRIGHTNESS_OF_EVEN_ODDS,
    GREY_LEVELS_PER_LOGIT,
    register_tiny_model,
)

from cxr.governance import stored_points
from cxr.models import registry
from ui import wording

pytestmark = pytest.mark.browser

SHIFT = 0.5  # logits by which scores lie higher at this site


@pytest.fixture
def card(tmp_path, monkeypatch):
    for name in ("RUNS", "CACHE", "RECORDS"):
        monkeypatch.setenv(f"CXR_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("CXR_DATA_DIR", raising=False)
    register_tiny_model(tmp_path / "models", "tiny-1")
    return registry.read_card(tmp_path / "models", "tiny-1")


@pytest.fixture
def site(tmp_path, card):
    """A folder of 130 films whose scores are those at home, shifted."""
    folder = tmp_path / "site"
    folder.mkdir()
    scores = registry.read_scores(tmp_path / "models", card, "validation")
    rng = np.random.default_rng(5)
    for i in range(130):
        ours = scores.labels == int(i % 4 == 0)
        logit = rng.choice(scores.logits[ours]) + SHIFT
        brightness = BRIGHTNESS_OF_EVEN_ODDS + GREY_LEVELS_PER_LOGIT * logit
        (folder / f"{i:03}.png").write_bytes(film_of(brightness, seed=i))
    return folder


def test_a_threshold_is_found_read_signed_used_and_left(
    browser, serve, tmp_path, card, site
):
    address, _ = serve(tmp_path / "models")
    page = opened(browser, address, "Dashboard")
    folder = page.get_by_role("textbox", name="Folder of films")
    folder.fill(str(site))
    folder.press("Enter")
    settled(page)
    page.get_by_role("button", name="Find the threshold here").click()
    page.get_by_text("Share with pneumonia", exact=True).wait_for()
    settled(page)
    page.get_by_text("Of 1,000 films").scroll_into_view_if_needed()
    row = page.get_by_role("row", name=re.compile("^Above threshold"))
    before, after = (
        int(cell) for cell in row.get_by_role("cell").all_inner_texts()[1:]
    )
    assert before > after > 0
    picture(page, "site-found")

    page.get_by_role("button", name="Sign it for this site").click()
    reason = page.get_by_role("textbox", name="Reason")
    reason.fill("130 films of November, seen by two")
    page.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_text("is this site's operating point").wait_for()
    picture(page, "site-signed")
    [point] = stored_points.points(tmp_path / "records", card)
    assert point.threshold > card.threshold.value
    assert point.reason == "130 films of November, seen by two"

    reader = opened(browser, address)
    put(reader, ("film.png", film_of(110.0)))
    reader.get_by_role("button", name="Use the stored operating point").click()
    settled(reader)
    shown = f"your threshold {wording.threshold(point.threshold)}"
    reader.get_by_text(shown).first.wait_for()
    picture(reader, "site-used")
    reader.get_by_role("button", name="Back to the shipped threshold").click()
    settled(reader)
    back = reader.get_by_role("button", name="Back to the shipped threshold")
    expect(back).to_be_disabled()
    picture(reader, "site-left")
