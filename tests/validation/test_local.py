"""A hospital's labelled films: scored, stopped, gone on with, reported."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere
from validations import begin, create

from cxr.datasets import folders
from cxr.errors import DatasetError, JobError
from cxr.evaluation import estimates, ranking, summary
from cxr.jobs import heartbeat
from cxr.models import registry
from cxr.validation import local, progress
from cxr.validation.bars import bars_for


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 films, the ill ones brighter, and one that is no film."""
    root = tmp_path_factory.mktemp("hospital")
    for i in range(20):
        folder = root / folders.CLASSES[i % 2]
        folder.mkdir(exist_ok=True)
        film = chest_phantom(144, 160 if i < 10 else 144, seed=i)
        shade = np.float32((150 if i % 2 else 70) + i - film.mean())
        (folder / f"f{i:02d}.png").write_bytes(as_png(np.clip(film + shade, 0, 255)))
    (root / "NORMAL" / "broken.png").write_bytes(b"text")
    return root


@pytest.fixture(autouse=True)
def pool_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "DecoderPool", PoolHere)


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path, hospital: Path) -> Path:
    return create(tmp_path / "validations", models_dir, hospital)


@pytest.fixture(scope="module")
def done(tmp_path_factory, models_dir, hospital) -> Path:
    """The folder of a validation that has ended."""
    queue = tmp_path_factory.mktemp("validations")
    folder = create(queue, models_dir, hospital)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "DecoderPool", PoolHere)
        local.run(folder, models_dir, models_dir.parent / "records")
    return folder


class TestReadConfig:
    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"data": 1}'])
    def test_a_folder_without_a_validation_is_named(self, tmp_path, content):
        (tmp_path / local.CONFIG).write_text(content)
        with pytest.raises(JobError, match="holds no validation"):
            local.read_config(tmp_path)


class TestRun:
    def test_reports_every_film(self, done, models_dir):
        report = local.read_report(done)
        assert report.films == 21
        assert list(report.refused) == ["NORMAL/broken.png"]
        assert report.evaluation.n == 20 and report.evaluation.n_positive == 10
        assert report.seen == 0
        card = registry.read_card(models_dir, "tiny-1")
        assert report.model_sha256 == card.weights_sha256
        assert report.evaluation.threshold == card.threshold.value
        assert len(report.fingerprint) == 64

    def test_the_scores_are_read_as_a_models_are(self, done, hospital, models_dir):
        scores = local.read_scores(done)
        report = local.read_report(done)
        assert len(scores.names) == 20
        assert ranking.auc_score(scores.labels, scores.probabilities) == (
            pytest.approx(report.evaluation.auc.value)
        )
        by_hash = {
            f.sha256: f.name for f in folders.with_hashes(folders.scan(hospital))
        }
        for name, sha256 in zip(scores.names, scores.sha256, strict=True):
            assert by_hash[sha256] == name
        assert set(scores.pixels) == {144.0 * 144, 144.0 * 160}
        card = registry.read_card(models_dir, "tiny-1")
        np.testing.assert_allclose(
            card.calibration.apply(scores.logits), scores.probabilities, atol=1e-6
        )

    def test_says_that_it_is_done(self, done):
        status = heartbeat.read_status(done)
        assert (status.stage, status.done, status.total) == ("done", 21, 21)

    def test_the_shipped_threshold_stays(self, done, models_dir):
        assert registry.read_card(models_dir, "tiny-1").threshold.value == 0.4

    def test_goes_on_where_it_was_stopped(self, folder, models_dir, done, monkeypatch):
        scored, real = [], local._scored
        monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.0)

        def first(model, pool, films, stamps):
            for i, line in enumerate(real(model, pool, films, stamps)):
                if i == 7:
                    raise KeyboardInterrupt
                yield line

        monkeypatch.setattr(local, "_scored", first)
        with pytest.raises(KeyboardInterrupt):
            local.run(folder, models_dir, models_dir.parent / "records")
        assert heartbeat.read_status(folder).done == 7
        with pytest.raises(JobError, match="no report"):
            local.read_report(folder)
        lines = folder / progress.PROGRESS
        # The process was killed in the middle of a line.
        lines.write_text(lines.read_text() + '\n{"name": "NORMAL/f')

        def second(model, pool, films, stamps):
            for line in real(model, pool, films, stamps):
                scored.append(line.name)
                yield line

        monkeypatch.setattr(local, "_scored", second)
        local.run(folder, models_dir, models_dir.parent / "records")
        assert len(scored) == 14
        report, whole = (local.read_report(f) for f in (folder, done))
        # Nan equals nan here.
        assert repr(replace(report, created="")) == repr(replace(whole, created=""))

    def test_a_film_that_was_changed_is_scored_again(
        self, tmp_path, models_dir, hospital
    ):
        root = tmp_path / "copy"
        shutil.copytree(hospital, root)
        folder = tmp_path / "validation"
        begin(folder, models_dir, root)
        before = local.run(folder, models_dir, models_dir.parent / "records")
        shutil.copyfile(root / "PNEUMONIA" / "f01.png", root / "NORMAL" / "broken.png")
        after = local.run(folder, models_dir, models_dir.parent / "records")
        assert before.refused and not after.refused
        assert after.evaluation.n == 21
        # A copy of a film is of the same patient.
        assert after.evaluation.n_patients == 20
        assert before.fingerprint != after.fingerprint

    def test_other_weights_are_refused(self, folder, models_dir):
        config = json.loads((folder / local.CONFIG).read_text())
        config["model_sha256"] = "0" * 64
        (folder / local.CONFIG).write_text(json.dumps(config))
        with pytest.raises(JobError, match="not those that this validation"):
            local.run(folder, models_dir, models_dir.parent / "records")

    def test_films_that_made_the_model_are_counted(
        self, folder, models_dir, hospital, monkeypatch
    ):
        films = folders.with_hashes(folders.scan(hospital))
        known = {film.sha256: "train" for film in films[:3]}
        monkeypatch.setattr(registry, "read_split", lambda *_: known)
        report = local.run(folder, models_dir, models_dir.parent / "records")
        [bar] = [b for b in report.bars if "made from" in b.name]
        assert (
            report.seen
            == bar.value
            == len({f.name for f in films[:3]} - set(report.refused))
        )
        assert not bar.passed and not report.go

    def test_reads_nothing_outside_the_limit(self, tmp_path, models_dir, hospital):
        (tmp_path / "data").mkdir()
        manifest = tmp_path / "data" / "films.csv"
        film = next(path for path in hospital.rglob("*.png"))
        manifest.write_text(f"path,label\n{film},1\n")
        folder = tmp_path / "validation"
        begin(folder, models_dir, manifest, limit=manifest.parent)
        with pytest.raises(DatasetError, match="outside the data"):
            local.run(folder, models_dir, models_dir.parent / "records")

    def test_without_one_film_there_is_no_report(self, tmp_path, models_dir):
        root = tmp_path / "films"
        (root / "NORMAL").mkdir(parents=True)
        (root / "NORMAL" / "a.png").write_bytes(b"text")
        folder = tmp_path / "validation"
        begin(folder, models_dir, root)
        with pytest.raises(DatasetError, match="None of these films"):
            local.run(folder, models_dir, models_dir.parent / "records")

    def test_one_class_is_reported_and_does_not_pass(
        self, tmp_path, models_dir, hospital
    ):
        root = tmp_path / "films"
        shutil.copytree(hospital / "PNEUMONIA", root / "PNEUMONIA")
        folder = tmp_path / "validation"
        begin(folder, models_dir, root)
        local.run(folder, models_dir, models_dir.parent / "records")
        report = local.read_report(folder)
        bars = {bar.name: bar for bar in report.bars}
        assert math.isnan(bars["AUC"].value) and not bars["AUC"].passed
        assert not report.go


