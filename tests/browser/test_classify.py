"""A reading in headless Chromium: films in, decision out, the page alive throughout.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import io
import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from films import as_dicom, as_jpeg, as_png, chest_phantom
from PIL import Image
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.images import read_film

pytestmark = pytest.mark.browser

PROBABILITY = re.compile(r"Probability of pneumonia (?:[<>] )?([\d.]+), (above|below)")
PATIENCE = 60_000  # milliseconds


@pytest.fixture
def address(serve, tmp_path):
    register_tiny_model(tmp_path / "models")
    address, _ = serve(tmp_path / "models")
    return address


def opened(browser, address, path="Classify", **options):
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, **options)
    page.goto(f"{address}/{path}")
    page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
    return page


def put(page, *films):
    # While a page runs again, what it showed before stays beside it for a moment.
    page.wait_for_function(
        "document.querySelectorAll('input[type=file]').length === 1", timeout=PATIENCE
    )
    page.set_input_files(
        "input[type=file]",
        [
            {"name": name, "mimeType": "application/octet-stream", "buffer": data}
            for name, data in films
        ],
    )


def probability(page, name):
    """The probability on the page, once the reading is of the film of this name."""
    page.locator("main").get_by_text(name).first.wait_for(timeout=PATIENCE)
    shown = page.get_by_text(PROBABILITY).first
    shown.wait_for(timeout=PATIENCE)
    return float(PROBABILITY.search(shown.inner_text())[1])


def picture(page, name):
    folder = os.environ.get("CXR_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_deep_link_on_a_cold_server_has_the_frame(browser, address):
    page = opened(browser, address)
    page.get_by_text("tiny-1").first.wait_for(timeout=PATIENCE)
    page.get_by_role("link", name="Home").wait_for(timeout=PATIENCE)


def test_films_are_read_refused_and_listed(browser, address):
    page = opened(browser, address)
    put(page, ("one.jpg", as_jpeg(chest_phantom(256, 256))))
    first = probability(page, "one.jpg")
    page.get_by_text("Below threshold").wait_for(timeout=PATIENCE)

    put(page, ("letter.png", b"this is a letter, not a film"))
    page.get_by_text("No score was given").wait_for(timeout=PATIENCE)
    assert page.get_by_text(PROBABILITY).count() == 0

    put(page, ("bright.png", as_png(chest_phantom(256, 256) * 0.4 + 140)))
    assert probability(page, "bright.png") > first
    page.get_by_text("3 films, 1 refused").wait_for(timeout=PATIENCE)
    page.locator("[data-testid=stSidebar]").get_by_text("one.jpg").click()
    assert probability(page, "one.jpg") == first


def test_the_keyboard_moves_the_threshold(browser, address):
    page = opened(browser, address)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "film.jpg")
    slider = page.get_by_role("slider", name="Your threshold")
    slider.focus()
    slider.press("Home")
    page.get_by_text("Above threshold").wait_for(timeout=PATIENCE)
    slider.press("End")
    page.get_by_text("Below threshold").wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="Back to the shipped threshold").click()
    page.get_by_text("your threshold 0.40").wait_for(timeout=PATIENCE)


def test_a_page_change_loses_nothing(browser, address):
    page = opened(browser, address)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    before = probability(page, "film.jpg")
    page.get_by_role("link", name="Home").click()
    page.get_by_text("Drop a chest film").wait_for(timeout=PATIENCE)
    page.get_by_role("link", name="Classify", exact=True).click()
    assert probability(page, "film.jpg") == before


def test_downloads_are_named_by_the_films_hash(browser, address):
    page = opened(browser, address)
    data = as_jpeg(chest_phantom(256, 320))
    put(page, ("DOE_JANE.jpg", data))
    probability(page, "DOE")
    digest = read_film(data).sha256
    with page.expect_download(timeout=PATIENCE) as result:
        page.get_by_role("button", name="Result (JSON)").click()
    with page.expect_download(timeout=PATIENCE) as heat:
        page.get_by_role("button", name="Heat map (PNG)").click()
    assert result.value.suggested_filename == f"result-{digest[:8]}.json"
    assert heat.value.suggested_filename == f"heatmap-{digest[:8]}.png"
    document = Path(result.value.path()).read_text()
    assert json.loads(document)["film_sha256"] == digest
    assert "DOE" not in document
    overlay = Image.open(io.BytesIO(Path(heat.value.path()).read_bytes()))
    assert (overlay.size, overlay.mode) == ((320, 256), "RGB")


def test_nothing_leaves_the_machine(browser, address):
    page = browser.new_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    for path in ("", "Classify"):
        page.goto(f"{address}/{path}")
        page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "film.jpg")
    assert hosts <= {"127.0.0.1", None}


def test_without_a_model_the_page_stops_plainly(browser, serve, tmp_path):
    address, _ = serve(tmp_path)
    page = opened(browser, address)
    page.get_by_text("Error id").wait_for(timeout=PATIENCE)
    picture(page, "no-model")


@pytest.mark.real_data
def test_real_films_with_the_shipped_model(browser, serve, data_dir):
    address, process = serve(ROOT / "models")
    originals = sorted((data_dir / "originals").rglob("*.jpeg"))
    film = originals[60].read_bytes()
    page = opened(browser, address, color_scheme="dark")

    put(page, ("film.jpeg", film))
    scored = probability(page, "film.jpeg")
    page.get_by_text("no colour, no evidence").wait_for(timeout=PATIENCE)
    picture(page, "film")

    twin = as_dicom(read_film(film).pixels, photometric="MONOCHROME1", bits_stored=12)
    put(page, ("twin.dcm", twin))
    assert abs(probability(page, "twin.dcm") - scored) <= 0.01
    picture(page, "dicom-twin")

    for name, data in (("cut.jpeg", film[: len(film) // 2]), ("text.png", b"a letter")):
        put(page, (name, data))
        page.locator("main").get_by_text(name).first.wait_for(timeout=PATIENCE)
        page.get_by_text("No score was given").wait_for(timeout=PATIENCE)
        picture(page, name)

    put(page, *((path.name, path.read_bytes()) for path in originals[:10]))
    page.get_by_text("14 films, 2 refused").wait_for(timeout=PATIENCE)
    page.get_by_text(PROBABILITY).first.wait_for(timeout=PATIENCE)
    picture(page, "several-films")
    assert resident_megabytes(process.pid) < 450


def resident_megabytes(pid):
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        pytest.skip("memory is read from /proc, which is not here")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024
