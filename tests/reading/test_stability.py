"""Nine changes of one film, their answers, and when they are tried unasked."""

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model, tiny_probability

from cxr.config import ROOT
from cxr.errors import ImageError
from cxr.films import changes
from cxr.governance import shipped
from cxr.models import inference, registry
from cxr.models.cards import UncertainBand
from cxr.reading import scoring, stability
from cxr.reading.stability import Margin, Margins


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    """A model without an uncertain band."""
    models_dir = tmp_path_factory.mktemp("models")
    band = UncertainBand(below=0, above=0, rule="none")
    register_tiny_model(models_dir, uncertain_band=band)
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def film():
    return chest_phantom(224, 224)


def read(model, film):
    return scoring.read_one(
        model, PoolHere(), as_png(film), picture_edge=1400, lungs=None
    )


class TestMeasure:
    def test_all_changes_go_through_the_network_in_one_batch(
        self, model, film, monkeypatch
    ):
        reading, sizes, network = read(model, film), [], model.network

        class Counted:
            size, prepare = network.size, staticmethod(network.prepare)

            def __call__(self, inputs, **options):
                sizes.append(len(inputs))
                return network(inputs, **options)

        monkeypatch.setattr(model, "network", Counted())
        stability.measure(reading, model, 0.4)
        assert sizes == [9]

    def test_each_probability_is_that_of_the_changed_film(self, model, film):
        found = stability.measure(read(model, film), model, 0.4)
        assert list(found.probabilities) == list(stability.CHANGES)
        for name, draws in stability.CHANGES.items():
            expected = tiny_probability(changes.apply(film, draws))
            assert found.probabilities[name] == pytest.approx(expected, abs=1e-4)

    def test_the_range_holds_the_reading_too(self, model, film):
        reading = read(model, film)
        found = stability.measure(reading, model, 0.4)
        everything = [reading.result.probability, *found.probabilities.values()]
        assert (found.low, found.high) == (min(everything), max(everything))

    def test_an_answer_far_from_the_threshold_holds(self, model, film):
        found = stability.measure(read(model, film), model, 1e-6)
        assert (found.same, found.changes, found.flips) == (9, 9, False)

    def test_what_gives_another_answer_is_counted(self, sharp, film):
        reading = read(sharp, film)
        just_below = reading.result.probability - 1e-3
        found = stability.measure(reading, sharp, just_below)
        values = np.array(list(found.probabilities.values()))
        assert found.same == (values >= just_below).sum() < 9
        assert found.flips
        # The tiny model's score rises with brightness, so the darker film falls.
        assert found.probabilities["darker"] < just_below
        assert found.probabilities["brighter"] > just_below

    def test_a_changed_film_that_cannot_be_scored_is_an_error(
        self, model, film, monkeypatch
    ):
        reading = read(model, film)
        broken = ImageError("This film could not be scored.", code="not-scored")
        monkeypatch.setattr(model, "predict_inputs", lambda inputs: [broken] * 9)
        with pytest.raises(ImageError, match="could not be scored"):
            stability.measure(reading, model, 0.4)

    def test_a_reading_without_prediction_or_picture_is_wrong_use(self, model, film):
        refused = scoring.read_one(
            model, PoolHere(), b"no film", picture_edge=1400, lungs=None
        )
        bare = scoring.read_one(model, PoolHere(), as_png(film), lungs=None)
        for reading in (refused, bare):
            with pytest.raises(ValueError, match="a prediction and a picture"):
                stability.measure(reading, model, 0.4)


