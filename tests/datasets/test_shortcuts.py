"""The shortcut audit: plain figures that give the label away are caught."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr.config import ROOT
from cxr.datasets import shortcuts
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.survey import Measurement, Survey, collect
from cxr.evaluation.scores import Scores


def survey_of(n: int = 300, films_of_patient: int = 2, **columns: np.ndarray) -> Survey:
    """Films with random figures, of which some columns are given; labels alternate."""
    generator = np.random.default_rng(0)
    given = {
        "file_bytes": generator.integers(1000, 9000, n),
        "width": generator.integers(200, 900, n),
        "height": generator.integers(200, 900, n),
        "mean_grey": generator.uniform(60, 180, n),
        "sharpness": generator.uniform(0.1, 0.4, n),
    } | columns
    films = [
        LabelledFilm(
            path=Path(f"{i}.png"),
            name=f"{i}.png",
            label=i // films_of_patient % 2,
            patient_id=f"p{i // films_of_patient}",
        )
        for i in range(n)
    ]
    measured = [
        Measurement(
            modified=1,
            sha256=f"content{i}",
            format="PNG",
            contrast=50.0,
            **{name: column[i].item() for name, column in given.items()},
        )
        for i in range(n)
    ]
    return collect(films, measured)


def labels_of(n: int = 300) -> np.ndarray:
    return np.arange(n) // 2 % 2


def test_figures_that_tell_nothing_have_an_auc_of_a_half():
    audit = shortcuts.audit(survey_of())
    assert tuple(audit.features) == shortcuts.FEATURES
    for estimate in (*audit.features.values(), audit.combined):
        assert estimate.low - 0.05 < 0.5 < estimate.high + 0.05
    assert (audit.n, audit.n_patients) == (300, 150)


def test_a_figure_that_gives_the_label_away_is_caught():
    audit = shortcuts.audit(survey_of(file_bytes=1000 + 50 * labels_of()))
    assert audit.features["file size"].value == 1
    assert audit.combined.value > 0.98
    assert audit.features["width"].value < 0.65


NEITHER_RISES_NOR_FALLS = """
import numpy as np
from test_shortcuts import labels_of, survey_of
from cxr.datasets import shortcuts
generator = np.random.default_rng(1)
side = generator.choice([-1, 1], 300) * np.where(labels_of(), 40.0, 10.0)
audit = shortcuts.audit(survey_of(mean_grey=120 + side))
print(audit.features["mean grey"].value)
"""


def test_a_relation_that_neither_rises_nor_falls_counts():
    # In a process of its own, as a check is.
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "datasets")])
    done = subprocess.run(
        [sys.executable, "-c", NEITHER_RISES_NOR_FALLS],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert float(done.stdout) > 0.98, done.stderr


def test_aspect_ratio_is_width_over_height():
    width = np.full(300, 400)
    height = np.where(labels_of(), 500, 300)
    survey = survey_of(width=width, height=height)
    column = shortcuts.FEATURES.index("aspect ratio")
    np.testing.assert_allclose(
        shortcuts.features(survey)[:, column], np.where(labels_of(), 0.8, 4 / 3)
    )


def test_one_size_for_all_films_is_exactly_a_half():
    audit = shortcuts.audit(survey_of(n=303, width=np.full(303, 224)))
    assert audit.features["width"].value == 0.5


def test_what_is_known_of_a_patient_does_not_help_with_that_patient():
    # Every patient has a size of its own, which says nothing about another patient.
    sizes = np.random.default_rng(2).permutation(40)
    patient = np.arange(400) // 10
    survey = survey_of(400, 10, file_bytes=1000 + sizes[patient])
    assert shortcuts.audit(survey).features["file size"].value < 0.75


def test_folds_hold_patients_whole_and_both_classes():
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 80, 400)
    labels = (patients % 4 > 0).astype(np.int64)
    folds = shortcuts.patient_folds(labels, patients)
    assert folds is not None and set(folds) == set(range(shortcuts.FOLDS))
    for patient in np.unique(patients):
        assert np.unique(folds[patients == patient]).size == 1
    for fold in range(shortcuts.FOLDS):
        assert 0.6 < labels[folds == fold].mean() < 0.9


@pytest.mark.parametrize("n", [2, 3, 4])
def test_too_few_patients_leave_all_undefined(n):
    audit = shortcuts.audit(survey_of(n, films_of_patient=1 if n == 2 else 2))
    assert all(np.isnan(e.value) for e in audit.features.values())
    assert np.isnan(audit.combined.value)


def test_no_readable_film_leaves_all_undefined():
    films = [LabelledFilm(path=Path("a"), name="a", label=0, patient_id="p")]
    broken = Measurement(modified=1, file_bytes=1, sha256="x", reason="Bad.")
    audit = shortcuts.audit(collect(films, [broken]))
    assert audit.n == 0 and np.isnan(audit.combined.value)


def scores_of(survey: Survey, rows: range, value: np.ndarray) -> Scores:
    films = [survey.films[i] for i in rows]
    return Scores(
        names=tuple("elsewhere/" + f.name for f in films) + ("other.png",),
        sha256=tuple(f.sha256 for f in films) + ("of another folder",),
        patients=tuple(f.patient_id for f in films) + ("p",),
        labels=np.array([f.label for f in films] + [1]),
        logits=np.zeros(len(films) + 1),
        probabilities=np.append(value, 0.5),
        subtypes=("",) * (len(films) + 1),
    )


def test_the_network_stands_beside_on_the_films_of_its_own_test():
    survey, rows = survey_of(), range(100, 180)
    known = scores_of(survey, rows, 0.2 + 0.6 * labels_of()[100:180])
    audit = shortcuts.audit(survey, known, "tiny-1")
    assert (audit.network_id, audit.network_n) == ("tiny-1", 80)
    assert audit.network is not None and audit.network.value == 1
    assert audit.combined_there is not None
    assert 0.3 < audit.combined_there.value < 0.7


@pytest.mark.parametrize("rows", [range(0), range(2)])
def test_a_network_without_films_of_both_classes_is_not_measured(rows):
    survey = survey_of()
    known = scores_of(survey, rows, np.full(len(rows), 0.5))
    audit = shortcuts.audit(survey, known, "tiny-1")
    assert audit.network is None and audit.combined_there is None
    assert (audit.network_id, audit.network_n) == ("tiny-1", len(rows))


def test_no_model_leaves_the_network_out():
    audit = shortcuts.audit(survey_of())
    assert audit.network is None and audit.network_id == ""


def test_the_audit_says_how_far_it_is():
    seen: list[tuple[int, int]] = []
    shortcuts.audit(survey_of(40), progress=lambda *now: seen.append(now))
    assert seen == [(i, 7) for i in range(1, 8)]
