"""From a trained network to a candidate: card, files, parity."""

import csv
import errno
import hashlib
import json
import stat
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from synthetic_films import as_png, chest_phantom

from cxr.datasets import places, prepared
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.splits import SPLITS
from cxr.errors import CxrError, ModelError
from cxr.evaluation import calibration, ranking
from cxr.evaluation.operating import operating_point
from cxr.films import preparation, tones
from cxr.films.film import read_film
from cxr.models import cards, home, inference, registry
from cxr.models.network import Outputs
from cxr.models.scores import PLACES, SCORES, SPLIT
from cxr.robustness import operating
from cxr.runs import architectures
from cxr.training import export, networks, publication
from cxr.training.batches import PreparedSplit
from cxr.training.card import ScoredSplit, _backbone, _heatmap_scale, _threshold

HELD_OUT = ("validation", "calibration", "test")


def bright_spot_network():
    """A network that scores by the brightness where phantoms have their opacity."""
    image = keras.Input((224, 224, 1), name="image")
    coarse = layers.AveragePooling2D(32)(layers.Rescaling(1 / 255)(image))
    feature_map = layers.Conv2D(2, 1, use_bias=False, name="feature_map")(coarse)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(feature_map)
    logit = layers.Dense(1, name="logit")(layers.Dropout(0.3)(pooled))
    outputs = {"feature_map": feature_map, "logit": logit}
    network = keras.Model(image, outputs, name=architectures.BASELINE)
    network.get_layer("feature_map").set_weights([np.array([[[[1.0, -0.5]]]])])
    head = [np.array([[40.0], [-8]]), np.array([-17.0])]
    network.get_layer("logit").set_weights(head)
    return network


