"""The survey of a data folder: measured once, counted, shown by examples."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom
from tiny_model import PoolHere

from cxr.datasets import folders
from cxr.datasets import survey as datasets_survey
from cxr.datasets.survey import (
    Survey,
    measure,
    measurements,
    picture,
    samples,
)
from cxr.errors import ImageError
from cxr.films.decoding import DecoderPool
from cxr.films.refusals import REFUSALS

Folder = Path


@pytest.fixture(autouse=True)
def pool_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.datasets.survey.DecoderPool", PoolHere)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Four films in two splits: a PNG, a JPEG, a DICOM and one that is cut off."""
    films = {
        "train/NORMAL/IM-0001-0001.png": as_png(chest_phantom(150, 180, 1)),
        "train/PNEUMONIA/person1_bacteria_1.jpeg": as_jpeg(chest_phantom(160, 140, 2)),
        "train/PNEUMONIA/person2_virus_2.dcm": as_dicom(chest_phantom(160, 160, 3)),
        "test/PNEUMONIA/person3_virus_3.png": as_png(chest_phantom(160, 160, 4))[:900],
    }
    for name, content in films.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def surveyed(folder: Path) -> Survey:
    return datasets_survey.survey(folders.scan(folder), workers=1)


def row(survey: Survey, end: str) -> int:
    return next(i for i, f in enumerate(survey.films) if f.name.endswith(end))


def test_every_film_is_an_entry_the_unreadable_with_its_reason(folder):
    survey = surveyed(folder)
    assert [film.name for film in survey.films] == sorted(f.name for f in survey.films)
    assert survey.readable.tolist() == [False, True, True, True]
    assert survey.formats == ("", "PNG", "JPEG", "DICOM")
    assert list(survey.reasons) == ["test/PNEUMONIA/person3_virus_3.png"]
    assert "Incomplete file" in survey.reasons["test/PNEUMONIA/person3_virus_3.png"]
    assert survey.width.tolist() == [0, 180, 140, 160]
    assert survey.height.tolist() == [0, 150, 160, 160]
    assert np.isnan(survey.mean_grey[0]) and np.isnan(survey.sharpness[0])
    assert survey.signatures.shape == (4, 16, 16)
    assert not survey.signatures[0].any()


def test_an_unreadable_film_has_hash_and_size_like_any_other(folder):
    survey = surveyed(folder)
    content = survey.films[0].path.read_bytes()
    assert survey.films[0].sha256 == hashlib.sha256(content).hexdigest()
    assert survey.file_bytes[0] == len(content)


def test_the_fingerprint_is_the_one_that_training_binds_a_run_to(folder):
    expected = folders.fingerprint(folders.with_hashes(folders.scan(folder)))
    assert surveyed(folder).fingerprint == expected


def test_figures_are_those_of_the_pixels(folder):
    survey, film = surveyed(folder), chest_phantom(150, 180, 1).astype(np.float64)
    i = row(survey, "IM-0001-0001.png")
    padded = np.pad(film, 1, mode="reflect")
    neighbours = padded[2:, 1:-1] + padded[:-2, 1:-1]
    neighbours = neighbours + padded[1:-1, 2:] + padded[1:-1, :-2]
    assert survey.mean_grey[i] == pytest.approx(film.mean(), rel=1e-5)
    assert survey.contrast[i] == pytest.approx(film.std(), rel=1e-5)
    sharpness = (neighbours - 4 * film).std() / film.std()
    assert survey.sharpness[i] == pytest.approx(sharpness, rel=1e-4)


def test_sharpness_falls_with_blur_and_keeps_with_contrast(tmp_path):
    film = chest_phantom(160, 160, 1)
    blurred = sum(np.roll(film, k, 1) for k in (-1, 0, 1)) / 3
    for name, pixels in (("a", film), ("b", blurred), ("c", 40 + film * 0.7)):
        (tmp_path / "NORMAL").mkdir(exist_ok=True)
        (tmp_path / "NORMAL" / f"{name}.png").write_bytes(as_png(np.rint(pixels)))
    sharp, soft, flat = surveyed(tmp_path).sharpness
    assert soft < 0.8 * sharp
    assert flat == pytest.approx(sharp, rel=0.05)


def test_copies_share_a_patient(folder):
    original = folder / "train/NORMAL/IM-0001-0001.png"
    (folder / "train/NORMAL/IM-0009-0001.png").write_bytes(original.read_bytes())
    survey = surveyed(folder)
    rows = [row(survey, f"IM-000{n}-0001.png") for n in (1, 9)]
    assert len({survey.films[i].patient_id for i in rows}) == 1


def test_films_that_can_not_be_opened_are_findings_and_no_copies(folder, monkeypatch):
    films = folders.scan(folder)
    for film in films[:2]:
        film.path.unlink()
    survey = datasets_survey.survey(films, workers=1)
    assert survey.readable.tolist() == [False, False, True, True]
    assert {survey.reasons[f.name] for f in films[:2]} == {REFUSALS["not-opened"]}
    assert survey.films[0].patient_id != survey.films[1].patient_id
    assert survey.films[0].sha256 == ""


def test_a_file_too_large_is_refused_and_hashed_whole(folder, monkeypatch):
    monkeypatch.setattr("cxr.datasets.survey.MAX_FILE_BYTES", 5000)
    big = folder / "train/NORMAL/IM-0002-0001.png"
    big.write_bytes(os.urandom(23_000))
    survey = surveyed(folder)
    i = row(survey, "IM-0002-0001.png")
    assert "larger than 50 MB" in survey.reasons[survey.films[i].name]
    assert survey.films[i].sha256 == hashlib.sha256(big.read_bytes()).hexdigest()