class TestBars:
    def evaluated(self, n: int = 400) -> summary.Evaluation:
        labels = np.arange(n) % 2
        scores = np.where(labels == 1, 0.97, 0.03)
        return summary.evaluate(labels, scores, threshold=0.5, n_bootstrap=50)

    def test_all_met_is_a_go(self):
        bars = bars_for(self.evaluated(), films=400, refused=0, seen=0)
        assert all(bar.passed for bar in bars)
        assert len({bar.name for bar in bars}) == len(bars) == 8

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"n": 150}, "pneumonia films"),
            ({"refused": 40}, "refused share"),
            ({"seen": 1}, "films the model was made from"),
        ],
    )
    def test_each_can_fail_alone(self, changes, name):
        evaluated = self.evaluated(changes.get("n", 400))
        bars = bars_for(
            evaluated,
            films=400,
            refused=changes.get("refused", 0),
            seen=changes.get("seen", 0),
        )
        failed = [bar.name for bar in bars if not bar.passed]
        assert name in failed
        assert set(failed) <= {name, "normal films"}

    @pytest.mark.parametrize("name", ["sensitivity", "specificity", "auc"])
    def test_an_interval_that_starts_too_low_fails(self, name):
        low = estimates.Estimate(value=0.99, low=0.5, high=1.0)
        evaluated = replace(self.evaluated(), **{name: low})
        bars = bars_for(evaluated, films=400, refused=0, seen=0)
        assert sum(not bar.passed for bar in bars) == 1

    def test_what_is_undefined_does_not_pass(self):
        nothing = estimates.Estimate(value=math.nan, low=math.nan, high=math.nan)
        evaluated = replace(self.evaluated(), ece=nothing)
        bars = bars_for(evaluated, films=400, refused=0, seen=0)
        assert [bar.name for bar in bars if not bar.passed] == ["calibration error"]
