"""What axe-core finds on the pages: nothing serious, in the dark and in the light.

Its script comes with a package of the development requirements; the app's policy keeps
foreign scripts out, so these windows are opened without it.
"""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from classify_in_browser import PATIENCE, put, settled
from synthetic_films import as_jpeg, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT, settings
from cxr.records import search

pytestmark = pytest.mark.browser

GRAVE = {"serious", "critical"}
PAGES = ("", "Dashboard", "Data", "Train", "Models", "History", "Classify")


def opened(browser, address, scheme):
    """A window that lets axe-core's script in."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
    settled(page)
    return page


def findings(page):
    """The grave findings on a page that is still: rule, place and reason of each."""
    settled(page)
    page.wait_for_timeout(500)  # what was shown before fades
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        (rule["id"], node["html"], node["failureSummary"])
        for rule in found.response["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def forty():
    """Films of every kind: 33 that can be read, four broken ones, three refused."""
    films = [
        (f"IM-{number:04}-0001.jpeg", as_jpeg(chest_phantom(224, 224, seed=number)))
        for number in range(33)
    ]
    whole = as_jpeg(chest_phantom(256, 256))
    films += [(f"cut-{number}.jpeg", whole[: 3000 + number]) for number in range(4)]
    return [
        *films,
        ("letter.png", b"this is a letter, not a film"),
        ("thumbnail.png", as_png(chest_phantom(64, 64))),
        ("empty.dcm", b""),
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_no_page_has_a_grave_finding(browser, serve, scheme):
    address, _ = serve(ROOT / "models")
    page = opened(browser, address, scheme)
    for path in PAGES:
        page.goto(f"{address}/{path}")
        page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
        page.get_by_text("Active model").first.wait_for(timeout=PATIENCE)
        settled(page)
        page.wait_for_timeout(1000)
        assert findings(page) == [], path or "Home"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_no_reading_and_no_list_has_a_grave_finding(browser, serve, tmp_path, scheme):
    register_tiny_model(tmp_path / "models")
    address, _ = serve(tmp_path / "models")
    page = opened(browser, f"{address}/Classify", scheme)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    page.get_by_text("The model", exact=True).wait_for(timeout=PATIENCE)
    assert findings(page) == []
    put(page, ("letter.png", b"this is a letter, not a film"))
    page.get_by_text("No score was given").wait_for(timeout=PATIENCE)
    assert findings(page) == []
    put(page, *forty())
    page.get_by_text(re.compile("^42 films")).wait_for(timeout=PATIENCE)
    assert findings(page) == []
    case_id = search.cases(settings().records_dir)[0].case_id
    for path in ("History", f"History?case={case_id}"):
        page.goto(f"{address}/{path}")
        page.get_by_text("42 cases").wait_for(timeout=PATIENCE)
        settled(page)
        assert findings(page) == []


def test_what_is_grave_is_found(browser, serve, tmp_path):
    page = opened(browser, serve(tmp_path)[0], "dark")
    page.evaluate("document.body.append(new Image())")
    assert "image-alt" in {rule for rule, _, _ in findings(page)}
