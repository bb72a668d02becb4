"""The measures of the Classify page, taken from its own boxes.

What counts is the picture as it is drawn, not the place that it stands in.
"""

import re

import pytest
from classify_in_browser import PATIENCE, picture, put, settled
from synthetic_films import as_jpeg, chest_phantom
from tiny_model import register_tiny_model

pytestmark = pytest.mark.browser

# Width over height of 120 films as they left the archive: a square one, the median,
# the ninetieth percentile.
SQUARE, MEDIAN, WIDE = 1.0, 1.39, 1.7
DRAWN = """() => {
    const film = document.querySelector('.st-key-film_pane img');
    if (!film || !film.naturalWidth) return null;
    const box = film.getBoundingClientRect();
    const ratio = film.naturalWidth / film.naturalHeight;
    const height = Math.min(box.height, box.width / ratio);
    return {
        ratio: ratio, fit: getComputedStyle(film).objectFit,
        top: box.y + (box.height - height) / 2, height: height, width: height * ratio,
        place: [box.x, box.y, box.width, box.height],
    };
}"""
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def address(serve, tmp_path):
    register_tiny_model(tmp_path / "models")
    return serve(tmp_path / "models")[0]


def shown(page, ratio):
    """The drawn picture of a film of this shape, once it stays as it is."""
    name = f"film-{ratio}.jpg"
    put(page, (name, as_jpeg(chest_phantom(800, round(800 * ratio)))))
    panel = page.locator(".st-key-reading_panel")
    panel.get_by_text(name).first.wait_for(timeout=PATIENCE)
    page.get_by_text("The model", exact=True).wait_for(timeout=PATIENCE)
    settled(page)
    before = None
    for _ in range(100):
        drawn = page.evaluate(DRAWN)
        if drawn and drawn == before and abs(drawn["ratio"] - ratio) < 0.01:
            return drawn
        before = drawn
        page.wait_for_timeout(300)
    pytest.fail(f"the film of shape {ratio} was not drawn")


def box(page, place):
    """Left, top, right and bottom of what the reader sees."""
    found = page.locator(place).first.bounding_box()
    x, y = found["x"], found["y"]
    return x, y, x + found["width"], y + found["height"]


def window(browser, address, width, height, scheme):
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/Classify")
    return page


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_at_1440_the_film_is_640_high_and_the_answer_beside_it(
    browser, address, scheme
):
    page = window(browser, address, 1440, 900, scheme)
    places = []
    for ratio in (SQUARE, MEDIAN, WIDE):
        film = shown(page, ratio)
        picture(page, f"measures-{scheme}-1440-{ratio}")
        x, y, width, height = film["place"]
        places.append(film["place"])
        assert y <= 140 and y + height <= 900
        assert film["fit"] == "contain"
        if ratio <= MEDIAN:
            assert film["height"] >= 640
        else:  # as large as the width allows
            assert film["width"] == pytest.approx(width) and width >= 890
            assert film["height"] >= 520
        for part in (
            ".st-key-reading_panel h3",
            ".st-key-probability_scale",
            ".st-key-review_agree",
            ".st-key-review_unsure",
        ):
            left, _, right, bottom = box(page, part)
            assert left >= x + width and right <= 1440 and bottom <= 900, part
        assert page.evaluate(SIDEWAYS) <= 0
    assert places[0] == places[1] == places[2]  # nothing moves from film to film
    row = [box(page, f".st-key-review_{name}")[1] for name in ("agree", "unsure")]
    assert row[0] == row[1]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_at_900_the_film_comes_first_and_is_560_wide(browser, address, scheme):
    page = window(browser, address, 900, 900, scheme)
    for ratio in (SQUARE, MEDIAN, WIDE):
        film = shown(page, ratio)
        picture(page, f"measures-{scheme}-900-{ratio}")
        assert film["top"] <= 140 and film["width"] >= 560
        _, top, _, bottom = box(page, ".st-key-reading_panel h3")
        assert top >= film["top"] + film["height"]
        if ratio >= MEDIAN:
            assert bottom <= 900
        assert page.evaluate(SIDEWAYS) <= 0


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_on_a_phone_film_and_decision_fill_the_first_screen(browser, address, scheme):
    page = window(browser, address, 390, 844, scheme)
    for ratio in (SQUARE, MEDIAN, WIDE):
        film = shown(page, ratio)
        picture(page, f"measures-{scheme}-390-{ratio}")
        assert film["width"] >= 350 and film["top"] <= 200
        assert box(page, ".st-key-reading_panel h3")[3] <= 844
        assert page.evaluate(SIDEWAYS) <= 0


def test_on_a_large_screen_the_film_grows_and_stays_in_view(browser, address):
    page = window(browser, address, 1920, 1080, "dark")
    film = shown(page, MEDIAN)
    assert film["height"] >= 820 and film["top"] + film["height"] <= 1080
    assert box(page, ".st-key-review_unsure")[3] <= 1080


def test_a_long_name_is_whole_beside_its_film_and_shortened_in_the_list(
    browser, address
):
    page = window(browser, address, 1440, 900, "dark")
    name = "a_hospital_of_some_town_2026-11-27_supine_ap_" + "x" * 90 + "_0042.jpg"
    put(
        page,
        (name, as_jpeg(chest_phantom(256, 256))),
        ("other.jpg", as_jpeg(chest_phantom(256, 256, seed=1))),
    )
    page.get_by_text(re.compile("^2 films")).wait_for(timeout=PATIENCE)
    settled(page)
    row = page.locator(".st-key-worklist label").filter(has_text="0042.jpg")
    assert "…" in row.inner_text()
    row.click()
    panel = page.locator(".st-key-reading_panel")
    panel.get_by_text(name).wait_for(timeout=PATIENCE)
    settled(page)
    for place in (".st-key-worklist", ".st-key-reading_panel"):
        sideways = "part => part.scrollWidth - part.clientWidth"
        assert page.locator(place).first.evaluate(sideways) <= 0
    assert page.evaluate(SIDEWAYS) <= 0
    picture(page, "measures-long-name")
