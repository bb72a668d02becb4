"""The shipped model on real films: what its card and the README say must hold."""

import json

import numpy as np
import pytest
from synthetic_films import as_dicom

from benchmarks import consistency, damage
from cxr.__main__ import main
from cxr.config import ROOT
from cxr.datasets import lineage
from cxr.datasets.folders import scan, with_hashes
from cxr.datasets.splits import HELD_OUT, choose
from cxr.films.decoding import DecoderPool
from cxr.films.film import read_film
from cxr.models import cards, heatmap, inference, registry, scores
from cxr.validation import labelled

pytestmark = pytest.mark.real_data

MODELS = ROOT / "models"


@pytest.fixture(scope="module")
def model():
    return inference.load(MODELS)


@pytest.fixture(scope="module")
def originals(data_dir):
    return sorted((data_dir / "originals").rglob("*.jpeg"))


def test_held_out_films_give_the_figures_on_the_card(model, data_dir):
    split_of = registry.read_split(MODELS, model.card)
    films = choose(scan(data_dir / "chest_xray"), HELD_OUT, split_of)
    with DecoderPool(1) as pool:
        found = labelled.validate(model, pool, films, split_of)
    on_card, measured = model.card.metrics["test"], found.evaluation
    assert found.seen == 0
    assert found.refused == {}
    assert measured.n == on_card.n >= 500
    assert measured.confusion == on_card.confusion
    assert measured.auc.value == pytest.approx(on_card.auc.value, abs=1e-3)
    assert measured.auc.value >= 0.985
    assert measured.sensitivity.value >= 0.97
    assert measured.specificity.value >= 0.90


def test_no_held_out_patient_is_in_another_split(model):
    table = registry.read_file(MODELS, model.card, scores.SPLIT)
    patients: dict[str, set[str]] = {}
    for film in lineage.parse(table):
        patients.setdefault(film.patient_id, set()).add(film.split)
    assert len(patients) > 1000
    assert all(len(splits) == 1 for splits in patients.values())


def test_originals_keep_their_score_when_another_tool_reduces_them(model, data_dir):
    figures = consistency.measure(model, data_dir)
    assert figures["opencv-area"]["films"] == 120
    for reduction in ("opencv-area", "pillow-lanczos"):
        assert figures[reduction]["mean_gap"] <= 0.03
        assert figures[reduction]["flipped"] <= 3


def test_film_and_its_12_bit_monochrome1_dicom_twin_score_alike(model, originals):
    for path in originals[::24]:
        film = read_film(path.read_bytes())
        twin = read_film(
            as_dicom(film.pixels, photometric="MONOCHROME1", bits_stored=12)
        )
        difference = model.predict(film).probability - model.predict(twin).probability
        assert abs(difference) <= 0.01


def test_heatmap_equals_gradient_tape_grad_cam(model, originals):
    import tensorflow as tf

    from cxr.training import networks

    card = model.card
    network = networks.build(card.architecture, backbone_weights="none")
    network.load_weights(
        registry.folder_of(MODELS, card.model_id) / cards.KERAS_WEIGHTS
    )
    compared = 0
    for path in [path for path in originals if path.parent.name == "PNEUMONIA"]:
        if compared == 20:
            break
        film = read_film(path.read_bytes())
        inputs = model.network.prepare(film.pixels)[np.newaxis]
        with tf.GradientTape() as tape:
            outputs = network(inputs)
        gradient = tape.gradient(outputs["logit"], outputs["feature_map"])
        weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        expected = tf.nn.relu(
            tf.reduce_sum(weights * outputs["feature_map"], axis=-1)
        ).numpy()[0]
        size = expected.shape
        ours = heatmap.heatmap(
            model.predict(film).activation_map,
            scale=1e6,  # far above every activation, so that nothing is cut off
            height=size[0],
            width=size[1],
        )
        if expected.max() == 0:
            assert ours.max() == 0
        else:
            assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] >= 0.999
            compared += 1
    assert compared == 20


def test_originals_and_their_reduced_copies_get_one_answer(
    model, data_dir, tmp_path, monkeypatch, capsys
):
    split_of = registry.read_split(MODELS, model.card)
    folders = data_dir / "originals", tmp_path / "originals"
    copied = 0
    for film in with_hashes(scan(data_dir / "chest_xray")):
        original = folders[0] / film.path.parent.name / film.path.name
        if split_of.get(film.sha256) == "train" or not original.is_file():
            continue
        pairs = (
            (film.path, tmp_path / "data" / film.path.parent.name / film.path.name),
            (original, folders[1] / film.path.parent.name / film.path.name),
        )
        for source, copy in pairs:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
        copied += 1
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    arguments = ["--data", str(tmp_path / "data"), "--originals", str(folders[1])]
    code = main(["robustness", *arguments, "--suite", "twins", "--json"])
    twins = json.loads(capsys.readouterr().out)["twins"]
    # The log holds what this model does to them; no other figure may go unnoticed.
    log = json.loads((ROOT / "docs" / "experiments" / "consistent.json").read_text())
    kept = log["report"]["twins"]
    assert log["model_id"] == model.card.model_id
    assert code == int(not kept["passed"])
    assert twins["n"] == twins["n_pairs"] == kept["n"] == copied
    assert twins["gap"]["mean"]["value"] <= 0.02
    assert twins["gap"]["n_flipped"] == kept["gap"]["n_flipped"]
    gap = kept["gap"]["mean"]["value"]
    assert twins["gap"]["mean"]["value"] == pytest.approx(gap, abs=1e-3)


@pytest.mark.parametrize("coding", damage.CODINGS)
def test_damaged_films_are_refused_or_cautioned_and_none_changes_sides(
    model, data_dir, coding
):
    paths = damage.chosen(data_dir, 60)
    for row in damage.measure(model, paths, coding):
        assert row["held"], row


def test_ordinary_films_are_neither_refused_nor_cautioned_for_damage(data_dir):
    figures = damage.ordinary(data_dir, 400)
    assert figures == {"ordinary": 400, "refused": 0, "cautioned": 0}
