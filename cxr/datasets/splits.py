"""Splits of a data set: patients stay together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.errors import DatasetError

SPLIT_SEED = 20261122  # models with the same one are held out from the same films
SPLITS = {"train": 0.68, "validation": 0.12, "calibration": 0.08, "test": 0.12}


HELD_OUT = "held-out"
NOTHING_SETTLED: Mapping[str, str] = MappingProxyType({})


def split_by_patient(
    films: Sequence[LabelledFilm],
    *,
    seed: int,
    fractions: dict[str, float] = SPLITS,
    settled: Mapping[str, str] = NOTHING_SETTLED,
) -> dict[str, list[LabelledFilm]]:
    """Returns train, validation, calibration and test films, no patient in two.

    Each place is dealt by itself, home first, so home's patients are where they would
    be without the others. Who is a patient of several places is dealt out at the first
    of them and is in that split everywhere.

    Patients with normal films, with pneumonia, and with both are shuffled and dealt out
    apart, by their number of films, so each split gets its fraction of each of the
    three to within one patient. The same films and seed give the same split on every
    machine, whatever the order of `films`. Patients that are settled go where they
    belong first, and the others fill up what is furthest behind.

    Args:
        films: of one data folder; those of a patient share `patient_id`.
        seed: of the shuffle.
        fractions: the share of the films that each split gets; they add up to 1.
        settled: the split of each patient that is bound to one, by `patient_id`.

    Raises:
        DatasetError: a class has too few patients of home to be in every split, or no
            film is of home.
    """
    places: dict[str, list[LabelledFilm]] = defaultdict(list)
    for film in films:
        places[film.place].append(film)
    if films and "" not in places:
        raise DatasetError(
            f"Every film is of another place ({', '.join(sorted(places))}). Leave the "
            "place empty for films of the one that calibration and threshold are for."
        )
    splits: dict[str, list[LabelledFilm]] = {name: [] for name in fractions}
    where = dict(settled)
    for place, theirs in sorted({"": [], **places}.items()):
        strata = _strata(theirs)
        if not place:
            _require_patients(strata, len(fractions))
        for stratum in strata.values():
            for name, dealt in _deal(stratum, fractions, seed, where).items():
                splits[name] += dealt
        where |= {f.patient_id: name for name, part in splits.items() for f in part}
    if settled:
        _require_both_classes(splits)
    return {name: sorted(part, key=lambda f: f.name) for name, part in splits.items()}


def _strata(
    films: Sequence[LabelledFilm],
) -> dict[tuple[int, ...], dict[str, list[LabelledFilm]]]:
    """Returns the films by patient, those of patients with the same labels together."""
    patients: dict[str, list[LabelledFilm]] = defaultdict(list)
    for film in films:
        patients[film.patient_id].append(film)
    # A patient who is dealt out whole can't be ill in one split and well in another.
    strata: dict[tuple[int, ...], dict[str, list[LabelledFilm]]] = defaultdict(dict)
    for patient, theirs in patients.items():
        strata[tuple(sorted({film.label for film in theirs}))][patient] = theirs
    return strata


def _require_patients(
    strata: Mapping[tuple[int, ...], Mapping[str, object]], fewest: int
) -> None:
    for label, name in enumerate(folders.CLASSES):
        number = sum(len(part) for labels, part in strata.items() if label in labels)
        if number < fewest:
            raise DatasetError(
                f"{name} has {number} patients; at least {fewest} are needed, one for "
                "each split."
            )


def _deal(
    patients: dict[str, list[LabelledFilm]],
    fractions: dict[str, float],
    seed: int,
    settled: Mapping[str, str],
) -> dict[str, list[LabelledFilm]]:
    order = sorted(set(patients) - set(settled))
    np.random.default_rng(seed).shuffle(order)
    total = sum(map(len, patients.values()))
    dealt: dict[str, list[LabelledFilm]] = {name: [] for name in fractions}
    for patient in sorted(set(patients) & set(settled)):
        dealt[settled[patient]] += patients[patient]
    for patient in order:
        # The split that is furthest behind its share takes the next patient.
        share = {name: len(dealt[name]) / total / fractions[name] for name in fractions}
        dealt[min(share, key=lambda name: share[name])] += patients[patient]
    return dealt


def _require_both_classes(splits: Mapping[str, Sequence[LabelledFilm]]) -> None:
    for name, part in splits.items():
        for label, of_class in enumerate(folders.CLASSES):
            if not any(film.label == label and not film.place for film in part):
                raise DatasetError(
                    f"No patient with {of_class} is left for the {name} films: the "
                    "model that this training goes on from knows the others. Add "
                    "films of new patients, or begin with other weights."
                )


def choose(
    films: Sequence[LabelledFilm], split: str | None, split_of: Mapping[str, str]
) -> list[LabelledFilm]:
    """Returns the films of one split.

    Args:
        films: of a data folder.
        split: a split of the folder itself; `held-out` for the patients on whom the
            model was tested and nothing was chosen; None for all films.
        split_of: the model's own record, split by SHA-256 of the film.

    Raises:
        DatasetError: there are none.
    """
    if split == HELD_OUT:
        films = folders.with_hashes(films)
    rows = rows_of(
        split,
        own=[film.split or "" for film in films],
        trained=[split_of.get(film.sha256, "") for film in films],
    )
    return [films[row] for row in rows]


def rows_of(
    split: str | None, *, own: Sequence[str], trained: Sequence[str]
) -> list[int]:
    """Returns which films are of one split, by their number.

    Args:
        split: as for `choose`.
        own: the split of the folder itself that each film is in; empty for none.
        trained: the split of the model's training that each film was in.

    Raises:
        DatasetError: there are none.
    """
    if split is None:
        return list(range(len(own)))
    if split == HELD_OUT:
        rows = [row for row, name in enumerate(trained) if name == "test"]
        why = "The model was not tested on any film of this folder."
    else:
        rows = [row for row, name in enumerate(own) if name == split]
        why = f"This folder has no films of the split {split}."
    if not rows:
        raise DatasetError(why)
    return rows
