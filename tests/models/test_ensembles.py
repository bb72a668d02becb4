"""An ensemble is a model like any other, made from others."""

import io
import math
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.errors import ModelError
from cxr.evaluation import calibration, ranking, thresholds
from cxr.evaluation.calibration import IsotonicScaling, PlattScaling
from cxr.films.film import Film
from cxr.films.tones import StandardTone
from cxr.governance import comparison, gates, promotion, trust
from cxr.models import cards, ensembles, inference, network, registry, scores, transfer
from cxr.models.cards import Card
from cxr.models.network import Ensemble, Outputs
from cxr.reading import scoring
from cxr.validation import labelled


def register(models_dir: Path, model_id: str, **changes: object) -> Card:
    return register_tiny_model(models_dir, model_id, **changes)


def rescore(models_dir: Path, model_id: str, seed: int) -> None:
    """Gives a model other scores of the same films, and its card their hash."""
    path = models_dir / model_id / scores.SCORES
    rng = np.random.default_rng(seed)
    lines = path.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        logit = float(row[5]) + rng.normal(0, 0.8)
        row[5], row[6] = f"{logit:.6f}", f"{1 / (1 + math.exp(-logit)):.8f}"
    path.write_text("\n".join([lines[0], *(",".join(row) for row in rows)]) + "\n")
    card = registry.read_card(models_dir, model_id)
    files = registry.file_records(path.parent)
    registry.write_card(models_dir, replace(card, files=files))


