"""A worklist as CSV and JSON: every film has its row, and no film has its name."""

import csv
import io
import json
from dataclasses import replace

import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.films.decoding import DecoderPool
from cxr.models import inference
from cxr.reading import cases, scoring
from cxr.reading.cases import Case, Context, Review
from cxr.records import kept
from cxr.reports import worklist
from cxr.reports.document import NOTICE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)
    return inference.load(folder)


@pytest.fixture(scope="module")
def listed(model):
    """A film that is scored and reviewed, and one that is refused."""
    with DecoderPool() as pool:
        scored, refused = scoring.score(
            model, pool, [as_png(chest_phantom(224, 224)), b"a letter"], lungs=None
        )
    return [
        Case(
            name="CANARY^JANE.png",
            sha256="a" * 64,
            reading=scored,
            threshold=0.4,
            threshold_source="shipped",
            answer=cases.answer(scored, model, 0.4),
            review=Review(opinion=kept.DISAGREE, reason="=1+1"),
            context=Context(age_years=3.0),
        ),
        Case(
            name="CANARY.txt",
            sha256="b" * 64,
            reading=refused,
            threshold=0.4,
            threshold_source="shipped",
            answer=cases.answer(refused, model, 0.4),
        ),
    ]


def test_csv_has_a_row_for_each_film_and_no_formula(listed, model):
    content = worklist.as_csv(listed, model)
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"CANARY" not in content
    first, second = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert tuple(first) == (*worklist.COLUMNS, *worklist.ORIGIN)
    assert first["notice"] == NOTICE
    low, high = model.band(0.4)
    assert float(first["no_answer_from"]) == low
    assert float(first["no_answer_below"]) == high
    assert (first["eligible"], second["eligible"]) == ("yes", "")
    assert (first["number"], second["number"]) == ("1", "2")
    assert first["answer"] == kept.BELOW
    assert float(first["probability"]) == listed[0].reading.result.probability
    assert (first["opinion"], first["opinion_reason"]) == ("disagree", "'=1+1")
    assert (first["age_years"], first["spo2_percent"]) == ("3.0", "")
    assert (second["answer"], second["probability"]) == (cases.REFUSED, "")
    assert second["refusal"] == "not-an-image"
    assert first["sample"] == "no"


def test_json_says_what_read_the_films(listed, model):
    content = worklist.as_json(listed, model)
    assert b"CANARY" not in content
    document = json.loads(content)
    assert document["model_sha256"] == model.sha256
    assert document["limits"] == list(model.card.limits)
    first, second = document["films"]
    assert first["probability"] == listed[0].reading.result.probability
    assert first["opinion_reason"] == "=1+1"
    assert second["probability"] is None
    assert second["film_sha256"] == "b" * 64


def test_names_are_there_for_who_asks(listed, model):
    named = [replace(listed[0], name="=CANARY"), listed[1]]
    content = worklist.as_csv(named, model, with_names=True).decode("utf-8-sig")
    table = [*csv.DictReader(io.StringIO(content))]
    assert [row[worklist.NAME] for row in table] == ["'=CANARY", "CANARY.txt"]
    films = json.loads(worklist.as_json(named, model, with_names=True))["films"]
    assert [film[worklist.NAME] for film in films] == ["=CANARY", "CANARY.txt"]


def test_an_empty_list_has_its_heading(model):
    assert len(worklist.as_csv([], model).splitlines()) == 1
    assert json.loads(worklist.as_json([], model))["films"] == []
