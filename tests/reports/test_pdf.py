"""Readings on paper, read back: every page has its notice, and no film its name."""

import io
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pypdf import PdfReader
from synthetic_films import as_png, chest_phantom
from test_layers import loaded_by
from tiny_model import PoolHere, register_tiny_model

from cxr.evaluation.estimates import Estimate
from cxr.models import inference
from cxr.models.cards import HeatmapWorth
from cxr.reading import cases, scoring
from cxr.reading.cases import Case, Context, Review
from cxr.reading.stability import Stability
from cxr.reading.zones import Evidence
from cxr.records import kept
from cxr.reports import document, pdf, sheet
from cxr.reports.document import NOTICE

NOW = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
# An accent, other scripts, a mark that turns text, a lone surrogate, a line end.
ODD = "Zo\u00eb \u0141ukasz \u738b \u05d0 \u202e \udcff \n\t\0 \U0001f600 a\u0301"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)
    return inference.load(folder)


def case_of(model, content, **changes):
    reading = scoring.read_one(model, PoolHere(), content, lungs=None, picture_edge=300)
    values = {
        "name": "CANARY^JANE.png",
        "sha256": "ab" * 32,
        "reading": reading,
        "threshold": 0.4,
        "threshold_source": "shipped",
        "answer": cases.answer(reading, model, 0.4),
    }
    return Case(**(values | changes))


@pytest.fixture(scope="module")
def scored(model):
    return case_of(
        model,
        as_png(chest_phantom(224, 224)),
        review=Review(opinion=kept.DISAGREE, reason="the base is hidden"),
        context=Context(age_years=3.0, spo2_percent=91.0),
    )


@pytest.fixture(scope="module")
def refused(model):
    return case_of(model, b"a letter", sample=True)


def pages(content):
    reader = PdfReader(io.BytesIO(content))
    return [" ".join(page.extract_text().split()) for page in reader.pages]


def test_one_film_says_all_that_its_reader_needs(scored, model):
    content = pdf.of_film(scored, model, time=NOW)
    text = " ".join(pages(content))
    low, high = model.band(0.4)
    for words in (
        *("Below threshold", "threshold 0.40", "2026-11-27 08:30 UTC"),
        f"No answer from {low:.2f} to below {high:.2f}.",
        *("age 3 years", "oxygen saturation 91 %", "It did not touch the score."),
        *("Disagree: the base is hidden", "the one that the model ships with"),
        *("tiny-1", model.sha256, "ab" * 32, *model.card.limits),
        f"On {model.card.metrics['test'].n} test films",
    ):
        assert words in text
    assert all(NOTICE in page for page in pages(content))
    assert "CANARY" not in text and "Sample" not in text


def test_the_picture_and_its_overlay_are_there(scored, model):
    shape = scored.reading.picture.shape
    overlay = np.full((*shape, 3), 90, np.uint8)
    bare = PdfReader(io.BytesIO(pdf.of_film(scored, model, time=NOW)))
    both = PdfReader(io.BytesIO(pdf.of_film(scored, model, time=NOW, overlay=overlay)))
    (film,) = bare.pages[0].images
    assert np.array_equal(np.asarray(film.image), scored.reading.picture)
    assert len(both.pages[0].images) == 2


def test_what_a_threshold_costs_can_be_said_by_the_page(scored, model):
    costs = ["Of 1,000 patients here 2 are missed.", "33 false alarms."]
    text = pages(pdf.of_film(scored, model, time=NOW, costs=costs))[0]
    assert all(sentence in text for sentence in costs)


def test_a_refused_sample_film_says_why_and_what_it_is(refused, model):
    text = " ".join(pages(pdf.of_film(refused, model, time=NOW)))
    assert pdf.SAMPLE in text and pdf.UNREAD in text
    assert "Refused" in text and "not-an-image" in text
    assert "pneumonia, as among" not in text


