"""From a model folder to predictions: what may serve, what it says, what it decides."""

import io
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model, tiny_probability

from cxr.errors import ImageError, ModelError
from cxr.films import preparation
from cxr.films.film import Film, read_film
from cxr.models import cards, inference, registry
from cxr.models.cards import UncertainBand
from cxr.models.inference import BATCH, NORMAL, PNEUMONIA, UNCERTAIN, Model
from cxr.models.network import Outputs
from cxr.models.runtime import openvino

ops = openvino.opset13


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    register_tiny_model(tmp_path, "good")
    return tmp_path


def film_of(brightness: float, seed: int = 0) -> Film:
    pixels = chest_phantom(256, 256, seed)
    pixels = np.clip(pixels + np.float32(brightness - pixels.mean()), 0, 255)
    return read_film(as_png(pixels))


def inputs_of(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    levels = rng.uniform(70, 150, n)
    return [rng.normal(v, 5, (224, 224, 1)).astype(np.float32) for v in levels]


def rewrite(models_dir: Path, model_id: str, name: str, content: bytes) -> None:
    """Changes a file of a model and the card with it, as an insider could."""
    folder = models_dir / model_id
    (folder / name).write_bytes(content)
    card = registry.read_card(models_dir, model_id)
    files = registry.file_records(folder)
    registry.write_card(models_dir, replace(card, files=files))


def graph_bytes(folder: Path, **outputs: Any) -> None:
    """Saves a network with these outputs, made from an image input."""
    image = outputs.pop("image")
    for name, node in outputs.items():
        node.output(0).set_names({name})
    openvino.save_model(
        openvino.Model(list(outputs.values()), [image], "other"),
        folder / cards.NETWORK,
        compress_to_fp16=False,
    )


@pytest.fixture(scope="module")
def one_by_one(model: Model) -> list[float]:
    """The probabilities of `inputs_of(40)`, each scored alone."""
    scored = [next(model.predict_inputs([item])) for item in inputs_of(40)]
    return [prediction.probability for prediction in scored]


class TestLoad:
    def test_the_active_model_by_default(self, models_dir):
        register_tiny_model(models_dir, "newer")
        assert inference.load(models_dir).card.model_id == "newer"
        assert inference.load(models_dir, "good", threads=1).card.model_id == "good"

    def test_nothing_serves_when_none_is_active(self, tmp_path):
        with pytest.raises(ModelError) as refused:
            inference.load(tmp_path)
        assert refused.value.code == "no-active-model"

    @pytest.mark.parametrize("model_id", ["", "..", "../good"])
    def test_an_id_that_is_none_is_not_the_active_model(self, models_dir, model_id):
        with pytest.raises(ModelError) as refused:
            inference.load(models_dir, model_id)
        assert refused.value.code == "no-such-model"

    @pytest.mark.parametrize(
        "name", [cards.NETWORK, cards.NETWORK_WEIGHTS, cards.GOLDEN]
    )
    def test_one_flipped_bit_is_enough_to_refuse(self, models_dir, name):
        path = models_dir / "good" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0b100
        path.write_bytes(content)
        with pytest.raises(ModelError, match=f"{name} was changed") as refused:
            inference.load(models_dir)
        assert refused.value.code == "damaged-model"

    def test_films_prepared_in_another_way_are_named(self, tmp_path):
        register_tiny_model(tmp_path, preparation="resize-nearest")
        with pytest.raises(ModelError, match="resize-nearest") as refused:
            inference.load(tmp_path)
        assert refused.value.code == "other-preparation"

    def test_swapped_classes_are_refused(self, tmp_path):
        register_tiny_model(tmp_path, classes=("PNEUMONIA", "NORMAL"))
        with pytest.raises(ModelError) as refused:
            inference.load(tmp_path)
        assert refused.value.code == "other-classes"

    def test_another_input_size_than_the_cards_is_refused(self, tmp_path):
        register_tiny_model(tmp_path, input_size=512)
        with pytest.raises(ModelError, match="224 pixels, not of 512"):
            inference.load(tmp_path)

    @pytest.mark.parametrize("change", [0.002, math.nan])
    def test_another_golden_score_is_refused(self, models_dir, change):
        with np.load(models_dir / "good" / cards.GOLDEN) as golden:
            films, probabilities = golden["films"], golden["probabilities"].copy()
        probabilities[1] += change
        stream = io.BytesIO()
        np.savez(stream, films=films, probabilities=probabilities)
        rewrite(models_dir, "good", cards.GOLDEN, stream.getvalue())
        with pytest.raises(ModelError) as refused:
            inference.load(models_dir)
        assert refused.value.code == "golden-score"

    @pytest.mark.parametrize("n_films, n_scores", [(0, 0), (1, 2), (2, 1)])
    def test_golden_scores_of_no_or_other_films_are_refused(
        self, models_dir, n_films, n_scores
    ):
        stream = io.BytesIO()
        films = np.full((n_films, 224, 224), 110, np.uint8)
        np.savez(stream, films=films, probabilities=np.full(n_scores, 0.5))
        rewrite(models_dir, "good", cards.GOLDEN, stream.getvalue())
        with pytest.raises(ModelError) as refused:
            inference.load(models_dir)
        assert refused.value.code == "golden-score"

    def test_pickled_golden_films_are_never_unpickled(self, models_dir, tmp_path):
        canary = tmp_path / "canary"

        class Payload:
            def __reduce__(self) -> tuple:
                return Path.touch, (canary,)

        stream = io.BytesIO()
        np.savez(
            stream,
            films=np.array([Payload()], dtype=object),
            probabilities=np.array([0.5]),
        )
        rewrite(models_dir, "good", cards.GOLDEN, stream.getvalue())
        with pytest.raises(ModelError, match="can't be read"):
            inference.load(models_dir)
        assert not canary.exists()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text" * 100])
    def test_golden_scores_that_can_not_be_read_are_refused(self, models_dir, content):
        rewrite(models_dir, "good", cards.GOLDEN, content)
        with pytest.raises(ModelError, match="golden scores .* can't be read"):
            inference.load(models_dir)

    @pytest.mark.parametrize("name", [cards.NETWORK, cards.NETWORK_WEIGHTS])
    @pytest.mark.parametrize("content", [b"", b"\0" * 8, b"<net><layers>"])
    def test_what_is_no_network_is_refused(self, models_dir, name, content):
        rewrite(models_dir, "good", name, content)
        with pytest.raises(ModelError):
            inference.load(models_dir)

    @pytest.mark.parametrize("n_classes, outputs", [(3, 3), (1, 2)])
    def test_a_network_of_another_kind_is_refused(self, models_dir, n_classes, outputs):
        image = ops.parameter([-1, 224, 224, 1], np.float32, name="image")
        image.output(0).set_names({"image"})
        mean = ops.reduce_mean(image, np.array([1, 2]), keep_dims=False)
        made = {
            "logit": ops.concat([mean] * n_classes, 1),
            "pooled": ops.multiply(mean, np.float32(1)),
            "activation_map": ops.squeeze(image, np.array([3])),
        }
        kept = dict(list(made.items())[:outputs])
        graph_bytes(models_dir / "good", image=image, **kept)
        for name in (cards.NETWORK, cards.NETWORK_WEIGHTS):
            content = (models_dir / "good" / name).read_bytes()
            rewrite(models_dir, "good", name, content)
        with pytest.raises(ModelError) as refused:
            inference.load(models_dir)
        assert refused.value.code == "damaged-model"


class TestActivate:
    def test_a_model_that_gives_its_golden_scores_serves(self, models_dir):
        register_tiny_model(models_dir, "newer")
        assert inference.activate(models_dir, "good").model_id == "good"
        assert registry.active_id(models_dir) == "good"

    def test_a_model_that_would_not_load_leaves_the_old_one_active(self, models_dir):
        register_tiny_model(models_dir, "odd", preparation="another")
        registry.activate(models_dir, "good")
        with pytest.raises(ModelError, match="another"):
            inference.activate(models_dir, "odd")
        assert registry.active_id(models_dir) == "good"


class TestPredict:
    @pytest.mark.parametrize("brightness", [80, 105, 112, 140])
    def test_the_probability_is_that_of_the_network(self, model, brightness):
        film = film_of(brightness)
        prediction = model.predict(film)
        expected = tiny_probability(film.pixels)
        assert prediction.probability == pytest.approx(expected, abs=1e-5)
        assert prediction.model_id == "tiny-1"
        assert prediction.model_sha256 == model.sha256
        assert prediction.activation_map.shape == (7, 7)
        assert prediction.activation_map.dtype == np.float32
        assert prediction.pooled.shape == (1,)

    def test_the_calibration_of_the_card_is_applied(self, tmp_path):
        card = register_tiny_model(tmp_path)
        calibrated = replace(card.calibration, slope=0.5, intercept=1.0)
        loaded = inference.load(tmp_path)
        network, film = loaded.network, film_of(120)
        logit = float(network(loaded.input(film)[np.newaxis]).logits[0])
        changed = Model(replace(card, calibration=calibrated), network)
        assert changed.predict(film).probability == pytest.approx(
            1 / (1 + math.exp(-(0.5 * logit + 1)))
        )

    def test_the_input_is_that_of_the_pixel_contract(self, model):
        film = film_of(120)
        expected = preparation.network_input(film.pixels, 224)
        np.testing.assert_array_equal(model.input(film), expected)

    def test_a_film_is_not_changed_by_being_scored(self, model):
        inputs = inputs_of(3)
        copies = [item.copy() for item in inputs]
        list(model.predict_inputs(inputs))
        np.testing.assert_array_equal(inputs, copies)

    def test_a_prediction_stays_when_the_next_film_is_scored(self, model):
        first = model.predict(film_of(90))
        kept = first.activation_map.copy(), first.pooled.copy()
        model.predict(film_of(150))
        np.testing.assert_array_equal(first.activation_map, kept[0])
        np.testing.assert_array_equal(first.pooled, kept[1])


class TestBatches:
    @pytest.mark.parametrize("n", range(1, 41))
    def test_any_number_of_films_scores_as_one_by_one(self, model, one_by_one, n):
        together = [p.probability for p in model.predict_inputs(inputs_of(40)[:n])]
        assert len(together) == n
        np.testing.assert_allclose(together, one_by_one[:n], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("n", [15, 16, 17, 32, 33])
    def test_the_network_gives_one_output_for_each_input(self, model, n):
        outputs = model.network(np.stack(inputs_of(n)))
        assert outputs.logits.shape == (n,) and outputs.logits.dtype == np.float32
        assert outputs.activation_maps.shape == (n, 7, 7)
        assert outputs.pooled.shape == (n, 1)

    def test_no_films_give_no_predictions(self, model):
        assert list(model.predict_inputs([])) == []

    def test_films_are_taken_batch_by_batch(self, model):
        waiting = iter(inputs_of(BATCH + 9))
        next(model.predict_inputs(waiting))
        assert len(list(waiting)) == 9

    def test_threads_may_ask_side_by_side(self, model, one_by_one):
        def ask(n):
            predictions = model.predict_inputs(inputs_of(40)[:n], beside=True)
            return [p.probability for p in predictions]

        numbers = [1, 2, 16, 17, 33, 40] * 3
        with ThreadPoolExecutor(6) as threads:
            for n, found in zip(numbers, threads.map(ask, numbers), strict=True):
                np.testing.assert_allclose(found, one_by_one[:n], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("n", [3, 16, 20])
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_film_that_is_not_finite_is_an_error_and_touches_no_other(
        self, model, one_by_one, n, bad
    ):
        inputs = inputs_of(40)[:n]
        inputs[1][5, 5] = bad
        outcomes = list(model.predict_inputs(inputs))
        assert isinstance(outcomes[1], ImageError)
        assert outcomes[1].code == "not-scored"
        others = [outcomes[i].probability for i in range(n) if i != 1]
        expected = [one_by_one[i] for i in range(n) if i != 1]
        np.testing.assert_allclose(others, expected, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
    def test_a_score_of_the_network_that_is_not_finite_is_an_error(self, model, logit):
        class Broken:
            def prepare(self, pixels: np.ndarray) -> np.ndarray:
                return preparation.network_input(pixels, 224)

            def __call__(self, inputs: np.ndarray, *, beside: bool) -> Outputs:
                n = len(inputs)
                return Outputs(
                    logits=np.full(n, logit, np.float32),
                    activation_maps=np.zeros((n, 7, 7), np.float32),
                    pooled=np.zeros((n, 1), np.float32),
                )

        broken = Model(model.card, Broken())
        with pytest.raises(ImageError) as refused:
            broken.predict(film_of(120))
        assert refused.value.code == "not-scored"

    def test_sessions_may_share_a_model(self, model, one_by_one):
        inputs, failures = inputs_of(40), []

        def session(start: int) -> None:
            for n in (1, 3, 18):
                part = list(range(start, start + n))
                try:
                    scored = model.predict_inputs([inputs[i] for i in part])
                    for i, prediction in zip(part, scored, strict=True):
                        if abs(prediction.probability - one_by_one[i]) > 1e-6:
                            failures.append((i, prediction.probability))
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=session, args=(3 * k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


def with_band(model: Model, below: float, above: float) -> Model:
    band = UncertainBand(below=below, above=above, rule="made up")
    return Model(replace(model.card, uncertain_band=band), model.network)


class TestDecide:
    def test_the_band_has_its_width_in_logits(self, model):
        low, high = with_band(model, 1.0, 2.0).band(0.5)
        assert low == pytest.approx(1 / (1 + math.e))
        assert high == pytest.approx(1 / (1 + math.exp(-2)))

    def test_the_band_moves_with_the_threshold(self, model):
        edges = [model.band(t) for t in (1e-9, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9)]
        assert edges == sorted(edges)
        for t in (0.01, 0.4, 0.97):
            low, high = model.band(t)
            assert 0 < low < t < high < 1

    @pytest.mark.parametrize("threshold", [0.2, 0.4, 0.77])
    def test_the_edges_of_the_band_belong_to_uncertain_and_to_pneumonia(
        self, model, threshold
    ):
        low, high = model.band(threshold)
        assert model.decide(math.nextafter(low, 0), threshold) == NORMAL
        assert model.decide(low, threshold) == UNCERTAIN
        assert model.decide(math.nextafter(high, 0), threshold) == UNCERTAIN
        assert model.decide(high, threshold) == PNEUMONIA

    @pytest.mark.parametrize("threshold", np.linspace(0.013, 0.987, 25))
    def test_without_a_band_a_film_at_the_threshold_is_positive(self, model, threshold):
        bare = with_band(model, 0, 0)
        assert bare.band(threshold) == (threshold, threshold)
        assert bare.decide(threshold, threshold) == PNEUMONIA
        assert bare.decide(math.nextafter(threshold, 0), threshold) == NORMAL

    def test_a_side_without_width_ends_at_the_threshold(self, model):
        assert with_band(model, 0, 1).band(0.3)[0] == 0.3
        assert with_band(model, 1, 0).band(0.3)[1] == 0.3

    @pytest.mark.parametrize("probability", [0.0, 1e-12, 0.5, 1.0])
    def test_at_threshold_0_every_film_is_positive(self, model, probability):
        assert model.decide(probability, 0.0) == PNEUMONIA

    @pytest.mark.parametrize(
        "probability, decision", [(0.0, NORMAL), (0.999, NORMAL), (1.0, PNEUMONIA)]
    )
    def test_at_threshold_1_only_certainty_is_positive(
        self, model, probability, decision
    ):
        assert model.decide(probability, 1.0) == decision

    @pytest.mark.parametrize("threshold", [1e-300, 5e-324, 1 - 2**-53])
    def test_the_smallest_steps_from_the_ends_have_a_band(self, model, threshold):
        low, high = model.band(threshold)
        assert 0 <= low <= high <= 1

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.1, 1.1])
    def test_what_is_no_probability_is_never_normal(self, model, wrong):
        with pytest.raises(ValueError, match="received probability"):
            model.decide(wrong, 0.5)
        with pytest.raises(ValueError, match="received threshold"):
            model.decide(0.5, wrong)
        with pytest.raises(ValueError, match="received threshold"):
            model.band(wrong)
