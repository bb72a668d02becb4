"""A check from end to end: what it writes, reads back, takes over and notices."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_jpeg, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr import documents
from cxr.datasets import checks, folders
from cxr.datasets import survey as datasets_survey
from cxr.datasets.checks import Check
from cxr.errors import CxrError, DatasetError
from cxr.jobs import heartbeat
from cxr.models import registry


@pytest.fixture(autouse=True)
def pool_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.datasets.survey.DecoderPool", PoolHere)


@pytest.fixture
def films_dir(tmp_path: Path) -> Path:
    """Six patients with normal films and six with pneumonia, and faults among them."""
    root = tmp_path / "films"
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        for name in folders.CLASSES:
            (root / split / name).mkdir(parents=True, exist_ok=True)
        for i in numbers:
            normal = as_jpeg(chest_phantom(140, 140, i))
            ill = np.roll(chest_phantom(150, 150, 50 + i), 13 * (i + 1), axis=1)
            (root / f"{split}/NORMAL/IM-{i:04d}-0001.jpeg").write_bytes(normal)
            path = root / f"{split}/PNEUMONIA/person{i}_virus_{i}.jpeg"
            path.write_bytes(as_jpeg(ill))
    (root / "train/NORMAL/IM-0009-0001.jpeg").write_bytes(b"no film")
    return root


def checked(source: Path, folder: Path, models_dir: Path | None = None) -> Check:
    models_dir = models_dir or folder / "no-models"
    scores, model_id = registry.active_test_scores(models_dir)
    return checks.run(
        source, folder=folder, workers=1, scores=scores, model_id=model_id
    )


def assert_equal(one: Check, other: Check) -> None:
    assert checks.document(one) == checks.document(other)
    assert one.listing == other.listing and one.source == other.source
    assert one.survey.films == other.survey.films
    assert one.survey.reasons == other.survey.reasons
    assert one.survey.formats == other.survey.formats
    for name in ("width", "file_bytes", "modified", "mean_grey", "signatures"):
        ours, theirs = getattr(one.survey, name), getattr(other.survey, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_what_was_written_is_read_back(films_dir, tmp_path):
    check = checked(films_dir, tmp_path / "kept")
    again = checks.read(tmp_path / "kept")
    assert again is not None
    assert_equal(check, again)
    assert check.integrity.counts["unreadable"] == 1
    assert sum(part.films for part in check.splits.values()) == 12


def test_the_folder_holds_a_last_heartbeat_and_one_survey(films_dir, tmp_path):
    for _ in range(2):
        checked(films_dir, tmp_path / "kept")
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(names) == 3 and names[:2] == ["report.json", "status.json"]
    status = json.loads((tmp_path / "kept/status.json").read_text())
    assert (status["stage"], status["done"], status["total"]) == ("done", 13, 13)
    assert status["pid"] == os.getpid()


def test_every_stage_is_announced_in_order(films_dir, tmp_path, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr("cxr.datasets.checks.BEAT_SECONDS", 0.0)
    written = documents.replace

    def replace(path, content):
        if path.name == heartbeat.STATUS:
            seen.append(content["stage"])
        written(path, content)

    monkeypatch.setattr(documents, "replace", replace)
    checked(films_dir, tmp_path / "kept")
    assert tuple(dict.fromkeys(seen)) == checks.STAGES
    assert seen.count(checks.MEASURING) > 10


def test_no_check_is_none(tmp_path):
    assert checks.read(tmp_path / "nothing") is None


@pytest.mark.parametrize("damage", ["report", "survey", "cut", "other survey", "list"])
def test_a_damaged_check_is_named_as_that(films_dir, tmp_path, damage):
    folder = tmp_path / "kept"
    checked(films_dir, folder)
    (survey,) = folder.glob("survey-*.npz")
    if damage == "report":
        (folder / "report.json").write_text("{")
    elif damage == "list":
        (folder / "report.json").write_text("[]")
    elif damage == "survey":
        survey.unlink()
    elif damage == "cut":
        survey.write_bytes(survey.read_bytes()[:-200])
    else:
        checked(films_dir / "train", tmp_path / "other")
        (other,) = (tmp_path / "other").glob("survey-*.npz")
        survey.write_bytes(other.read_bytes())
    with pytest.raises(DatasetError) as raised:
        checks.read(folder)
    assert raised.value.code == "damaged-check"
    assert_equal(checked(films_dir, folder), checks.read(folder))


def test_a_pickle_in_the_survey_is_not_run(films_dir, tmp_path):
    checked(films_dir, tmp_path / "kept")
    (survey,) = (tmp_path / "kept").glob("survey-*.npz")
    with survey.open("wb") as file:
        np.savez(file, text=np.array([print], object), readable=np.zeros(0))
    with pytest.raises(DatasetError):
        checks.read(tmp_path / "kept")


def test_a_report_can_not_lead_out_of_its_folder(films_dir, tmp_path):
    checked(films_dir, tmp_path / "kept")
    (survey,) = (tmp_path / "kept").glob("survey-*.npz")
    survey.rename(tmp_path / survey.name)
    report = json.loads((tmp_path / "kept/report.json").read_text())
    report["survey_file"] = f"../{survey.name}"
    (tmp_path / "kept/report.json").write_text(json.dumps(report))
    with pytest.raises(DatasetError):
        checks.read(tmp_path / "kept")


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the films that go through a decoder from now on."""
    count: list[int] = []

    class Counting(PoolHere):
        def map(self, files):
            return super().map(count.append(1) or file for file in files)

    monkeypatch.setattr("cxr.datasets.survey.DecoderPool", Counting)
    return count