@pytest.fixture(scope="module")
def network():
    return bright_spot_network()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Ten training films and forty in each other split; some patients have two."""
    folder = tmp_path_factory.mktemp("films")
    found = {}
    rng = np.random.default_rng(0)
    for number, name in enumerate(("train", *HELD_OUT)):
        part = []
        for i in range(10 if name == "train" else 40):
            label = int(i % 4 > 0)
            shade = rng.normal(0, 2.5)
            pixels = chest_phantom(224, 224, seed=100 * number + i, opacity=label)
            content = as_png(np.clip(pixels + shade, 0, 255))
            path = folder / f"{name}{i}.png"
            path.write_bytes(content)
            part.append(
                LabelledFilm(
                    path=path,
                    name=path.name,
                    label=label,
                    patient_id=f"{name}{label}{i // 2}",
                    subtype="viral" if label and i % 2 else None,
                    sha256=hashlib.sha256(content).hexdigest(),
                )
            )
        found[name] = tuple(part)
    return found


@pytest.fixture(scope="module")
def arguments(films, tmp_path_factory):
    history = tmp_path_factory.mktemp("run") / "history.csv"
    history.write_text("phase,epoch\nfine-tuning,1\n")
    found = prepared.prepare(
        [film for part in films.values() for film in part],
        fingerprint="f" * 64,
        size=224,
        cache_dir=tmp_path_factory.mktemp("cache"),
    )
    return {
        "config": {
            "data": "films",
            "architecture": architectures.BASELINE,
            "backbone_weights": "none",
            "backbone_note": "",
            "seed": 3,
            "target_sensitivity": 0.9,
            "assured_sensitivity": 0.75,
        },
        "splits": {
            name: PreparedSplit(
                films=part,
                pixels=found.pixels,
                rows=np.array([found.rows[film.sha256] for film in part]),
                labels=np.array([film.label for film in part], np.float32),
            )
            for name, part in films.items()
        },
        "fingerprint": "f" * 64,
        "history": history,
        "seconds": 12.7,
    }


@pytest.fixture(scope="module")
def models(network, arguments, tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("registry") / "models"
    publication.publish(network, **arguments, models_dir=models_dir)
    return models_dir


@pytest.fixture(scope="module")
def card(models):
    (only,) = registry.cards(models)
    return only


def rows_of(models, card, name):
    with (models / card.model_id / name).open(newline="") as file:
        return list(csv.DictReader(file))


class TestPublish:
    def test_registers_one_candidate_that_does_not_serve(self, models, card):
        assert [p.name for p in models.iterdir()] == [card.model_id]
        with pytest.raises(ModelError, match="No model is active"):
            registry.active_id(models)

    def test_folder_has_all_files_with_their_hashes(self, models, card):
        assert set(card.files) == {
            cards.NETWORK,
            cards.NETWORK_WEIGHTS,
            cards.KERAS_WEIGHTS,
            SCORES,
            cards.HISTORY,
            SPLIT,
            cards.GOLDEN,
        }
        assert registry.verify(models, card) == []

    def test_field_case_a_no_name_loses_a_training(self, network, arguments, tmp_path):
        splits = dict(arguments["splits"])
        first, second, *others = splits["test"].films
        odd = [
            replace(first, name="film\udcff.png", patient_id="film\udcff"),
            replace(second, name='a\r\n"b".png'),
        ]
        splits["test"] = replace(splits["test"], films=(*odd, *others))
        facts = {**arguments, "splits": splits}
        model_id = publication.publish(network, **facts, models_dir=tmp_path)
        card = registry.read_card(tmp_path, model_id)
        stored = registry.read_scores(tmp_path, card, "test")
        assert stored.names[:2] == (odd[0].name, odd[1].name)
        assert stored.patients[0] == "film\udcff"
        assert stored.sha256 == tuple(film.sha256 for film in splits["test"].films)
        assert registry.read_split(tmp_path, card)[first.sha256] == "test"
        assert registry.verify(tmp_path, card) == []

    def test_folder_can_be_read_by_the_process_that_serves(self, models, card):
        mode = (models / card.model_id).stat().st_mode
        model_file = (models / card.model_id / cards.CARD).stat().st_mode
        assert bool(mode & stat.S_IRGRP) == bool(model_file & stat.S_IRGRP)

    def test_card_says_what_it_is_and_what_it_was_made_from(self, card):
        assert card.architecture == architectures.BASELINE
        assert card.input_size == 224
        assert card.preparation == preparation.PREPARATION
        assert card.classes == ("NORMAL", "PNEUMONIA")
        assert card.backbone == "none: trained from random weights"
        assert card.population.startswith("Not stated")
        assert card.limits and card.intended_use
        assert card.data.fingerprint == "f" * 64
        assert card.data.films == {"train": 10} | dict.fromkeys(HELD_OUT, 40)
        assert card.data.positives == {"train": 7} | dict.fromkeys(HELD_OUT, 30)
        assert card.data.patients == {"train": 8} | dict.fromkeys(HELD_OUT, 30)
        assert card.training["seed"] == 3
        assert card.training["seconds"] == 13
        assert {"keras", "openvino", "numpy"} <= set(card.versions)
        assert card.heatmap_scale > 0

    def test_threshold_follows_its_rule_on_the_validation_films(self, models, card):
        scores = registry.read_scores(models, card, "validation")
        found = scores.probabilities >= card.threshold.value
        assert card.threshold.split == "validation"
        assert "0.9 " in card.threshold.rule and "0.75 " in card.threshold.rule
        sensitivity = card.metrics["validation"].sensitivity
        assert sensitivity.value == found[scores.labels == 1].mean() >= 0.9
        assert sensitivity.low >= 0.75
        # One more film missed would be too many.
        ill = np.sort(scores.probabilities[scores.labels == 1])
        stricter = float(ill[ill >= card.threshold.value][0]) + 1e-9
        point = operating_point(
            scores.labels,
            scores.probabilities,
            threshold=stricter,
            groups=np.array(scores.patients),
        )
        assert point.sensitivity.value < 0.9 or point.sensitivity.low < 0.75

    def test_calibration_is_fitted_on_its_own_films_alone(self, models, card):
        rows = rows_of(models, card, SCORES)
        chosen = [row for row in rows if row["split"] == "calibration"]
        logits = np.array([float(row["logit"]) for row in chosen])
        fitted = calibration.choose_calibration(
            np.array([int(row["label"]) for row in chosen]),
            logits,
            groups=[row["patient"] for row in chosen],
        )
        assert type(fitted.scaling) is type(card.calibration)
        np.testing.assert_allclose(
            fitted.scaling.apply(logits), card.calibration.apply(logits), atol=1e-4
        )
        assert card.calibration_rule.split(";")[0] == fitted.rule.split(";")[0]

    def test_metrics_are_of_the_splits_that_nothing_was_fitted_to(self, models, card):
        assert set(card.metrics) == {"validation", "test"}
        scores = registry.read_scores(models, card, "test")
        area = ranking.auc_score(scores.labels, scores.probabilities)
        assert card.metrics["test"].auc.value == pytest.approx(area, abs=1e-9)
        assert card.metrics["test"].n == 40
        assert 0.7 < area < 1

    def test_threshold_can_be_chosen_on_shifted_films_too(
        self, network, arguments, card, tmp_path
    ):
        config = {**arguments["config"], "target_under_shift": 0.8}
        publication.publish(
            network, **{**arguments, "config": config}, models_dir=tmp_path
        )
        (other,) = registry.cards(tmp_path)
        # 30 of 40 validation films have pneumonia; each is shifted 12 times.
        assert f"{30 + 30 * operating.VIEWS} in all" in other.threshold.rule
        assert "in all" not in card.threshold.rule
        assert other.threshold.value != card.threshold.value
        assert other.calibration == card.calibration
        assert other.metrics["validation"].sensitivity.value >= 0.9

    def test_films_can_be_moved_towards_the_mean_tone_of_training_films(
        self, network, arguments, card, films, tmp_path
    ):
        config = {**arguments["config"], "standard_tone": 0.5}
        publication.publish(
            network, **{**arguments, "config": config}, models_dir=tmp_path
        )
        (other,) = registry.cards(tmp_path)
        assert card.tone is None
        assert other.tone.share == 0.5
        train = [read_film(f.path.read_bytes()).pixels for f in films["train"]]
        assert other.tone == tones.standard(train, 0.5)
        film = read_film(films["test"][0].path.read_bytes())
        model = inference.load(tmp_path, other.model_id)
        expected = preparation.low_pass(other.tone(film.pixels))
        np.testing.assert_array_equal(model.input(film)[..., 0], expected)
        rows = {r["film"]: r for r in rows_of(tmp_path, other, SCORES)}
        stored = float(rows[films["test"][0].name]["probability"])
        assert model.predict(film).probability == pytest.approx(stored, abs=1e-6)

    def test_split_of_every_film_is_recorded(self, models, card, films):
        split_of = registry.read_split(models, card)
        for name, part in films.items():
            assert {split_of[film.sha256] for film in part} == {name}

    def test_serving_gives_the_stored_scores(self, models, card, films):
        model = inference.load(models, card.model_id)
        stored = {r["film"]: r for r in rows_of(models, card, SCORES)}
        assert len(stored) == 120
        for film in films["test"]:
            predicted = model.predict(read_film(film.path.read_bytes())).probability
            row = stored[film.name]
            assert predicted == pytest.approx(float(row["probability"]), abs=1e-6)
            assert (row["patient"], row["subtype"]) == (
                film.patient_id,
                film.subtype or "",
            )

    def test_keras_weights_are_those_of_the_network(self, models, card, network):
        again = bright_spot_network()
        again.get_layer("logit").set_weights([np.zeros((2, 1)), np.zeros(1)])
        again.load_weights(models / card.model_id / cards.KERAS_WEIGHTS)
        for ours, theirs in zip(
            again.get_weights(), network.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)

    def test_second_model_of_a_day_has_the_next_number(
        self, network, arguments, models, card
    ):
        second = publication.publish(network, **arguments, models_dir=models)
        stem, number = card.model_id.rsplit("-", 1)
        assert number == "1"
        assert second.rsplit("-", 1)[1] in ("1", "2")  # midnight may lie between
        assert second != card.model_id
        assert second.startswith(stem[:9])

    def test_failure_at_the_last_step_leaves_no_folder(
        self, network, arguments, tmp_path, monkeypatch
    ):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(registry, "file_records", full)
        with pytest.raises(CxrError, match="The disk is full") as caught:
            publication.publish(network, **arguments, models_dir=tmp_path)
        assert caught.value.code == "disk-full"
        assert list(tmp_path.iterdir()) == []


def there(split, place, rows):
    """Some films of a split once more, as those of another place."""
    part = split.part(np.array(rows))
    films = tuple(
        replace(
            film,
            name=f"{place}/{film.name}",
            patient_id=place + film.patient_id,
            sha256=hashlib.sha256(f"{place}{film.name}".encode()).hexdigest(),
            place=place,
        )
        for film in part.films
    )
    return replace(part, films=films)


def joined(*parts):
    return PreparedSplit(
        films=tuple(film for part in parts for film in part.films),
        pixels=parts[0].pixels,
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


@pytest.fixture(scope="module")
def published(network, arguments, tmp_path_factory):
    splits = {}
    for name, split in arguments["splits"].items():
        n = len(split.films)
        ill = np.flatnonzero(split.labels == 1)[:5]
        # In another order than home's, and before it.
        parts = [there(split, "B", range(0, n, 2)), there(split, "A", ill), split]
        splits[name] = joined(*(parts if name != "calibration" else parts[1:]))
    models_dir = tmp_path_factory.mktemp("places") / "models"
    origins = {"B": replace(places.unstated("B"), name="Bethesda", licence="CC0")}
    facts = {**arguments, "splits": splits, "origins": origins}
    publication.publish(network, **facts, models_dir=models_dir)
    (card,) = registry.cards(models_dir)
    return models_dir, card, splits


class TestOtherPlaces:
    def test_decide_nothing(self, published, models, card):
        models_dir, theirs, _ = published
        for name in ("calibration", "threshold", "uncertain_band", "heatmap_scale"):
            assert getattr(theirs, name) == getattr(card, name)
        for name in ("metrics", "data", "tone", "population", "subtypes", "parity"):
            assert getattr(theirs, name) == getattr(card, name)
        scored = [
            (folder / c.model_id / SCORES).read_bytes()
            for folder, c in ((models_dir, theirs), (models, card))
        ]
        assert scored[0] == scored[1]

    def test_have_a_table_of_their_own(self, published, card):
        models_dir, theirs, splits = published
        assert PLACES not in card.files
        for name in HELD_OUT:
            table = registry.read_scores(models_dir, theirs, name, table=PLACES)
            away = [film for film in splits[name].films if film.place]
            assert table.names == tuple(film.name for film in away)
            assert table.labels.tolist() == [film.label for film in away]
            probabilities = theirs.calibration.apply(table.logits)
            np.testing.assert_allclose(table.probabilities, probabilities, atol=1e-6)
        assert registry.verify(models_dir, theirs) == []
        home.reference(models_dir, theirs)

    def test_are_in_the_table_of_all_films(self, published):
        models_dir, theirs, splits = published
        split_of = registry.read_split(models_dir, theirs)
        for name, split in splits.items():
            assert {split_of[film.sha256] for film in split.films} == {name}

    def test_are_on_the_card_with_the_models_worth_there(self, published):
        models_dir, theirs, splits = published
        first, second = theirs.places
        assert (first.name, second.name, second.licence) == ("A", "Bethesda", "CC0")
        assert first.films == dict.fromkeys(SPLITS, 5)
        assert first.positives == first.films
        assert (second.films["calibration"], second.films["test"]) == (0, 20)
        assert first.auc is None and first.specificity is None
        table = registry.read_scores(models_dir, theirs, "test", table=PLACES)
        called = table.probabilities >= theirs.threshold.value
        for place, name in ((first, "A"), (second, "B")):
            rows = np.array([n.startswith(f"{name}/") for n in table.names])
            ill = rows & (table.labels == 1)
            assert place.sensitivity.value == pytest.approx(called[ill].mean())
        well = rows & (table.labels == 0)
        assert second.specificity.value == pytest.approx(1 - called[well].mean())
        auc = ranking.auc_score(table.labels[rows], table.probabilities[rows])
        assert second.auc.value == pytest.approx(auc, abs=1e-6)

    def test_are_named_among_the_limits(self, published, card):
        assert len(published[1].limits) == len(card.limits)
        assert any("films of A, Bethesda." in text for text in published[1].limits)
        assert not any("adults" in text for text in published[1].limits)


class TestParity:
    def test_is_on_the_card(self, card):
        assert card.parity.n == 40
        assert card.parity.max_probability_difference <= card.parity.tolerance == 1e-3

    def test_other_scores_in_serving_refuse_registration_and_leave_nothing(
        self, network, arguments, tmp_path, monkeypatch
    ):
        serving = networks.serving

        def other_bias(trained):
            changed = keras.models.clone_model(trained)
            weights = trained.get_weights()
            changed.set_weights([*weights[:-1], weights[-1] + 0.1])
            return serving(changed)

        monkeypatch.setattr(networks, "serving", other_bias)
        with pytest.raises(ModelError, match="differs from the trained one") as caught:
            publication.publish(network, **arguments, models_dir=tmp_path)
        assert caught.value.code == "parity"
        assert list(tmp_path.iterdir()) == []

    def test_score_that_is_no_number_is_not_parity(self, network, arguments):
        split = arguments["splits"]["test"].part(np.arange(4))
        nothing = calibration.PlattScaling(slope=1.0, intercept=0.0, prevalence=0.5)

        class Broken:
            def prepare(self, pixels):
                return preparation.network_input(pixels)

            def __call__(self, inputs):
                logits = np.full(len(inputs), np.nan, np.float32)
                return Outputs(logits=logits, activation_maps=logits, pooled=logits)

        with pytest.raises((ModelError, ValueError)):
            export.check_parity(network, Broken(), split, nothing)


class TestBackbone:
    @pytest.mark.parametrize(
        "architecture, source, note, expected",
        [
            (
                architectures.BASELINE,
                "imagenet",
                "",
                "none: trained from random weights",
            ),
            (architectures.DEFAULT, "imagenet", "", "ImageNet, downloaded by Keras"),
            (architectures.DEFAULT, "none", "", "none: trained from random weights"),
            (architectures.DEFAULT, "/a/b.weights.h5", "ours", "b.weights.h5: ours"),
            (
                architectures.DEFAULT,
                "b.weights.h5",
                "",
                "b.weights.h5: a local file, origin not stated",
            ),
        ],
    )
    def test_source_is_told_in_words(self, architecture, source, note, expected):
        training = {"backbone_weights": source, "backbone_note": note}
        assert _backbone(architecture, training) == expected


class TestEdges:
    @pytest.mark.filterwarnings(
        "ignore::cxr.evaluation.estimates.UndefinedMetricWarning"
    )
    @pytest.mark.parametrize("scores", [[0.1, 0.2, 0.0, 0.9], [0.1, 0.2, 1.0, 1.0]])
    def test_threshold_never_is_an_end_of_the_scale(self, films, scores):
        split = ScoredSplit(
            films=films["test"][:4],
            labels=np.array([0, 0, 1, 1]),
            logits=np.zeros(4),
            peaks=np.zeros(4),
            pooled=np.zeros((4, 2), np.float32),
        )
        rule = {"target_sensitivity": 1.0, "assured_sensitivity": 0.1}
        threshold = _threshold(split, np.array(scores), None, rule)
        assert 0 < threshold.value < 1

    def test_heat_map_has_a_scale_where_nothing_is_raised(self, films):
        split = ScoredSplit(
            films=films["test"],
            labels=np.array([0, 1, 1]),
            logits=np.zeros(3),
            peaks=np.array([1.0, -2, -3]),
            pooled=np.zeros((3, 2), np.float32),
        )
        assert _heatmap_scale(split) > 0

    def test_golden_films_are_the_same_for_ever(self):
        films = export.golden_films(224)
        assert films.shape == (4, 224, 224)
        assert films.dtype == np.uint8
        np.testing.assert_array_equal(films, export.golden_films(224))
        assert len({film.tobytes() for film in films}) == 4
        assert json.loads(json.dumps(films.mean(axis=(1, 2)).round().tolist()))