class TestChanges:
    @pytest.mark.parametrize("name", stability.CHANGES)
    def test_no_change_leaves_black_ground(self, name):
        film = np.full((224, 224), 100, np.float32)
        changed = changes.apply(film, stability.CHANGES[name])
        inside = changed[1:-1, 1:-1]  # an edge pixel is half of what lies beyond
        assert inside.min() > 50
        assert inside.max() < 150

    def test_the_crops_keep_the_corner_that_they_name(self):
        film = np.zeros((224, 224), np.float32)
        film[:6, :6], film[-6:, -6:] = 200, 100  # less than 6 % of the edge
        right_below, left_above = (
            changes.apply(film, stability.CHANGES[f"cropped by 6 % at the {where}"])
            for where in ("right and below", "left and above")
        )
        assert right_below.max() > 190 and right_below[112:, 112:].max() == 0
        assert left_above.max() > 90 and left_above[:112, :112].max() == 0

    def test_clockwise_is_clockwise(self):
        film = np.zeros((224, 224), np.float32)
        film[20:24, 110:114] = 200  # twelve o'clock
        turned = changes.apply(film, stability.CHANGES["turned 3 degrees clockwise"])
        assert np.argmax(turned.max(axis=0)) > 114


class TestNear:
    @pytest.fixture
    def measured(self, model, sharp, monkeypatch):
        margin = Margin(
            model_id="tiny-1", logits=0.25, films=9, flipping=3, rule="", split=""
        )
        margins = Margins(models={model.sha256: margin})
        monkeypatch.setattr(stability, "margins", lambda: margins)

    def test_near_is_near_an_edge_of_the_band(self, model, measured):
        # The band reaches half a logit to each side of even odds.
        for logit, is_near in [
            *((0.0, False), (0.2, False), (0.3, True), (0.7, True), (0.8, False)),
            *((-0.2, False), (-0.3, True), (-0.7, True), (-0.8, False)),
        ]:
            probability = 1 / (1 + np.exp(-logit))
            assert stability.near(probability, model, 0.5) is is_near, logit

    def test_without_a_band_it_is_near_the_threshold(self, sharp, measured):
        assert stability.near(0.55, sharp, 0.5)
        assert not stability.near(0.60, sharp, 0.5)

    def test_certain_scores_and_thresholds_at_the_ends_have_a_distance(
        self, model, measured
    ):
        assert not stability.near(0.0, model, 0.5)
        assert not stability.near(1.0, model, 0.5)
        assert stability.near(1.0, model, 1.0)

    def test_a_model_that_was_not_measured_is_tried_on_request_alone(
        self, model, monkeypatch
    ):
        monkeypatch.setattr(stability, "margins", lambda: Margins(models={}))
        assert not stability.near(0.6, model, 0.5)


class TestMargin:
    def test_it_is_the_smallest_distance_that_catches_the_share(self):
        distances = np.arange(1.0, 41.0)
        flips = distances <= 20
        found = stability.fitted_margin(distances, flips, model_id="m")
        assert found.logits == 19  # 19 of 20 are 95 %
        assert (found.films, found.flipping, found.split) == (40, 20, "validation")

    def test_without_films_that_turn_there_is_none(self):
        with pytest.raises(ValueError, match="another answer"):
            stability.fitted_margin(np.ones(3), np.zeros(3, bool), model_id="m")

    @pytest.mark.parametrize("model_id", shipped.CARD_SHA256)
    def test_every_model_that_ships_has_one(self, model_id):
        card = registry.read_card(ROOT / "models", model_id)
        margin = stability.margins().models[card.weights_sha256]
        assert margin.model_id == model_id
        assert margin.films == card.data.films["validation"]
        assert 0 < margin.flipping < margin.films
        assert 0 < margin.logits < 5


@pytest.mark.real_data
def test_the_picture_of_a_real_film_scores_as_the_film_does(data_dir):
    model = inference.load(ROOT / "models")
    gaps = []
    for path in sorted((data_dir / "originals").rglob("*.jpeg"))[::6]:
        reading = scoring.read_one(
            model, PoolHere(), path.read_bytes(), picture_edge=1400, lungs=None
        )
        picture = reading.picture.astype(np.float32)
        [again] = model.predict_inputs([model.network.prepare(picture)])
        gaps.append(abs(again.probability - reading.result.probability))
    assert len(gaps) == 20
    assert max(gaps) <= 0.001
