"""A training that goes on from a registered model, from end to end, and a chain."""

import shutil
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom

from cxr.datasets import folders
from cxr.errors import ModelError
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.models import cards, registry, scores
from cxr.runs import architectures, continuation
from cxr.runs.config import TrainConfig
from cxr.runs.run_folder import Run
from cxr.training import continuing, networks, train

pytestmark = pytest.mark.slow


def write_films(folder, first, n):
    for i in range(first, first + n):
        label = int(i % 3 > 0)
        path = folder / folders.CLASSES[label] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_png(chest_phantom(230, 250, seed=i, opacity=label)))


def run(where, name, data, **changes):
    config = TrainConfig(
        data=str(data),
        architecture=architectures.BASELINE,
        averaging=0.0,
        batch_size=8,
        warm_up=2,
        **{"epochs": 1, **changes},
    )
    with warnings.catch_warnings():
        # On so few films some metrics are not defined.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return train.train(config, where / name, where / "models", where / "cache")


def split(where, model_id):
    models = where / "models"
    return registry.read_split(models, registry.read_card(models, model_id))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A model; one that goes on from it with other films; one more with the first's."""
    where = tmp_path_factory.mktemp("chain")
    write_films(where / "films", 0, 48)
    first = run(where, "run-1", where / "films", epochs=2)
    # Renamed copies of every second film, and films of new patients.
    for i, path in enumerate(sorted((where / "films").rglob("*.png"))):
        if i % 2:
            target = where / "others" / path.parent.name / f"copy-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_films(where / "others", 100, 24)
    second = run(where, "run-2", where / "others", backbone_weights=f"model:{first}")
    shutil.copytree(where / "films", where / "both")
    write_films(where / "both", 200, 6)
    third = run(where, "run-3", where / "both", backbone_weights=f"model:{second}")
    return SimpleNamespace(where=where, ids=(first, second, third))


class TestFromEndToEnd:
    def test_what_was_learned_from_or_chosen_with_is_never_tested_on(self, chain):
        first, second, third = (split(chain.where, name) for name in chain.ids)
        assert {s: second[s] for s in first} == first
        assert {s: third[s] for s in second} == second
        for later in (second, third):
            tested = {sha256 for sha256, name in later.items() if name == "test"}
            assert tested
            for earlier in (first, second):
                used = {sha256 for sha256, name in earlier.items() if name != "test"}
                assert not tested & used

    def test_the_scores_are_of_the_model_s_own_test_films(self, chain):
        models = chain.where / "models"
        for name in chain.ids:
            card = registry.read_card(models, name)
            stored = registry.read_scores(models, card, "test")
            assert len(stored.names) == card.data.films["test"]
            split_of = split(chain.where, name)
            assert {split_of[sha256] for sha256 in stored.sha256} == {"test"}

    def test_the_card_names_what_it_goes_on_from(self, chain):
        models = chain.where / "models"
        first, second, _ = chain.ids
        card = registry.read_card(models, second)
        assert card.training["start_model"] == first
        assert card.training["start_card_sha256"] == registry.card_sha256(models, first)
        assert card.backbone.startswith(f"{first}, its head included (card ")
        assert "Not stated" in card.backbone
        assert registry.verify(models, card) == []

    def test_the_head_is_not_trained_anew(self, chain):
        text = (chain.where / "run-2" / "history.csv").read_text()
        assert "head," not in text

    def test_resume_needs_neither_the_model_nor_a_network(
        self, chain, offline, tmp_path
    ):
        first, second, _ = chain.ids
        shutil.copytree(chain.where / "run-2", tmp_path / "run")
        (tmp_path / "run" / "token.json").unlink()
        models = tmp_path / "models"
        shutil.copytree(chain.where / "models", models)
        shutil.rmtree(models / first)
        config = Run(tmp_path / "run").read_config()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            again = train.train(config, tmp_path / "run", models, chain.where / "cache")
        made = [registry.read_card(models, name) for name in (second, again)]
        assert made[0].metrics["test"] == made[1].metrics["test"]
        tables = [
            (models / name / scores.SPLIT).read_bytes() for name in (second, again)
        ]
        assert tables[0] == tables[1]


class TestTakeOver:
    def test_the_network_answers_as_the_model(self, chain, tmp_path):
        models = chain.where / "models"
        start = continuation.keep(tmp_path, models, f"model:{chain.ids[0]}")
        network = networks.build(architectures.BASELINE)
        before = network.get_weights()
        continuing.take_over(network, models, start)
        assert not all(map(np.array_equal, before, network.get_weights()))

    def test_a_network_that_answers_otherwise_is_refused(self, chain, tmp_path):
        models = tmp_path / "models"
        shutil.copytree(chain.where / "models", models)
        name = chain.ids[0]
        start = continuation.keep(tmp_path, models, f"model:{name}")
        other = networks.build(architectures.BASELINE)
        kernel, _ = other.get_layer("logit").get_weights()
        other.get_layer("logit").set_weights([kernel, np.array([1000.0])])
        other.save_weights(models / name / cards.KERAS_WEIGHTS)
        files = registry.file_records(models / name)
        card = replace(registry.read_card(models, name), files=files)
        registry.write_card(models, card)
        sha256 = card.files[cards.KERAS_WEIGHTS].sha256
        with pytest.raises(ModelError, match="does not answer as that model does"):
            continuing.take_over(other, models, replace(start, weights_sha256=sha256))

    def test_weights_of_another_network_do_not_fit(self, chain, tmp_path):
        models = chain.where / "models"
        start = continuation.keep(tmp_path, models, f"model:{chain.ids[0]}")
        other = networks.build(architectures.DEFAULT, backbone_weights="none")
        with pytest.raises(ModelError, match="do not fit"):
            continuing.take_over(other, models, start)
