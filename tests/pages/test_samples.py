"""The sample films on Home and Classify: offered, listed, marked in every file."""

import csv
import io
import json
import shutil

import pydicom
import pytest
from classify_page import CLASSIFY, HOME, page, terms_of, upload, words
from pypdf import PdfReader
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.errors import ImageError
from cxr.reading import samples
from cxr.reports.document import SAMPLE
from ui import loaders
from ui.classify import exports, films
from ui.samples import ATTRIBUTION, BADGE

MARK = ":material/science:"
SIX = samples.contents()
OWN = as_png(chest_phantom(256, 256, seed=4) * 0.5)


@pytest.fixture
def classify(tmp_path, monkeypatch):
    """The Classify page, empty; its tiny model takes any film."""
    register_tiny_model(tmp_path / "models", age_years=(1.0, 6.0))
    monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    return page(CLASSIFY)


def listed(at):
    return at.session_state["films"]


def tried(at):
    at.button(key="try_samples").click().run()
    assert not at.exception
    return at


def test_the_button_lists_six_films_marked_as_samples(classify):
    at = tried(classify)
    kept = list(listed(at).films.values())
    assert [film.sha256 for film in kept] == [sample.sha256 for sample in SIX]
    assert all(film.sample for film in kept)
    assert len(at.radio[0].options) == 6
    assert all(MARK in row for row in at.radio[0].options)
    assert BADGE in words(at)
    assert ATTRIBUTION in words(at)


def test_the_offer_says_whose_films_they_are(classify):
    assert ATTRIBUTION in words(classify)
    assert "Six films of other children" in words(classify)


def test_the_label_is_behind_a_click_and_the_data_sets(classify):
    at = tried(classify)
    film = listed(at).films[listed(at).chosen]
    (expander,) = [e for e in at.expander if "data set calls" in e.label]
    assert not expander.proto.expanded
    shown = expander.markdown[0].value
    assert samples.sample_of(film.sha256).label.capitalize() in shown.replace("\\", "")
    assert "graders of the data set" in shown
    outside = words(at).replace(words(expander), "")
    assert "bacteri" not in outside and "IM-0" not in outside


def test_home_leads_to_the_samples(classify):
    at = page(HOME)
    at.button(key="try_samples_at_home").click().run()
    assert not at.exception
    assert len(listed(at).films) == 6
    assert all(film.sample for film in listed(at).films.values())


def test_home_leads_to_the_samples_beside_films_that_are_listed(classify):
    at = upload(classify, own_png=OWN)
    at.switch_page(HOME).run()
    at.button(key="try_samples_at_home").click().run()
    kept = listed(at).films
    assert [film.sample for film in kept.values()] == [False] + [True] * 6
    assert kept[listed(at).chosen].sample
    assert sum(MARK in row for row in at.radio[0].options) == 6
    # Asked for once more they are there already; one of them is shown.
    listed(at).chosen = next(key for key, film in kept.items() if not film.sample)
    at.switch_page(HOME).run()
    at.button(key="try_samples_at_home").click().run()
    assert len(listed(at).films) == 7
    assert kept[listed(at).chosen].sample


def test_they_can_be_had_later_and_are_offered_until_they_are_there(classify):
    at = upload(classify, own_png=OWN)
    assert not listed(at).films[listed(at).chosen].sample
    assert BADGE not in words(at)
    tried(at)
    assert len(listed(at).films) == 7
    assert "try_samples" not in [button.key for button in at.button]
    at.button(key="remove_films").click().run()
    assert not listed(at).films
    assert len(listed(tried(at)).films) == 6


def test_a_sample_that_was_uploaded_is_marked_too(classify):
    at = upload(classify, own_jpeg=SIX[samples.manifest().samples[0]])
    assert listed(at).films[listed(at).chosen].sample
    assert BADGE in words(at)


def test_one_by_one_they_find_no_room_in_a_full_list(classify, monkeypatch):
    monkeypatch.setattr(films, "MOST_FILMS", 4)
    at = tried(classify)
    assert len(listed(at).films) == 4
    names = [name for name, _ in listed(at).left_out.values()]
    assert names == ["sample-5.jpeg", "sample-6.jpeg"]


def test_a_tampered_sample_is_refused_and_the_page_goes_on(
    classify, tmp_path, monkeypatch
):
    folder = shutil.copytree(samples.FOLDER, tmp_path / "changed")
    (folder / "sample-2.jpeg").write_bytes(OWN)
    own = samples.contents
    monkeypatch.setattr(samples, "contents", lambda: own(folder))
    at = tried(classify)
    assert not listed(at).films
    (warning,) = at.warning
    assert "sample-2.jpeg is not the one that ships" in words(at)
    assert "Error id" in warning.value
    upload(at, own_png=OWN)
    assert len(listed(at).films) == 1
    assert "not the one that ships" not in words(at)


def pdf_text(content):
    return " ".join(
        page.extract_text() for page in PdfReader(io.BytesIO(content)).pages
    )


def test_every_file_says_that_a_film_is_a_sample(classify):
    at = tried(classify)
    kept = listed(at)
    film = kept.films[kept.chosen].unpacked()
    assert not isinstance(film.reading.result, ImageError)
    model = loaders.active_model()
    makers = exports._film_makers(film, model, terms_of(model), (0.5, "Inferno"))
    as_json, as_pdf, report, _, picture = (make() for make in makers)
    assert json.loads(as_json)["sample"] is True
    assert SAMPLE in " ".join(pdf_text(as_pdf).split())
    assert SAMPLE.encode() in report
    assert pydicom.dcmread(io.BytesIO(picture)).ImageComments == SAMPLE


def test_every_file_of_the_list_says_which_films_are_samples(classify):
    at = tried(upload(classify, own_png=OWN))
    kept = list(listed(at).films.values())
    model = loaders.active_model()
    files = {
        name: exports._made(make, kept, model, terms_of(model), False)
        for _, name, _, make in exports.LIST_FILES
    }
    table = files["worklist.csv"].decode("utf-8-sig").splitlines()
    start = next(i for i, line in enumerate(table) if line.startswith("number"))
    rows = list(csv.DictReader(table[start:]))
    assert [row["sample"] for row in rows] == ["no"] + ["yes"] * 6
    in_json = json.loads(files["worklist.json"])["films"]
    assert [facts["sample"] for facts in in_json] == [False] + [True] * 6
    assert pdf_text(files["worklist.pdf"]).count("Sample film.") == 6