def test_progress_ends_at_all_films(folder):
    seen: list[tuple[int, int]] = []
    datasets_survey.survey(
        folders.scan(folder), workers=1, progress=lambda *now: seen.append(now)
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_films_make_an_empty_survey():
    survey = datasets_survey.survey([], workers=1)
    assert survey.films == () and survey.signatures.shape == (0, 16, 16)
    assert datasets_survey.summary(survey).films == 0


def test_known_films_are_taken_over_and_changed_ones_measured(folder):
    films = folders.scan(folder)
    first = datasets_survey.survey(films, workers=1)
    known = {
        film.name: measurement
        for film, measurement in zip(first.films, measurements(first), strict=True)
        if film.name != "test/PNEUMONIA/person3_virus_3.png"
    }
    changed = folder / "train/NORMAL/IM-0001-0001.png"
    changed.write_bytes(as_png(chest_phantom(130, 131, 9)))
    untouched = folder / "train/PNEUMONIA/person2_virus_2.dcm"
    before = untouched.stat()
    untouched.write_bytes(b"x" * before.st_size)
    os.utime(untouched, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = list(measure(films, workers=1, known=known))
    assert [m.width for m in again] == [0, 131, 140, 160]
    assert again[3].sha256 == first.films[3].sha256


def test_a_portion_with_nothing_to_decode_keeps_the_order(folder, monkeypatch):
    monkeypatch.setattr("cxr.datasets.survey.PORTION", 2)
    films = folders.scan(folder)
    for film in (films[0], films[3]):
        film.path.unlink()
    widths = [m.width for m in measure(films, workers=2, known={})]
    assert widths == [0, 180, 140, 0]


def test_real_workers_give_the_same_survey(folder, monkeypatch):
    here = surveyed(folder)
    monkeypatch.setattr("cxr.datasets.survey.DecoderPool", DecoderPool)
    there = surveyed(folder)
    assert here.reasons == there.reasons and here.films == there.films
    np.testing.assert_array_equal(here.signatures, there.signatures)
    np.testing.assert_array_equal(here.sharpness, there.sharpness)


def test_the_summary_counts_by_split_and_class(folder):
    summary = datasets_survey.summary(surveyed(folder))
    found = [
        (g.split, g.label, g.films, g.patients, g.subtypes) for g in summary.groups
    ]
    assert found == [
        ("train", 0, 1, 1, {}),
        ("train", 1, 2, 2, {"bacterial": 1, "viral": 1}),
        ("test", 0, 0, 0, {}),
        ("test", 1, 1, 1, {"viral": 1}),
    ]
    assert (summary.films, summary.patients, summary.unreadable) == (4, 4, 1)
    assert summary.imbalance == {"train": 2.0, "test": np.inf}
    assert summary.overall_imbalance == 3.0


def test_films_without_a_split_are_counted_together(tmp_path):
    for name in folders.CLASSES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(as_png(chest_phantom(140, 140)))
    summary = datasets_survey.summary(surveyed(tmp_path))
    assert [g.split for g in summary.groups] == ["all", "all"]


@pytest.fixture
def three_kinds(tmp_path: Path) -> Survey:
    """Nine readable films of three kinds, and one unreadable."""
    (tmp_path / "NORMAL").mkdir()
    for i in range(9):
        film = np.roll(chest_phantom(140, 140, i), 45 * (i // 3), axis=i // 3 % 2)
        (tmp_path / "NORMAL" / f"{i}.png").write_bytes(as_png(film))
    (tmp_path / "NORMAL" / "x.png").write_bytes(b"")
    return surveyed(tmp_path)


def test_samples_show_every_kind_in_the_order_of_names(three_kinds):
    chosen = samples(three_kinds, 0, 3, seed=1)
    assert [int(film.path.stem) // 3 for film in chosen] == [0, 1, 2]
    assert chosen == samples(three_kinds, 0, 3, seed=1)


@pytest.mark.parametrize(("label", "n", "expected"), [(0, 20, 9), (0, 9, 9), (1, 3, 0)])
def test_samples_never_hold_the_unreadable(three_kinds, label, n, expected):
    chosen = samples(three_kinds, label, n)
    assert len(chosen) == expected
    assert "NORMAL/x.png" not in {film.name for film in chosen}


def test_equal_films_can_be_samples(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    for i in range(6):
        film = as_png(chest_phantom(140, 140, 0))
        (tmp_path / "NORMAL" / f"{i}.png").write_bytes(film)
    assert len(samples(surveyed(tmp_path), 0, 3)) == 3


def test_samples_of_many_films_are_looked_for_among_some(three_kinds, monkeypatch):
    monkeypatch.setattr("cxr.datasets.survey.EXAMPLES_FROM", 4)
    assert len(samples(three_kinds, 0, 3)) == 3


def test_a_picture_keeps_the_aspect_and_is_never_enlarged(folder):
    with DecoderPool() as pool:
        path = folder / "train/NORMAL/IM-0001-0001.png"
        small = picture(path, 60, pool)
        whole = picture(path, 500, pool)
    assert small.shape == (50, 60) and small.dtype == np.uint8
    np.testing.assert_array_equal(whole, chest_phantom(150, 180, 1))


def test_a_picture_of_a_missing_film_is_refused(folder):
    with DecoderPool() as pool, pytest.raises(ImageError) as refused:
        picture(folder / "none.png", 60, pool)
    assert refused.value.code == "not-opened"
