"""From Home's button to the first sample's reading, with the model that ships."""

import pytest
from classify_in_browser import PATIENCE, picture, settled
from playwright.sync_api import expect

from cxr.config import ROOT
from cxr.models import registry
from cxr.reading import meaning
from cxr.records import kept
from ui import wording

pytestmark = pytest.mark.browser


@pytest.fixture
def address(serve):
    return serve(ROOT / "models")[0]


def over(page):
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def home(browser, address, width, height, scheme):
    """Home in a new window, once its figures are there."""
    card = registry.read_card(ROOT / "models", registry.active_id(ROOT / "models"))
    scores = registry.read_scores(ROOT / "models", card, "test")
    counted = meaning.answers(scores, card.uncertain_band, card.threshold.value)
    alarms, _ = wording.per_thousand(counted.well[kept.ABOVE])
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    page.goto(address)
    page.get_by_text(alarms).wait_for(timeout=PATIENCE)
    settled(page)
    return page


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_home_has_its_two_ways_in_view(browser, address, scheme):
    for width, height in ((390, 844), (900, 900), (1440, 900)):
        page = home(browser, address, width, height, scheme)
        picture(page, f"home-{scheme}-{width}")
        assert over(page) <= 0
        strong = page.get_by_role("button", name="Classify films").bounding_box()
        beside = page.get_by_role("button", name="Try sample films").bounding_box()
        assert beside["y"] == strong["y"] and beside["x"] > strong["x"]
        assert beside["y"] + beside["height"] <= height / 2


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_home_leads_to_the_reading_of_a_sample(browser, address, scheme):
    page = home(browser, address, 1440, 900, scheme)
    page.get_by_role("button", name="Try sample films").click()
    page.get_by_text("Sample film of a public data set").wait_for(timeout=PATIENCE)
    settled(page)
    page.get_by_text("6 films").wait_for(timeout=PATIENCE)
    assert page.url.startswith(f"{address}/Classify")
    rows = page.locator(".st-key-worklist label").filter(has_text="sample-")
    expect(rows).to_have_count(6, timeout=PATIENCE)
    for row in rows.all():
        assert row.get_by_text("science").count() == 1
        assert row.bounding_box()["height"] < 30  # on one line
    answer = page.locator(".st-key-reading_panel h3").bounding_box()
    own = page.get_by_role("button", name="Unsure").bounding_box()
    film = page.locator(".st-key-film_pane img").bounding_box()
    assert film["y"] <= 140 and film["height"] >= 640
    assert answer["x"] >= film["x"] + film["width"]
    assert own["y"] + own["height"] <= 900
    picture(page, f"sample-{scheme}")
    page.get_by_text("What the data set calls this film").click()
    page.get_by_text("So the graders of the data set called it").wait_for(
        timeout=PATIENCE
    )
    expect(page.get_by_text("Mendeley Data").first).to_be_visible()
    picture(page, f"sample-label-{scheme}")
    page.set_viewport_size({"width": 390, "height": 844})
    settled(page)
    answer = page.locator(".st-key-reading_panel h3").bounding_box()
    assert answer["y"] + answer["height"] <= 844
    assert over(page) <= 0
