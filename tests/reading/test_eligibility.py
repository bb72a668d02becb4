"""What may be scored: by the header, and by what the lung network sees."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_films import as_dicom, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr.films.film import read_film
from cxr.models import inference, lungs
from cxr.models.lungs import Lungs
from cxr.models.novelty import KINDS, Likeness
from cxr.reading import eligibility, scoring

BOTH = (slice(30, 90), slice(20, 50)), (slice(30, 90), slice(75, 105))


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder, age_years=(1.0, 6.0))
    return folder


@pytest.fixture(scope="module")
def model(models_dir):
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def network(models_dir):
    return lungs.load(models_dir)


def lungs_at(*places):
    masks = []
    for i in range(2):
        mask = np.zeros((128, 128), bool)
        if i < len(places):
            mask[places[i]] = True
        masks.append(mask)
    return Lungs(share=np.zeros((128, 128), np.float32), right=masks[0], left=masks[1])


def said(**changes):
    return replace(Likeness(frontal=5.0, unlike=-5.0, otherwise=KINDS[-1]), **changes)


def judged(network, likeness, seen, **options):
    options = {"known_age": False} | options
    return eligibility.by_picture(likeness, seen, network.card.gate, **options)


class TestHeader:
    @pytest.mark.parametrize(
        ("elements", "code"),
        [
            ({"view": "LL"}, "lateral-view"),
            ({"view": "RL"}, "lateral-view"),
            ({"view": "LATERAL"}, "lateral-view"),
            ({"view": "RAO"}, "other-view"),
            ({"view": "PA", "body_part": "KNEE"}, "other-body-part"),
        ],
    )
    def test_what_it_rules_out_is_refused(self, model, elements, code):
        film = read_film(as_dicom(chest_phantom(), **elements))
        refusal = eligibility.by_header(film, model.card).refusal
        assert refusal.code == code
        assert refusal.message == eligibility.REFUSALS[code]

    @pytest.mark.parametrize(
        "elements",
        [
            {},
            {"view": "PA"},
            {"view": "AP", "body_part": "CHEST", "age": "003Y"},
            {"age": "001Y"},
            {"age": "071M"},
        ],
    )
    def test_a_plain_frontal_film_of_a_child_passes(self, model, elements):
        film = read_film(as_dicom(chest_phantom(), **elements))
        assert eligibility.by_header(film, model.card) == eligibility.Eligibility()

    @pytest.mark.parametrize(
        ("elements", "words"),
        [
            ({"age": "061Y"}, "an age of 61 years"),
            ({"age": "011M"}, "an age of 11 months"),
            ({"age": "006Y"}, "an age of 6 years"),
            ({"age": "095Y"}, "90 years or more"),
            ({"view": "FRONTAL"}, "no known term"),
            ({"body_part": "TORSO AP"}, "no known term"),
        ],
    )
    def test_what_speaks_against_a_score_is_said(self, model, elements, words):
        film = read_film(as_dicom(chest_phantom(), **elements))
        result = eligibility.by_header(film, model.card)
        (sentence,) = result.cautions
        assert result.refusal is None and words in sentence

    def test_a_model_that_states_no_ages_claims_none(self, model):
        card = replace(model.card, age_years=None)
        film = read_film(as_dicom(chest_phantom(), age="061Y"))
        assert eligibility.by_header(film, card) == eligibility.Eligibility()


class TestPicture:
    @pytest.mark.parametrize(
        ("otherwise", "code"),
        [
            ("sideways", "sideways"),
            ("upside down", "upside-down"),
            ("inverted", "inverted"),
            ("something else", "not-frontal-chest"),
        ],
    )
    def test_what_the_gate_refuses_is_named(self, network, otherwise, code):
        likeness = said(frontal=-0.1, otherwise=otherwise)
        assert judged(network, likeness, lungs_at(*BOTH)).refusal.code == code

    def test_every_kind_has_its_refusal(self):
        codes = {eligibility._CODES[kind] for kind in KINDS[2:]}
        assert codes < set(eligibility.REFUSALS)

    def test_the_threshold_itself_passes(self, network):
        assert judged(network, said(frontal=0.0), lungs_at(*BOTH)).refusal is None

    def test_what_is_not_a_number_is_refused(self, network):
        likeness = said(frontal=math.nan)
        assert judged(network, likeness, lungs_at(*BOTH)).refusal is not None

    def test_no_lung_at_all_is_refused(self, network):
        assert judged(network, said(), lungs_at()).refusal.code == "no-lungs"

    def test_one_lung_is_scored_with_a_sentence(self, network):
        result = judged(network, said(), lungs_at(BOTH[0]))
        assert result.refusal is None
        assert result.cautions == (eligibility.ONE_LUNG,)

    def test_a_film_unlike_the_training_films_is_scored_with_a_sentence(self, network):
        result = judged(network, said(unlike=0.1), lungs_at(*BOTH))
        assert result.refusal is None
        assert result.cautions == (eligibility.UNLIKE_TRAINING,)

    def test_a_known_age_has_had_its_say(self, network):
        result = judged(network, said(unlike=9.0), lungs_at(*BOTH), known_age=True)
        assert result == eligibility.Eligibility()


class TestInScoring:
    def test_refused_films_stand_in_their_place_and_cost_no_score(
        self, model, network, monkeypatch
    ):
        scored = []
        predict = model.predict_inputs

        def counted(inputs, *, beside):
            scored.append(len(inputs))
            return predict(inputs, beside=beside)

        monkeypatch.setattr(model, "predict_inputs", counted)
        film = chest_phantom(160, 160)
        white = as_png(np.clip(film * 0.1 + 236, 0, 255))
        files = [as_png(film), white, b"text", as_dicom(film, view="LL"), as_png(film)]
        readings = list(scoring.score(model, PoolHere(), files, lungs=network))
        codes = [getattr(reading.result, "code", "") for reading in readings]
        assert codes == ["", "not-frontal-chest", "not-an-image", "lateral-view", ""]
        assert [r.eligible for r in readings] == [True, False, None, False, True]
        assert sum(scored) == 2
        assert readings[0].lungs.right.any()
        assert [reading.lungs for reading in readings[1:4]] == [None] * 3

    def test_a_dark_film_is_scored_and_said_to_be_unlike(self, model, network):
        film = np.clip(chest_phantom(160, 160) * 0.1, 0, 255)
        reading = scoring.read_one(model, PoolHere(), as_png(film), lungs=network)
        assert eligibility.UNLIKE_TRAINING in reading.cautions
        assert reading.eligible

    def test_scores_are_those_without_the_network(self, model, network):
        files = [as_png(chest_phantom(160, 160, seed=i)) for i in range(20)]
        with_it = scoring.score(model, PoolHere(), files, lungs=network)
        without = scoring.score(model, PoolHere(), files, lungs=None)
        for one, other in zip(with_it, without, strict=True):
            assert one.result.probability == other.result.probability
