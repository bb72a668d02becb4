"""Many films in headless Chromium: the list, its steps by keyboard, the way out."""

import re
from pathlib import Path

import pytest
from classify_in_browser import PATIENCE, opened, picture, put, settled
from playwright.sync_api import expect
from synthetic_films import as_jpeg, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT

pytestmark = pytest.mark.browser


@pytest.fixture
def address(serve, tmp_path):
    register_tiny_model(tmp_path / "models")
    return serve(tmp_path / "models")[0]


def forty():
    """Films of every kind: 33 that can be read, four broken ones, three refused."""
    films = [
        (f"IM-{number:04}-0001.jpeg", as_jpeg(chest_phantom(224, 224, seed=number)))
        for number in range(32)
    ]
    whole = as_jpeg(chest_phantom(256, 256))
    films.append(("bright.png", as_png(chest_phantom(256, 256) * 0.4 + 140)))
    films += [(f"cut-{number}.jpeg", whole[: 3000 + number]) for number in range(4)]
    films += [
        ("letter.png", b"this is a letter, not a film"),
        ("thumbnail.png", as_png(chest_phantom(64, 64))),
        ("empty.dcm", b""),
    ]
    return films


def test_forty_films_are_listed_filtered_and_removed(browser, address):
    page = opened(browser, address)
    put(page, *forty())
    page.get_by_text(re.compile(r"^40 films · 1 above · .* · 7 refused$")).wait_for(
        timeout=PATIENCE
    )
    settled(page)
    rows = page.locator(".st-key-worklist label").filter(has_text=re.compile(r"\."))
    assert rows.first.inner_text().endswith("bright.png")
    expect(rows).to_have_count(40, timeout=PATIENCE)
    picture(page, "worklist-forty")
    page.get_by_role("button", name="Export").click()
    with page.expect_download(timeout=PATIENCE) as saved:
        page.get_by_role("button", name="List (CSV)").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8-sig")
    assert len(text.splitlines()) == 41
    assert "IM-00" not in text
    page.keyboard.press("Escape")
    page.get_by_label("Show").click()
    page.get_by_role("option", name="Refused").click()
    expect(rows).to_have_count(7, timeout=PATIENCE)
    settled(page)
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove this film").click()
    page.get_by_text(re.compile("^39 films")).wait_for(timeout=PATIENCE)


def pressed(page, key, mark):
    """Presses a key and waits for what it does: the chosen row that then is there."""
    page.get_by_role("button", name="Disagree").wait_for(timeout=PATIENCE)
    page.keyboard.press(key)
    page.locator(".st-key-worklist label:has(input:checked)").filter(
        has_text=mark
    ).wait_for(timeout=PATIENCE)
    settled(page)


def test_ten_films_are_reviewed_by_keyboard_alone(browser, address):
    page = opened(browser, address)
    names = [f"film-{number}.png" for number in range(10)]
    put(
        page,
        *(
            (name, as_png(chest_phantom(224, 224, seed=seed) + 5 * seed))
            for seed, name in enumerate(names)
        ),
    )
    page.get_by_text(re.compile("^10 films")).wait_for(timeout=PATIENCE)
    settled(page)
    rows = page.locator(".st-key-worklist label").filter(has_text=re.compile(r"\."))
    rows.nth(9).wait_for(timeout=PATIENCE)
    order = [re.search(r"film-\d\.png", row)[0] for row in rows.all_inner_texts()]
    assert sorted(order) == names
    marks = {"a": "check", "d": "close", "u": "question_mark"}
    for place, name in enumerate(order):
        key = "adu"[place % 3]
        pressed(page, key, re.compile(rf"{name}\s*{marks[key]}"))
        if place < 9:
            pressed(page, "n", order[place + 1])
    texts = rows.all_inner_texts()
    assert [re.search(r"(\w+)$", text)[1] for text in texts] == [
        marks["adu"[place % 3]] for place in range(10)
    ]
    pressed(page, "p", order[8])
    picture(page, "worklist-reviewed")


ACTIVE = """() => {
    const part = document.activeElement;
    const label = part.closest('label');
    return [
        part.ariaLabel,
        part.matches('button, a, summary') ? part.innerText : '',  // not a whole page's
        label?.innerText, part.name, part.type,
    ].join(' ');
}"""
# A ring or a shadow around what has the focus, or around the label that stands for it.
SEEN = """() => {
    let part = document.activeElement;
    for (let step = 0; step < 4 && part; step++, part = part.parentElement) {
        const look = getComputedStyle(part);
        const ring = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0;
        if (ring || look.boxShadow !== 'none') return true;
    }
    return false;
}"""


def tab_to(page, words, key="Tab"):
    """Presses a key until what has the focus has these words, and can be seen to."""
    for _ in range(80):
        page.keyboard.press(key)
        if re.search(words, page.evaluate(ACTIVE)):
            assert page.evaluate(SEEN), f"{words} has no visible focus"
            return
    pytest.fail(f"{words} was not reached by {key}")


def chosen_row(page):
    return page.locator(".st-key-worklist label:has(input:checked)").inner_text()


