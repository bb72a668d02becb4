"""What a model learned from is never tested on by one that goes on from it."""

from dataclasses import replace

import numpy as np
import pytest

from cxr.datasets import lineage
from cxr.datasets.folders import LabelledFilm, join_copies, patient_of
from cxr.datasets.lineage import EarlierFilm
from cxr.datasets.splits import SPLIT_SEED, SPLITS, split_by_patient
from cxr.errors import DatasetError

TABLE = b"film,sha256,split\n"


def film(number, patient, label=0, sha256=None):
    return LabelledFilm(
        path=None,
        name=f"{number}.png",
        label=label,
        patient_id=f"{('normal', 'pneumonia')[label]}-{patient}",
        sha256=sha256 or f"{number:064x}",
    )


def folder(n=80, first=0):
    """Two films a patient, every other patient ill; a few copies join patients."""
    films = [film(first + i, (first + i) // 2, (i // 2) % 2) for i in range(n)]
    films[5] = replace(films[5], sha256=films[20].sha256)
    return join_copies(films)


def deal(films, earlier=(), seed=SPLIT_SEED):
    known = lineage.settle(films, earlier)
    return split_by_patient(films, seed=seed, settled=known.splits), known


def table_of(splits, known):
    """The rows of the new model, as `publication` writes them."""
    own = [(f, name) for name, part in splits.items() for f in part]
    rows = list(known.elsewhere(f for f, _ in own))
    return rows + [
        EarlierFilm(
            name=f.name, sha256=f.sha256, patient_id=f.given_patient, split=name
        )
        for f, name in own
    ]


def names_of(splits):
    return {name: sorted(f.name for f in part) for name, part in splits.items()}


class TestSettle:
    def test_the_same_folder_is_dealt_the_same_whatever_the_seed(self):
        films = folder()
        first, known = deal(films)
        again, _ = deal(films, table_of(first, known), seed=3)
        assert names_of(again) == names_of(first)

    def test_without_an_earlier_model_nothing_is_settled(self):
        known = lineage.settle(folder(), ())
        assert known.splits == {} and known.films == ()

    def test_a_renamed_copy_is_known_by_its_content(self):
        earlier = [
            EarlierFilm(name="a", sha256="f" * 64, patient_id="x", split="train")
        ]
        films = [film(1, 1, sha256="f" * 64), film(2, 1), film(3, 2)]
        assert lineage.settle(films, earlier).splits == {"normal-1": "train"}

    def test_another_film_of_a_patient_is_known_by_the_patient(self):
        row = EarlierFilm(
            name="a", sha256="f" * 64, patient_id="normal-1", split="validation"
        )
        known = lineage.settle([film(2, 1)], [row])
        assert known.splits == {"normal-1": "validation"}

    @pytest.mark.parametrize("other", ["validation", "calibration", "test", "odd"])
    def test_the_stricter_split_wins(self, other):
        rows = [
            EarlierFilm(name="a", sha256="a" * 64, patient_id="p", split="train"),
            EarlierFilm(name="b", sha256="b" * 64, patient_id="q", split=other),
        ]
        films = [
            film(1, 1, sha256="a" * 64),
            film(2, 1, sha256="b" * 64),
        ]
        known = lineage.settle(films, rows)
        assert known.splits == {"normal-1": "train"}
        assert {row.split for row in known.films} == {"train"}

    def test_a_split_of_another_name_counts_as_learned_from(self):
        row = EarlierFilm(name="a", sha256="a" * 64, patient_id="normal-1", split="x")
        assert lineage.settle([film(1, 1)], [row]).splits == {"normal-1": "train"}

    def test_joined_patients_are_known_by_either(self):
        copies = join_copies([film(1, 1), film(2, 2, sha256=f"{1:064x}"), film(3, 2)])
        assert {f.patient_id for f in copies} == {"normal-1"}
        row = EarlierFilm(
            name="a", sha256="a" * 64, patient_id="normal-2", split="train"
        )
        assert lineage.settle(copies, [row]).splits == {"normal-1": "train"}

    def test_when_no_patient_is_left_to_test_on_that_is_said(self):
        films = folder()
        rows = [
            EarlierFilm(
                name=f.name, sha256=f.sha256, patient_id=f.patient_id, split="train"
            )
            for f in films
        ]
        with pytest.raises(DatasetError, match="is left for the validation films"):
            deal(films, rows)
        # Patients of another place do not stand in for those of home.
        away = [
            replace(f, name=f"A/{f.name}", patient_id=f"A{f.patient_id}", place="A")
            for f in films
        ]
        away = [replace(f, sha256=f"a{f.sha256[1:]}") for f in away]
        with pytest.raises(DatasetError, match="is left for the validation films"):
            deal([*films, *away], rows)


@pytest.mark.parametrize("seed", range(150))
def test_what_any_ancestor_chose_or_learned_from_is_never_tested_on(seed):
    """Three models in a chain, each on its own mixture of films, copies, patients."""
    rng = np.random.default_rng(seed)
    contents, patients = rng.integers(150, 600), rng.integers(100, 300)
    rows, seen = [], []  # the last model's table; what each model used, by its split
    for model in range(3):
        films = []
        for i in range(rng.integers(60, 120)):
            # Patients and contents are drawn apart, so copies cross patients.
            number, patient = int(rng.integers(contents)), int(rng.integers(patients))
            one = film(number, patient, patient % 2)
            films.append(replace(one, name=f"{model}/{i}.png"))
        films = join_copies(films)
        try:
            splits, known = deal(films, rows, seed=model)
        except DatasetError as error:
            # Copies have tied nearly all patients together, which is said.
            assert "patient" in error.message
            return
        tested = splits["test"]
        for used in seen:
            assert not {f.sha256 for f in tested} & {f.sha256 for f in used}
            assert not {f.given_patient for f in tested} & {
                f.given_patient for f in used
            }
        seen.append([f for name in SPLITS if name != "test" for f in splits[name]])
        rows = table_of(splits, known)
        # Nor is anything called tested in the table that was learned from.
        called = {row.sha256 for row in rows if row.split == "test"}
        assert not called & {f.sha256 for used in seen for f in used}


class TestParse:
    def test_an_older_table_knows_patients_by_name_and_class(self):
        row = b"train/NORMAL/IM-0117-0001.jpeg," + b"a" * 64 + b",train\n"
        [one] = lineage.parse(TABLE + row)
        assert one.patient_id == patient_of("IM-0117-0001.jpeg", 0)
        assert (one.sha256, one.split) == ("a" * 64, "train")

    def test_a_table_with_patients_needs_no_class(self):
        table = b"film,sha256,split,patient\nx.png," + b"a" * 64 + b",test,p7\n"
        assert lineage.parse(table)[0].patient_id == "p7"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            TABLE,
            TABLE + b"x.png,aa,train\n",
            TABLE + b"NORMAL/x.png\n",
            b"a,b\n1,2\n",
            b"film,sha256,split\n\xff\xfe\x00,,\n",
        ],
        ids=["empty", "no rows", "no class", "short", "others", "bytes"],
    )
    def test_what_does_not_tell_whose_films_they_are_is_refused(self, content):
        with pytest.raises(ValueError, match="expected"):
            lineage.parse(content)