def test_a_second_check_decodes_only_what_changed(films_dir, tmp_path, monkeypatch):
    first = checked(films_dir, tmp_path / "kept")
    count = decoded(monkeypatch)
    changed = films_dir / "train/NORMAL/IM-0001-0001.jpeg"
    changed.write_bytes(as_png(chest_phantom(170, 171, 3)))
    second = checked(films_dir, tmp_path / "kept")
    assert len(count) == 2  # the changed one, and the unreadable one once more
    assert second.survey.fingerprint != first.survey.fingerprint
    assert 171 in second.survey.width


def test_a_stopped_check_goes_on_where_it_was(films_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.datasets.checks.PARTIAL_SECONDS", -1.0)
    measure = datasets_survey.measure

    def stopped(*films, **options):
        for number, measurement in enumerate(measure(*films, **options)):
            if number == 8:
                raise KeyboardInterrupt
            yield measurement

    monkeypatch.setattr("cxr.datasets.checks.measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        checked(films_dir, tmp_path / "kept")
    assert checks.read(tmp_path / "kept") is None
    monkeypatch.setattr("cxr.datasets.checks.measure", measure)
    count = decoded(monkeypatch)
    check = checked(films_dir, tmp_path / "kept")
    assert len(count) < 8
    assert not (tmp_path / "kept/measured.npz").exists()
    assert_equal(check, checks.read(tmp_path / "kept"))


def test_measurements_of_another_folder_are_not_taken_over(
    films_dir, tmp_path, monkeypatch
):
    checked(films_dir, tmp_path / "kept")
    films_dir.rename(tmp_path / "moved")
    count = decoded(monkeypatch)
    checked(tmp_path / "moved", tmp_path / "kept")
    assert len(count) == 13


def test_a_failed_check_leaves_the_last_one(films_dir, tmp_path, monkeypatch):
    first = checked(films_dir, tmp_path / "kept")

    def fail(*survey, **options):
        raise RuntimeError

    monkeypatch.setattr("cxr.datasets.checks.shortcuts.audit", fail)
    with pytest.raises(RuntimeError):
        checked(films_dir, tmp_path / "kept")
    assert_equal(first, checks.read(tmp_path / "kept"))


@pytest.mark.parametrize("change", ["added", "removed", "changed", "touched", "gone"])
def test_a_changed_folder_makes_a_check_stale(films_dir, tmp_path, change):
    check = checked(films_dir, tmp_path / "kept")
    assert not checks.stale(check)
    film = films_dir / "train/NORMAL/IM-0001-0001.jpeg"
    if change == "added":
        film.with_name("IM-0077-0001.jpeg").write_bytes(film.read_bytes())
    elif change == "removed":
        film.unlink()
    elif change == "changed":
        film.write_bytes(b"other")
    elif change == "touched":
        os.utime(film, ns=(1, 1))
    else:
        films_dir.rename(tmp_path / "moved")
    assert checks.stale(check)


def test_a_changed_label_in_a_manifest_makes_a_check_stale(films_dir, tmp_path):
    manifest = films_dir / "films.csv"
    rows = [
        f"train/NORMAL/IM-{i:04d}-0001.jpeg,{'NORMAL' if i % 2 else 'PNEUMONIA'},p{i}"
        for i in range(4)
    ]
    manifest.write_text("\n".join(["path,label,patient", *rows]))
    check = checked(manifest, tmp_path / "kept")
    assert_equal(check, checks.read(tmp_path / "kept"))
    assert check.survey.films[0].path.is_file() and not checks.stale(check)
    manifest.write_text(manifest.read_text().replace("p3", "p2"))
    assert checks.stale(check)


def test_too_few_patients_are_no_split_with_the_reason(films_dir, tmp_path):
    check = checked(films_dir / "test", tmp_path / "kept")
    assert check.splits == {}
    assert "at least 4 are needed" in check.no_splits


def test_the_active_model_stands_beside_the_audit(films_dir, tmp_path):
    register_tiny_model(tmp_path / "models")
    check = checked(films_dir, tmp_path / "kept", tmp_path / "models")
    assert check.audit.network_id == "tiny-1" and check.audit.network is None
    assert_equal(check, checks.read(tmp_path / "kept"))


def test_a_folder_without_films_is_named(tmp_path):
    with pytest.raises(DatasetError):
        checked(tmp_path, tmp_path / "kept")


def test_a_folder_that_can_not_be_written_is_named(films_dir, tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(CxrError) as raised:
        checked(films_dir, tmp_path / "kept")
    assert raised.value.code == "cache-folder"


def test_one_source_has_one_folder_whatever_its_name(films_dir, tmp_path):
    (tmp_path / "link").symlink_to(films_dir)
    folder = checks.folder_for(tmp_path, films_dir)
    assert folder == checks.folder_for(tmp_path, tmp_path / "link" / ".")
    assert folder.parent == tmp_path / "checks" and "films" not in folder.name
    assert folder != checks.folder_for(tmp_path, films_dir / "train")


def test_nothing_in_the_data_folder_is_touched(films_dir, tmp_path):
    def state() -> list[tuple[str, int, int]]:
        return sorted(
            (str(path), path.stat().st_mtime_ns, path.stat().st_size)
            for path in films_dir.rglob("*")
        )

    before = state()
    checked(films_dir, tmp_path / "kept")
    assert state() == before