def test_a_review_from_the_upload_to_the_export_by_keyboard_alone(
    browser, address, tmp_path
):
    page = opened(browser, address)
    # Playwright holds the dialog from here on; told at the key press, it can be late.
    page.on("filechooser", lambda _: None)
    films = []
    for seed in range(10):
        films.append(tmp_path / f"film-{seed}.png")
        films[-1].write_bytes(as_png(chest_phantom(224, 224, seed=seed) + 5 * seed))
    page.get_by_text("Sample films:").wait_for(timeout=PATIENCE)  # the page's end
    settled(page)
    tab_to(page, "Upload")
    with page.expect_file_chooser(timeout=PATIENCE) as dialog:
        page.keyboard.press("Enter")
    dialog.value.set_files(films)
    page.get_by_text(re.compile("^10 films")).wait_for(timeout=PATIENCE)
    settled(page)
    for place in range(10):
        pressed(page, "adu"[place % 3], re.compile("check|close|question_mark"))
        if place < 9:
            before = chosen_row(page)
            pressed(page, "n", re.compile(r"film-\d\.png\s*$"))
            assert chosen_row(page) != before
    page.locator("body").press("h")
    page.get_by_text("no colour, no evidence").wait_for(timeout=PATIENCE)
    settled(page)
    for words in ("Show", "Order"):
        tab_to(page, words)
    tab_to(page, "film-")
    before = chosen_row(page)
    page.keyboard.press("ArrowUp")
    page.wait_for_function(
        "before => document.querySelector("
        "'.st-key-worklist label:has(input:checked)')?.innerText !== before",
        arg=before,
    )
    settled(page)
    tab_to(page, "Export")
    page.keyboard.press("Enter")
    tab_to(page, r"List \(CSV\)")
    with page.expect_download(timeout=PATIENCE) as saved:
        page.keyboard.press("Enter")
    assert Path(saved.value.path()).read_text("utf-8-sig").count("\n") == 11
    page.keyboard.press("Escape")
    for words in ("Window", "Zoom", "Agree", "Your threshold", "How was this", "Save"):
        tab_to(page, words)
    picture(page, "worklist-by-keyboard")


def test_the_sample_films_are_a_few_keys_away(browser, serve):
    page = opened(browser, serve(ROOT / "models")[0])
    page.get_by_text("Sample films:").wait_for(timeout=PATIENCE)
    settled(page)
    tab_to(page, "Try sample films")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^6 films")).wait_for(timeout=PATIENCE)
    settled(page)
    pressed(page, "a", "check")
    pressed(page, "n", "sample-")


def test_a_key_in_a_text_is_a_letter(browser, address):
    page = opened(browser, address)
    put(page, ("film.png", as_png(chest_phantom())))
    page.get_by_text("Below threshold").first.wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="Disagree").wait_for(timeout=PATIENCE)
    page.get_by_text("The model", exact=True).wait_for(timeout=PATIENCE)  # the end
    settled(page)
    page.get_by_role("button", name="Disagree").wait_for(timeout=PATIENCE)
    page.keyboard.press("d")
    reason = page.get_by_label("Reason")
    reason.click()
    page.keyboard.type("and a new one")
    page.keyboard.press("Enter")
    settled(page)
    assert reason.input_value() == "and a new one"
    primary = page.locator("[data-testid=stBaseButton-primary]").first
    assert "Disagree" in primary.inner_text().split()


def test_a_reload_asks_while_there_are_films(browser, address):
    page = opened(browser, address)
    asked = []

    def answer(dialog):
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.get_by_test_id("stMain").click()  # browsers ask only who has touched the page
    page.reload()
    assert asked == []
    put(page, ("one.jpg", as_jpeg(chest_phantom(256, 256))))
    page.get_by_text("Below threshold").first.wait_for(timeout=PATIENCE)
    settled(page)
    page.get_by_test_id("stMain").click()
    page.reload()
    page.get_by_text("1 film was found again").wait_for(timeout=PATIENCE)
    assert asked == ["beforeunload"]


def test_reading_can_be_stopped_and_the_rest_is_named(browser, address):
    page = opened(browser, address)
    films = [
        (f"film-{seed}.png", as_png(chest_phantom(224, 224, seed=seed)))
        for seed in range(300)
    ]
    put(page, *films)
    page.get_by_text(re.compile(r"Reading films: [1-9]\d+ of")).wait_for(
        timeout=PATIENCE
    )
    page.get_by_role("button", name="Stop reading").click(timeout=PATIENCE)
    page.get_by_text(re.compile(r"files were left out")).wait_for(timeout=PATIENCE)
    settled(page)
    left_out = page.get_by_text(re.compile(r"files were left out")).inner_text()
    counts = page.get_by_text(re.compile(r"^\d+ films")).first.inner_text()
    assert int(left_out.split()[0]) + int(counts.split()[0]) == 300
    page.get_by_text("files were left out").click()
    page.get_by_text("Reading was stopped before it").wait_for(timeout=PATIENCE)
    page.get_by_text("film-299.png").first.wait_for(timeout=PATIENCE)
