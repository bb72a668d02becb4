"""The dashboard in headless Chromium: slider, store, click, compare, download.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.governance import stored_points
from cxr.models import registry

pytestmark = pytest.mark.browser

PATIENCE = 120_000  # milliseconds
FIGURES = 9


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("RUNS", "CACHE", "RECORDS"):
        monkeypatch.setenv(f"CXR_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("CXR_DATA_DIR", raising=False)
    return tmp_path


@pytest.fixture
def address(serve, folders):
    register_tiny_model(folders / "models")
    register_tiny_model(folders / "models", "tiny-2")
    return serve(folders / "models")[0]


def opened(browser, address, **options):
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, **options)
    page.goto(f"{address}/Dashboard")
    page.locator(".js-plotly-plot").nth(FIGURES - 1).wait_for(timeout=PATIENCE)
    return page


def tile(page, label):
    named = page.get_by_text(label, exact=True)
    tile = page.get_by_test_id("stMetric").filter(has=named)
    return tile.get_by_test_id("stMetricValue").inner_text()


def plot(page, text):
    return page.locator(".js-plotly-plot").filter(has_text=text).first


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if not folder:
        return
    main = page.get_by_test_id("stMain")
    if main.count():
        # The page scrolls in itself: only a window of its height shows all of it.
        before = page.viewport_size
        height = main.evaluate("element => element.scrollHeight")
        page.set_viewport_size({"width": before["width"], "height": height + 40})
        page.wait_for_timeout(3000)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(before)
    else:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def changes(page, action, read):
    """Waits until what is read is another value than before the action."""
    before = read()
    action()
    for _ in range(PATIENCE // 200):
        if read() != before:
            return read()
        page.wait_for_timeout(200)
    pytest.fail(f"still {before}")


def test_the_slider_moves_every_number_by_keyboard(browser, address):
    page = opened(browser, address)
    slider = page.get_by_role("slider").first
    sick = plot(page, "of the ill")

    def move():
        slider.focus()
        for _ in range(40):
            slider.press("ArrowRight")

    before, answered = sick.inner_text(), tile(page, "No answer")
    changes(page, move, lambda: tile(page, "Sensitivity"))
    for _ in range(PATIENCE // 200):
        if sick.inner_text() != before:
            break
        page.wait_for_timeout(200)
    assert sick.inner_text() != before
    assert tile(page, "No answer") != answered
    picture(page, "moved")


def test_nothing_is_local_until_a_prevalence_is_stated(browser, address):
    page = opened(browser, address)
    assert page.get_by_text("NPV here", exact=True).count() == 0
    page.get_by_role("spinbutton", name="Patients with pneumonia here").fill("20")
    page.keyboard.press("Enter")
    page.get_by_text("NPV here", exact=True).wait_for(timeout=PATIENCE)
    page.get_by_text("Of 1,000 patients here, 20").wait_for(timeout=PATIENCE)
    page.locator(".js-plotly-plot").nth(FIGURES).wait_for(timeout=PATIENCE)
    picture(page, "stated")


def test_a_click_on_the_misses_lists_them(browser, address):
    page = opened(browser, address)
    cell = plot(page, "of the ill").locator(".bars .point path").first
    cell.scroll_into_view_if_needed()
    cell.click(force=True)
    page.get_by_text("pneumonia, below the threshold").wait_for(timeout=PATIENCE)
    matrix, films = (
        element.bounding_box()
        for element in (
            plot(page, "of the ill"),
            page.get_by_text("The films behind a number"),
        )
    )
    # Beside it, not below: to its right, and begun where it begins.
    assert films["x"] > matrix["x"] + matrix["width"] / 2
    assert abs(films["y"] - matrix["y"]) < 80
    picture(page, "misses")
    page.get_by_role("slider").first.press("ArrowRight")
    page.get_by_text("below the threshold 0.4").wait_for(timeout=PATIENCE)
    assert page.get_by_text("pneumonia, below the threshold").count() == 1


def test_a_click_on_a_bar_lists_its_films(browser, address):
    page = opened(browser, address)
    figure = plot(page, "probability of pneumonia")
    figure.scroll_into_view_if_needed()
    # On a logarithmic axis a bar goes on far below the frame: click near its top.
    figure.locator(".bars .point path").first.click(
        position={"x": 3, "y": 4}, force=True
    )
    page.get_by_text("with a probability from").wait_for(timeout=PATIENCE)


def test_an_operating_point_is_stored(browser, address, folders):
    page = opened(browser, address)
    page.get_by_role("button", name="Store as operating point").click()
    page.get_by_label("Reason").fill("Decided by the department.")
    page.get_by_role("button", name="Store 0.40").click()
    page.get_by_text("Operating point 0.40 stored").wait_for(timeout=PATIENCE)
    card = registry.read_card(folders / "models", "tiny-2")
    (stored,) = stored_points.points(folders / "records", card)
    assert stored.reason == "Decided by the department."


def test_the_report_opens_without_a_server(browser, address, folders):
    page = opened(browser, address)
    page.get_by_role("button", name="Downloads").click()
    with page.expect_download(timeout=PATIENCE) as report:
        page.get_by_role("button", name="HTML report").click()
    report.value.save_as(folders / "report.html")
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folders / "report.html").as_uri())
    page.locator(".js-plotly-plot").nth(8).wait_for(timeout=PATIENCE)
    assert len(asked) == 1
    picture(page, "report")


def test_charts_and_tables_keep_to_the_content_policy(browser, address):
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{address}/Dashboard")
    page.locator(".js-plotly-plot").nth(FIGURES - 1).wait_for(timeout=PATIENCE)
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for(timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE):
        page.locator(".modebar-btn[data-title*=ownload]").first.click(force=True)
    assert not [text for text in said if "Content Security Policy" in text]


@pytest.fixture
def hospital(tmp_path, data_dir):
    """A folder of 200 films, half of them normal."""
    for name in ("NORMAL", "PNEUMONIA"):
        found = sorted((data_dir / "chest_xray").rglob(f"{name}/*.jp*g"))
        (tmp_path / "hospital" / name).mkdir(parents=True)
        for film in found[:: len(found) // 100][:100]:
            shutil.copy(film, tmp_path / "hospital" / name / film.name)
    return tmp_path / "hospital"


@pytest.mark.real_data
def test_a_folder_of_200_films_is_validated(browser, serve, folders, hospital):
    address, _ = serve(ROOT / "models")
    page = opened(browser, address)
    page.get_by_role("textbox", name="Labelled folder or manifest").fill(str(hospital))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Validate").click()
    page.get_by_text("200 films, 0 refused").wait_for(timeout=2 * PATIENCE)
    page.get_by_role("button", name="Show its figures above").click()
    page.get_by_text("Measured on 200 films of hospital, validated").wait_for(
        timeout=PATIENCE
    )
    assert page.get_by_test_id("stException").count() == 0
    picture(page, "local")


@pytest.mark.real_data
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 900])
def test_the_shipped_models_side_by_side(
    browser, serve, folders, data_dir, scheme, width
):
    address, _ = serve(ROOT / "models")
    page = opened(browser, address, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1000})
    page.get_by_role("combobox").nth(2).click()
    page.get_by_role("option", name="baseline").click()
    page.get_by_text("films that both were tested on").wait_for(timeout=PATIENCE)
    page.get_by_role("radio", name="False alarms").click()
    page.get_by_role("textbox", name="Folder with these films").fill(
        str(data_dir / "chest_xray")
    )
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^Heat map: ")).first.wait_for(timeout=PATIENCE)
    picture(page, f"models-{scheme}-{width}")
