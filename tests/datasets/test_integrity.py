"""What is wrong in a data folder: every kind is found, sound films are left alone."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr.datasets import folders, integrity, near_copies
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.integrity import CONFLICT, EXACT, KINDS, NEAR, TWO_SPLITS, UNREADABLE
from cxr.datasets.survey import Measurement, Survey, collect


def film(
    name: str,
    label: int = 0,
    patient: str | None = None,
    split: str | None = None,
) -> LabelledFilm:
    path = Path("/films") / name
    return LabelledFilm(
        path=path,
        name=name,
        label=label,
        patient_id=patient or folders.patient_of(path.name, label),
        split=split,
    )


def picture(seed: int) -> NDArray[np.uint8]:
    """A signature that correlates with no other."""
    return np.random.default_rng(seed).integers(0, 256, (16, 16)).astype(np.uint8)


def nearly(signature: NDArray[np.uint8], noise: float = 3) -> NDArray[np.uint8]:
    grain = np.random.default_rng(0).normal(0, noise, signature.shape)
    return np.clip(0.8 * signature + 20 + grain, 0, 255).astype(np.uint8)


def survey_of(
    films: list[LabelledFilm],
    contents: list[str] | None = None,
    signatures: list[NDArray[np.uint8]] | None = None,
    reasons: dict[int, str] | None = None,
) -> Survey:
    """A survey in which every film is another one unless said otherwise."""
    measured = []
    for i in range(len(films)):
        reason = (reasons or {}).get(i, "")
        measured.append(
            Measurement(
                modified=1,
                file_bytes=10,
                sha256=contents[i] if contents else f"content{i}",
                reason=reason,
                format="" if reason else "PNG",
                signature=signatures[i] if signatures else picture(i),
            )
        )
    return collect(films, measured)


def found(survey: Survey, kind: str) -> list[tuple[str, ...]]:
    return [f.films for f in integrity.inspect(survey).findings if f.kind == kind]


def test_sound_films_give_no_findings():
    result = integrity.inspect(survey_of([film("a.png"), film("b.png", 1)]))
    assert result.findings == ()
    assert result.counts == dict.fromkeys(KINDS, 0)


def test_nothing_is_wrong_with_no_films():
    assert integrity.inspect(survey_of([])).findings == ()


def test_unreadable_films_are_named_with_the_reason():
    survey = survey_of([film("a.png"), film("b.png")], reasons={1: "It is damaged."})
    (finding,) = integrity.inspect(survey).findings
    assert (finding.kind, finding.films) == (UNREADABLE, ("b.png",))
    assert "It is damaged." in finding.sentence and finding.serious


def test_equal_files_are_one_finding_and_not_near_as_well():
    films = [film("a.png"), film("b.png"), film("c.png")]
    survey = survey_of(films, ["x", "x", "x"], [picture(0)] * 3)
    result = integrity.inspect(survey)
    assert [(f.kind, f.films) for f in result.findings] == [
        (EXACT, ("a.png", "b.png", "c.png"))
    ]
    assert result.counts[EXACT] == 1 and not result.findings[0].serious


def test_unreadable_files_can_be_equal_too():
    survey = survey_of(
        [film("a.png"), film("b.png")], ["x", "x"], reasons={0: "Bad.", 1: "Bad."}
    )
    assert found(survey, EXACT) == [("a.png", "b.png")]
    assert found(survey, NEAR) == []


def test_files_that_were_not_opened_are_no_copies():
    survey = survey_of(
        [film("a.png"), film("b.png")], ["", ""], reasons={0: "Gone.", 1: "Gone."}
    )
    assert found(survey, EXACT) == []


def test_a_brighter_noisier_film_is_nearly_equal():
    signatures = [picture(0), picture(1), nearly(picture(0))]
    survey = survey_of([film(n) for n in ("a.png", "b.png", "c.png")], None, signatures)
    assert found(survey, NEAR) == [("a.png", "c.png")]


def test_a_copy_of_a_near_film_is_not_listed_twice():
    signatures = [picture(0), picture(0), nearly(picture(0))]
    names = ("a.png", "b.png", "c.png")
    survey = survey_of([film(n) for n in names], ["x", "x", "y"], signatures)
    assert found(survey, EXACT) == [("a.png", "b.png")]
    assert found(survey, NEAR) == [("a.png", "c.png")]


def test_two_flat_films_are_not_nearly_equal():
    flat = [np.full((16, 16), grey, np.uint8) for grey in (10, 10, 200)]
    survey = survey_of([film(n) for n in ("a.png", "b.png", "c.png")], None, flat)
    assert found(survey, NEAR) == []


@pytest.mark.parametrize("patient", ["p", None])
def test_what_to_do_with_near_films_depends_on_the_patient(patient):
    films = [film("a.png", patient=patient), film("b.png", patient=patient)]
    (finding,) = integrity.inspect(
        survey_of(films, None, [picture(0), nearly(picture(0))])
    ).findings
    assert ("Nothing has to be done" in finding.suggestion) == (patient == "p")


@pytest.mark.parametrize("kind", [EXACT, NEAR])
def test_duplicates_across_splits_are_serious(kind):
    films = [film("a.png", split="train"), film("b.png", split="test")]
    contents = ["x", "x"] if kind == EXACT else ["x", "y"]
    survey = survey_of(films, contents, [picture(0), nearly(picture(0))])
    finding = next(f for f in integrity.inspect(survey).findings if f.kind == kind)
    assert finding.serious and "different splits" in finding.sentence


def test_a_patient_in_two_splits_is_found_by_the_file_names():
    films = [
        film("train/person1_bacteria_1.jpeg", 1, split="train"),
        film("test/person1_virus_2.jpeg", 1, split="test"),
        film("test/person2_virus_3.jpeg", 1, split="test"),
    ]
    (finding,) = integrity.inspect(survey_of(films)).findings
    assert finding.kind == TWO_SPLITS and finding.serious
    assert finding.films == (
        "test/person1_virus_2.jpeg",
        "train/person1_bacteria_1.jpeg",
    )
    assert "as far as file names tell" in finding.sentence
    assert "test and train" in finding.sentence


def test_a_patient_in_two_splits_of_a_manifest_is_a_fact():
    films = [
        film("a.png", patient="p", split="train"),
        film("b.png", patient="p", split="test"),
    ]
    (finding,) = integrity.inspect(survey_of(films)).findings
    assert finding.kind == TWO_SPLITS and "file names" not in finding.sentence


def test_a_copy_in_another_split_takes_its_patient_along():
    films = [film("a.png", split="train"), film("b.png", split="test")]
    result = integrity.inspect(survey_of(films, ["x", "x"], [picture(0)] * 2))
    assert result.counts[EXACT] == result.counts[TWO_SPLITS] == 1


@pytest.mark.parametrize("kind", [EXACT, NEAR])
def test_duplicates_with_opposite_labels_are_a_conflict(kind):
    contents = ["x", "x"] if kind == EXACT else ["x", "y"]
    survey = survey_of(
        [film("a.png", 0), film("b.png", 1)], contents, [picture(0), nearly(picture(0))]
    )
    result = integrity.inspect(survey)
    assert [f.kind for f in result.findings] == [kind, CONFLICT]
    assert result.findings[1].serious


def test_a_patient_of_a_manifest_with_both_labels_is_a_conflict():
    films = [film("a.png", 0, "p"), film("b.png", 1, "p"), film("c.png", 1, "q")]
    assert found(survey_of(films), CONFLICT) == [("a.png", "b.png")]


def test_a_number_in_both_classes_of_a_folder_is_no_conflict():
    films = [film("IM-0001-0001.png", 0), film("person1_virus_1.png", 1)]
    assert found(survey_of(films), CONFLICT) == []


def test_findings_are_in_the_order_of_the_kinds():
    films = [
        film("a.png", 0, split="train"),
        film("b.png", 1, split="test"),
        film("c.png", 0, split="train"),
    ]
    survey = survey_of(films, ["x", "x", "y"], reasons={2: "It is damaged."})
    kinds = [f.kind for f in integrity.inspect(survey).findings]
    assert kinds == [UNREADABLE, EXACT, TWO_SPLITS, CONFLICT]


def test_near_groups_are_those_of_a_plain_comparison(monkeypatch):
    monkeypatch.setattr("cxr.datasets.near_copies.BLOCK", 7)
    monkeypatch.setattr("cxr.datasets.near_copies.PAIRS", 5)
    generator = np.random.default_rng(0)
    base = generator.integers(40, 200, (30, 16, 16))
    noise = generator.normal(0, 1, (90, 16, 16)) * generator.uniform(1, 9, (90, 1, 1))
    signatures = np.clip(np.repeat(base, 3, axis=0) + noise, 0, 255).astype(np.uint8)
    signatures = signatures[generator.permutation(90)]
    near = np.corrcoef(signatures.reshape(90, -1)) > near_copies.NEAR_LIMIT
    for _ in range(90):
        near = near @ near
    group = near_copies.near_groups(signatures)
    np.testing.assert_array_equal(group[:, None] == group[None], near)
    assert 30 < np.unique(group).size < 90


def test_a_folder_of_nearly_equal_films_is_one_group(monkeypatch):
    monkeypatch.setattr("cxr.datasets.near_copies.BLOCK", 32)
    generator = np.random.default_rng(0)
    signatures = picture(0) // 2 + generator.integers(0, 2, (200, 16, 16))
    assert np.unique(near_copies.near_groups(signatures.astype(np.uint8))).size == 1


def test_the_search_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr("cxr.datasets.near_copies.BLOCK", 2)
    seen: list[tuple[int, int]] = []
    survey = survey_of([film(f"{i}.png") for i in range(5)])
    integrity.inspect(survey, progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_plan_has_a_row_for_each_film_of_each_finding():
    films = [film("a.png"), film("b.png"), film("c.png")]
    survey = survey_of(films, ["x", "x", "y"], reasons={2: "It is damaged."})
    rows = list(
        csv.DictReader(io.StringIO(integrity.repair_plan(integrity.inspect(survey))))
    )
    assert [(r["film"], r["kind"], r["group"]) for r in rows] == [
        ("c.png", UNREADABLE, "1"),
        ("a.png", EXACT, "2"),
        ("b.png", EXACT, "2"),
    ]
    assert all(row["suggestion"] for row in rows)


@pytest.mark.parametrize("name", ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png"])
def test_no_name_in_the_plan_is_a_formula(name):
    survey = survey_of([film(name)], reasons={0: "It is damaged."})
    rows = list(
        csv.DictReader(io.StringIO(integrity.repair_plan(integrity.inspect(survey))))
    )
    assert rows[0]["film"] == "'" + name


def test_a_name_that_is_no_text_can_be_written():
    name = b"f\xff.png".decode("utf-8", "surrogateescape")
    survey = survey_of([film(name)], reasons={0: "It is damaged."})
    plan = integrity.repair_plan(integrity.inspect(survey))
    assert b"f\\udcff.png" in plan.encode()


def test_inspecting_changes_no_survey():
    films = [film("a.png"), film("b.png")]
    survey = survey_of(films, ["x", "x"], [picture(0)] * 2)
    before = replace(survey, signatures=survey.signatures.copy())
    integrity.inspect(survey)
    assert survey.films == before.films
    np.testing.assert_array_equal(survey.signatures, before.signatures)