def test_the_same_film_at_the_same_time_gives_the_same_file(scored, model):
    first, second = (pdf.of_film(scored, model, time=NOW) for _ in range(2))
    assert first == second
    assert PdfReader(io.BytesIO(first)).metadata.creation_date == NOW


def test_the_list_has_a_row_for_each_film(scored, refused, model):
    content = pdf.of_list([scored, refused] * 20, model, time=NOW)
    found = pages(content)
    text = " ".join(found)
    assert len(found) > 1 and all(NOTICE in page for page in found)
    assert "40 films, 20 below threshold, 20 refused" in text
    assert text.count("abababababab") >= 40
    assert text.count("Sample film.") == 20
    assert "CANARY" not in text
    assert all("Probability" in page for page in found[:-1])


def test_an_empty_list_is_a_list(model):
    assert "0 films" in pages(pdf.of_list([], model, time=NOW))[0]


def test_names_are_there_for_who_asks_and_no_letter_stops_it(scored, model):
    odd = replace(scored, name=ODD, review=Review(opinion=kept.AGREE, reason=ODD))
    long = replace(scored, name="W" * 300)
    for content in (
        pdf.of_film(odd, model, time=NOW, with_name=True),
        pdf.of_list([odd, long], model, time=NOW, with_names=True),
    ):
        assert "Zo\u00eb Lukasz ? ?" in " ".join(pages(content))


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.5, 0.999999, 1.0])
def test_the_scale_holds_every_probability(scored, model, value):
    result = replace(scored.reading.result, probability=value)
    case = replace(scored, reading=replace(scored.reading, result=result))
    assert "probability" in pages(pdf.of_film(case, model, time=NOW))[0].lower()


def test_the_app_starts_without_what_makes_documents():
    names = ("pdf", "worklist", "structured", "capture")
    loaded = loaded_by(*(f"cxr.reports.{name}" for name in names))
    assert not loaded & {"fpdf", "highdicom", "fontTools", "pydicom"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "< 0.001"),
        (0.005, "0.005"),
        (0.17, "0.17"),
        (0.5, "0.50"),
        (0.95, "0.95"),
        (0.995, "0.995"),
        (0.999999, "> 0.999"),
    ],
)
def test_a_share_is_never_certain_nor_falsely_precise(value, text):
    assert sheet.figure(value) == text


def test_a_report_says_what_the_answer_means_and_whether_it_holds(scored, model):
    case = replace(
        scored,
        prevalence=0.2,
        likelihood_ratio=Estimate(value=14.0, low=9.0, high=math.inf),
        context=Context(pretest_probability=0.4),
        stability=Stability(probabilities={"a": 0.2}, same=1, low=0.1, high=0.3),
        evidence=Evidence(
            zone="left lower zone", inside=0.5, area=0.3, heat={}, falls={}
        ),
    )
    text = " ".join(" ".join(pages(pdf.of_film(case, model, time=NOW))).split())
    assert "Likelihood ratio of this answer 14 (9 to infinite)" in text
    assert "probability 0.78 (0.69 to > 0.999)" in text  # odds of 1 to 4, times 14
    assert "at 40.0% before the film: probability 0.903" in text
    assert "stays the same in 1 of 1 small changes" in text
    assert "Evidence: left lower zone." in text


def test_what_a_heat_map_is_worth_comes_from_the_card(model):
    assert "was not measured" in document.heatmap_worth(model.card)
    better = Estimate(value=0.2, low=0.1, high=0.3)
    worse = Estimate(value=-0.2, low=-0.3, high=-0.1)
    worth = HeatmapWorth(films=60, split="test", over_random=better, over_centre=worse)
    text = document.heatmap_worth(replace(model.card, heatmap_worth=worth))
    assert "On 60 test films" in text
    assert "earlier (+0.20, +0.10 to +0.30) than with places at random" in text
    assert "later (-0.20, -0.30 to -0.10) than from the middle" in text