SECOND = PlattScaling(slope=2.0, intercept=0.5, prevalence=0.74)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one network, the second calibrated in another way, and both."""
    tmp_path = tmp_path_factory.mktemp("made")
    register(tmp_path, "first")
    register(tmp_path, "second")
    rescore(tmp_path, "second", 3)
    path = tmp_path / "second"
    card = registry.read_card(tmp_path, "second")
    with np.load(path / cards.GOLDEN) as golden:
        films = golden["films"]
    logits = (films.mean(axis=(1, 2)) - 110) / 12
    np.savez(path / cards.GOLDEN, films=films, probabilities=SECOND.apply(logits))
    files = registry.file_records(path)
    registry.write_card(tmp_path, replace(card, calibration=SECOND, files=files))
    ensembles.create(tmp_path, ["first", "second"])
    return tmp_path


@pytest.fixture
def models_dir(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(made, folder)
    return folder


@pytest.fixture
def ensemble(models_dir: Path) -> Card:
    [found] = [card for card in registry.cards(models_dir) if card.members]
    return found


def film_of(brightness: float) -> Film:
    pixels = chest_phantom(160, 144)
    pixels = np.clip(pixels + np.float32(brightness - pixels.mean()), 0, 255)
    return Film(
        pixels=pixels.astype(np.float32),
        format="PNG",
        bits=8,
        sha256="0" * 64,
        warnings=(),
    )


class TestCreate:
    def test_is_a_candidate_with_the_files_of_a_model(self, models_dir, ensemble):
        assert registry.active_id(models_dir) == "second"
        assert set(ensemble.files) == {
            scores.SCORES,
            scores.SPLIT,
            cards.GOLDEN,
        }
        assert ensemble.architecture == "ensemble"
        assert [m.model_id for m in ensemble.members] == ["first", "second"]
        assert registry.verify(models_dir, ensemble) == []
        assert not list(models_dir.glob(".draft*"))

    def test_its_logits_are_the_mean_of_calibrated_logits(self, models_dir, ensemble):
        a, b, both = (
            registry.read_scores(
                models_dir, registry.read_card(models_dir, name), "test"
            )
            for name in ("first", "second", ensemble.model_id)
        )
        row_a = {sha256: i for i, sha256 in enumerate(a.sha256)}
        row_b = {sha256: i for i, sha256 in enumerate(b.sha256)}
        for i, sha256 in enumerate(both.sha256):
            mean = (a.logits[row_a[sha256]] + 2 * b.logits[row_b[sha256]] + 0.5) / 2
            assert both.logits[i] == pytest.approx(mean, abs=1e-5)
        np.testing.assert_allclose(
            ensemble.calibration.apply(both.logits), both.probabilities, atol=1e-6
        )

    def test_calibration_and_threshold_come_from_their_own_films(
        self, models_dir, ensemble
    ):
        parts = {
            split: registry.read_scores(models_dir, ensemble, split)
            for split in ("validation", "calibration", "test")
        }
        chosen = calibration.choose_calibration(
            parts["calibration"].labels,
            parts["calibration"].logits,
            groups=parts["calibration"].patients,
        )
        assert ensemble.calibration_rule == chosen.rule
        value = thresholds.threshold_for_assured_sensitivity(
            parts["validation"].labels,
            parts["validation"].probabilities,
            target=0.98,
            assured=0.97,
            groups=parts["validation"].patients,
        )
        assert ensemble.threshold.value == pytest.approx(value, abs=1e-6)
        assert ensemble.threshold.split == "validation"
        area = ranking.auc_score(parts["test"].labels, parts["test"].probabilities)
        assert ensemble.metrics["test"].auc.value == pytest.approx(area)

    def test_what_one_member_has_seen_is_seen(self, models_dir):
        path = models_dir / "second" / scores.SPLIT
        text = path.read_text()
        extra = f"x.png,{'e' * 64},train\n"
        path.write_text(text + extra)
        card = registry.read_card(models_dir, "second")
        files = registry.file_records(path.parent)
        registry.write_card(models_dir, replace(card, files=files))
        card = registry.read_card(
            models_dir, ensembles.create(models_dir, ["first", "second"])
        )
        assert registry.read_split(models_dir, card)["e" * 64] == "train"

    @pytest.mark.parametrize(
        "ids", [["first"], ["first", "first"], [], ["first", "nobody"]]
    )
    def test_needs_two_different_models(self, models_dir, ids):
        with pytest.raises(ModelError):
            ensembles.create(models_dir, ids)
        assert not list(models_dir.glob(".draft*"))

    def test_an_ensemble_is_no_member(self, models_dir, ensemble):
        with pytest.raises(ModelError, match="is an ensemble itself"):
            ensembles.create(models_dir, ["first", ensemble.model_id])

    def test_models_of_other_films_make_none(self, models_dir):
        path = models_dir / "second" / scores.SPLIT
        path.write_text(path.read_text().replace(",0000", ",1111"))
        card = registry.read_card(models_dir, "second")
        files = registry.file_records(path.parent)
        registry.write_card(models_dir, replace(card, files=files))
        with pytest.raises(ModelError, match="both classes in common") as refused:
            ensembles.create(models_dir, ["first", "second"])
        assert refused.value.code == "no-shared-films"

    def test_a_member_that_may_not_serve_makes_none(self, models_dir):
        (models_dir / "second" / cards.NETWORK_WEIGHTS).write_bytes(b"changed")
        with pytest.raises(ModelError, match="was changed"):
            ensembles.create(models_dir, ["first", "second"])
        assert not list(models_dir.glob(".draft*"))


class TestServing:
    def test_loads_and_predicts_the_mean(self, models_dir, ensemble):
        film = film_of(125)
        a, b, both = (
            inference.load(models_dir, name).predict(film)
            for name in ("first", "second", ensemble.model_id)
        )
        logits = np.array([a.logit, 2 * b.logit + 0.5])
        assert both.logit == pytest.approx(logits.mean(), abs=1e-4)
        assert both.spread == pytest.approx(logits.std(ddof=1), abs=1e-4)
        assert a.spread is None
        assert both.model_id == ensemble.model_id
        assert both.probability == pytest.approx(
            float(ensemble.calibration.apply(both.logit)), abs=1e-6
        )
        weighted = (a.activation_map + 2 * b.activation_map) / 2
        np.testing.assert_allclose(both.activation_map, weighted, atol=1e-4)

    def test_any_number_of_films_scores_as_one_by_one(self, models_dir, ensemble):
        model = inference.load(models_dir, ensemble.model_id)
        inputs = [model.input(film_of(shade)) for shade in range(80, 160, 4)]
        together = [p.probability for p in model.predict_inputs(inputs)]
        alone = [next(model.predict_inputs([item])).probability for item in inputs]
        np.testing.assert_allclose(together, alone, atol=1e-6)

    def test_a_changed_member_stops_it(self, models_dir, ensemble):
        card = registry.read_card(models_dir, "first")
        changed = models_dir / "first" / cards.NETWORK_WEIGHTS
        changed.write_bytes(changed.read_bytes() + b"x")
        assert registry.verify(models_dir, ensemble)
        with pytest.raises(ModelError, match="network.bin of first was changed"):
            inference.load(models_dir, ensemble.model_id)
        with pytest.raises(ModelError):
            inference.activate(models_dir, ensemble.model_id)
        assert card.weights_sha256 != ensemble.weights_sha256

    def test_another_calibration_of_a_member_changes_nothing(
        self, models_dir, ensemble
    ):
        before = inference.load(models_dir, ensemble.model_id).predict(film_of(120))
        card = registry.read_card(models_dir, "first")
        other = PlattScaling(slope=9.0, intercept=3.0, prevalence=0.5)
        registry.write_card(models_dir, replace(card, calibration=other))
        after = inference.load(models_dir, ensemble.model_id).predict(film_of(120))
        assert after.probability == before.probability

    def test_can_be_activated_validated_and_compared(
        self, models_dir, ensemble, tmp_path
    ):
        inference.activate(models_dir, ensemble.model_id)
        model = inference.load(models_dir)
        film = film_of(150)
        paths = []
        for i in range(4):
            path = tmp_path / f"{i}.png"
            pixels = film.pixels + np.float32(i - 60 * (i % 2 == 0))
            path.write_bytes(_png(pixels))
            paths.append(
                LabelledFilm(path=path, name=path.name, label=i % 2, patient_id=str(i))
            )
        found = labelled.validate(model, PoolHere(), paths, {})
        assert found.evaluation.n == 4 and found.evaluation.auc.value == 1
        compared = comparison.compare(models_dir, "first", ensemble.model_id)
        assert compared.films == 200

    def test_a_film_that_is_not_finite_touches_no_other(self, models_dir, ensemble):
        model = inference.load(models_dir, ensemble.model_id)
        inputs = [model.input(film_of(shade)) for shade in (100, 120, 140)]
        good = [p.probability for p in model.predict_inputs(inputs)]
        inputs[1] = inputs[1].copy()
        inputs[1][7] = np.nan
        first, bad, last = model.predict_inputs(inputs)
        assert not hasattr(bad, "probability")
        assert first.probability == pytest.approx(good[0], abs=1e-6)
        assert last.probability == pytest.approx(good[2], abs=1e-6)


class TestSizes:
    """Members of two input sizes and two sizes of map."""

    class Flat:
        def __init__(self, size: int, edge: int, logit: float) -> None:
            self.size, self.edge, self.logit = size, edge, logit
            self.tone = None

        def __call__(self, inputs: np.ndarray, *, beside: bool) -> Outputs:
            n = len(inputs)
            assert inputs.shape == (n, self.size, self.size, 1)
            return Outputs(
                logits=np.full(n, self.logit, np.float32),
                activation_maps=np.full((n, self.edge, self.edge), 3.0, np.float32),
                pooled=np.ones((n, 2), np.float32),
            )

    def test_each_member_gets_its_own_size(self):
        one = PlattScaling(slope=1.0, intercept=0.0, prevalence=0.5)
        bent = IsotonicScaling(
            knots=(0.0, 2.0), values=(-1.0, 1.0), slope=0.5, prevalence=0.5
        )
        together = Ensemble(
            [(self.Flat(32, 4, 1.0), one), (self.Flat(64, 7, 1.0), bent)]
        )
        assert together.size == 64
        inputs = np.stack([together.prepare(np.full((80, 90), 7, np.float32))] * 3)
        found = together(inputs)
        assert found.logits.tolist() == [0.5, 0.5, 0.5]
        assert found.spread == pytest.approx([math.sqrt(0.5)] * 3)
        assert found.activation_maps.shape == (3, 7, 7)
        np.testing.assert_allclose(found.activation_maps, (3 + 1.5) / 2)
        assert found.pooled.shape == (3, 4)


def test_each_member_gets_its_own_tone(models_dir):
    pixels = film_of(140).pixels
    scaling = PlattScaling(slope=1.0, intercept=0.0, prevalence=0.5)
    card = next(c for c in registry.cards(models_dir) if not c.members)
    plain = inference.load(models_dir, card.model_id).network
    files = (cards.NETWORK, cards.NETWORK_WEIGHTS)
    content = [registry.read_file(models_dir, card, name) for name in files]
    toned = network.Network(*content, tone=StandardTone(levels=(20.0, 60.0), share=0.5))
    together = Ensemble([(plain, scaling), (toned, scaling)])
    found = together(together.prepare(pixels)[np.newaxis]).logits
    each = [n(n.prepare(pixels)[np.newaxis]).logits for n in (plain, toned)]
    assert each[0] != each[1]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-6)


def _png(pixels: np.ndarray) -> bytes:
    from synthetic_films import as_png

    return as_png(np.clip(pixels, 0, 255))


def test_a_folder_is_scored_like_by_any_model(models_dir, ensemble, tmp_path):
    model = inference.load(models_dir, ensemble.model_id)
    content = _png(film_of(140).pixels)
    [reading] = scoring.score(model, PoolHere(), [content], lungs=None)
    assert reading.result.model_sha256 == ensemble.weights_sha256
    assert reading.pixels == 160 * 144
    assert folders.CLASSES == ("NORMAL", "PNEUMONIA")


class TestAmongModels:
    """What is done with models holds for one without a network of its own."""

    def test_it_passes_the_gates_on_files_and_golden_films(
        self, models_dir, ensemble, tmp_path
    ):
        report = gates.gates(
            models_dir, ensemble.model_id, records_dir=tmp_path / "records"
        )
        passed = {gate.name: gate.passed for gate in report.gates}
        assert passed["Files unchanged"] and passed["Golden films"]
        assert report.comparison is not None

    def test_it_serves_and_is_rolled_back(self, models_dir, ensemble, tmp_path):
        records = tmp_path / "records"
        before = registry.active_id(models_dir)
        promotion.activate(models_dir, records, ensemble.model_id, actor="lead")
        assert registry.active_id(models_dir) == ensemble.model_id
        assert inference.load(models_dir).sha256 == ensemble.weights_sha256
        promotion.roll_back(models_dir, records, actor="lead")
        assert registry.active_id(models_dir) == before

    def test_without_a_member_it_is_a_problem_and_does_not_serve(
        self, models_dir, ensemble, tmp_path
    ):
        shutil.rmtree(models_dir / "first")
        found = trust.problems(models_dir, tmp_path / "records", ensemble.model_id)
        assert "The file network.bin of first is missing." in found
        with pytest.raises(ModelError):
            promotion.activate(
                models_dir, tmp_path / "records", ensemble.model_id, actor="lead"
            )

    def test_it_is_not_exported_without_its_networks(self, models_dir, ensemble):
        with pytest.raises(ModelError, match="ensemble first second") as refused:
            transfer.export_model(models_dir, ensemble.model_id)
        assert refused.value.code == "ensemble"

    def test_an_archive_with_one_is_refused(self, models_dir, ensemble, tmp_path):
        archive = io.BytesIO()
        folder = models_dir / ensemble.model_id
        with zipfile.ZipFile(archive, "w") as file:
            for path in folder.iterdir():
                file.write(path, path.name)
        with pytest.raises(ModelError, match="it is an ensemble"):
            transfer.import_model(tmp_path / "other", archive.getvalue())
        assert list((tmp_path / "other").iterdir()) == []
