"""A reading in headless Chromium: films in, decision out, the page alive throughout.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import io
import json
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from classify_in_browser import PATIENCE, opened, picture, put, settled
from PIL import Image
from playwright.sync_api import expect
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.films.film import read_film

pytestmark = pytest.mark.browser

PROBABILITY = re.compile(r"Probability of pneumonia (?:[<>] )?([\d.]+), (above|below)")


@pytest.fixture
def address(serve, tmp_path):
    register_tiny_model(tmp_path / "models")
    address, _ = serve(tmp_path / "models")
    return address


def probability(page, name):
    """The probability on the page, once the reading is of the film of this name."""
    page.locator("main").get_by_text(name).first.wait_for(timeout=PATIENCE)
    shown = page.get_by_text(PROBABILITY).first
    shown.wait_for(timeout=PATIENCE)
    return float(PROBABILITY.search(shown.inner_text())[1])


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
    page.get_by_text(re.compile(r"3 films · .*1 refused")).wait_for(timeout=PATIENCE)
    page.locator("[data-testid=stSidebar]").get_by_text("one.jpg").click()
    assert probability(page, "one.jpg") == first


def heat_map(page):
    """Asks for the heat map, and waits until it is there."""
    page.get_by_role("radio", name="Heat map").click()
    page.get_by_text("no colour, no evidence").wait_for(timeout=PATIENCE)
    settled(page)


def test_the_heat_map_is_off_until_it_is_asked_for(browser, address):
    page = opened(browser, address)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "film.jpg")
    settled(page)
    assert page.get_by_text("no colour, no evidence").count() == 0
    heat_map(page)


def test_the_keyboard_moves_the_threshold(browser, address):
    page = opened(browser, address)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "film.jpg")
    settled(page)
    slider = page.get_by_role("slider", name="Your threshold")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("Above threshold").wait_for(timeout=PATIENCE)
    settled(page)
    assert slider.evaluate("thumb => thumb === document.activeElement")
    page.keyboard.press("End")
    page.get_by_text("Below threshold").wait_for(timeout=PATIENCE)
    settled(page)
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
    page.get_by_role("button", name="Save this reading").click()
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


def test_nothing_that_a_page_needs_is_forbidden_by_its_policy(browser, address):
    page = browser.new_page()
    refused = []
    page.on(
        "console",
        lambda m: refused.append(m.text) if "Content Security" in m.text else None,
    )
    for path in ("", "Dashboard", "Data", "Train", "Models", "Classify"):
        page.goto(f"{address}/{path}")
        page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
        settled(page)
    put(page, ("film.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "film.jpg")
    page.locator(".js-plotly-plot").first.wait_for(timeout=PATIENCE)
    settled(page)
    assert refused == []


@pytest.mark.slow
def test_field_case_5_six_readers_at_once_after_a_cold_start(browser, address):
    pages = [browser.new_page() for _ in range(6)]
    paths = ("Classify", "Dashboard") * 3
    for page, path in zip(pages, paths, strict=True):
        page.goto(f"{address}/{path}", wait_until="commit")
    for page, path in zip(pages, paths, strict=True):
        page.get_by_text("never a diagnosis").first.wait_for(timeout=PATIENCE)
        settled(page)
        assert page.get_by_text("Error id").count() == 0, path
        page.close()


@pytest.mark.slow
def test_field_case_1_films_that_were_removed_take_no_memory(browser, serve, tmp_path):
    register_tiny_model(tmp_path / "models")
    address, process = serve(tmp_path / "models")
    page = opened(browser, address)
    letters = []
    for number in range(6):
        path = tmp_path / f"letter{number}.png"
        path.write_bytes(bytes([65 + number]) * 49_000_000)
        letters.append(path)
    memory = []
    for _ in range(6):
        expect(page.locator("input[type=file]")).to_have_count(1, timeout=PATIENCE)
        page.set_input_files("input[type=file]", letters)
        page.get_by_text("6 films · 6 refused").wait_for(timeout=PATIENCE)
        settled(page)
        page.get_by_role("button", name="Remove", exact=True).click()
        page.get_by_role("button", name="Remove all 6 films").click()
        page.get_by_text("Each film gets a probability").wait_for(timeout=PATIENCE)
        settled(page)
        memory.append(resident_megabytes(process.pid))
        patience = time.monotonic() + 20  # a run that has ended is freed a moment later
        while memory[-1] > memory[0] + 150 and time.monotonic() < patience:
            time.sleep(0.5)
            memory[-1] = resident_megabytes(process.pid)
    page.close()
    assert max(memory) < memory[0] + 150, memory


def test_field_case_1_an_upload_beyond_the_servers_room_is_refused(
    browser, serve, tmp_path, monkeypatch
):
    monkeypatch.setenv("CXR_UPLOAD_MB", "50")
    register_tiny_model(tmp_path / "models")
    page = opened(browser, serve(tmp_path / "models")[0])
    expect(page.locator("input[type=file]")).to_have_count(1, timeout=PATIENCE)
    films = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in films:
        path.write_bytes(b"A" * 30_000_000)
    with page.expect_response(lambda r: r.status == 413, timeout=PATIENCE):
        page.set_input_files("input[type=file]", films)
    page.get_by_test_id("stFileUploader").get_by_text("413").wait_for(timeout=PATIENCE)
    picture(page, "no-room")


def test_field_case_12_a_server_that_starts_again_says_what_is_lost(
    browser, serve, tmp_path
):
    register_tiny_model(tmp_path / "models")
    address, _ = serve(tmp_path / "models")
    page = opened(browser, address)
    put(page, ("one.jpg", as_jpeg(chest_phantom(256, 256))))
    probability(page, "one.jpg")
    assert "films=1" in page.url
    page.reload()
    page.get_by_text("1 film was found again").wait_for(timeout=PATIENCE)
    picture(page, "lost")


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
    heat_map(page)
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
    page.get_by_text(re.compile(r"14 films · .*2 refused")).wait_for(timeout=PATIENCE)
    page.get_by_text(PROBABILITY).first.wait_for(timeout=PATIENCE)
    picture(page, "several-films")
    assert resident_megabytes(process.pid) < 450


def resident_megabytes(pid):
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        pytest.skip("memory is read from /proc, which is not here")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024
