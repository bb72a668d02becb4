"""The films behind a model, and what a split has to keep of them.

A training that goes on from a model deals that model's patients as they were. A film
is known by its content and by its patient, so a renamed copy and another film of the
same patient are known too. Where the two meet in one patient, the stricter split wins:
what was learned from is never tested on.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cxr import names
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.patients import Patients

# The stricter first: what may least be tested on.
STRICTEST = ("train", "validation", "calibration", "test")


@dataclass(frozen=True, kw_only=True)
class EarlierFilm:
    """A film that a model, or one that it goes on from, was made with.

    Attributes:
        name: the path below its data folder.
        sha256: of the file's bytes.
        patient_id: as its folder or manifest gave it.
        split: the one it was in.
    """

    name: str
    sha256: str
    patient_id: str
    split: str


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What earlier models leave to decide about a folder's films, and what not.

    Attributes:
        splits: by the patients of the folder that are known; the others are free.
        films: the earlier films, each in the split that its patient has now.
    """

    splits: Mapping[str, str]
    films: tuple[EarlierFilm, ...]

    def elsewhere(self, films: Iterable[LabelledFilm]) -> Iterator[EarlierFilm]:
        """Yields the earlier films that these do not stand for.

        One that is here under another patient is yielded: that patient was known too.
        """
        here = {(film.sha256, film.given_patient) for film in films}
        for film in self.films:
            if (film.sha256, film.patient_id) not in here:
                yield film


def parse(content: bytes) -> tuple[EarlierFilm, ...]:
    """Returns the films in the bytes of a model's `split.csv`.

    Tables of older models have no patients; there a film's name and class tell.

    Raises:
        ValueError: this is no such table, or it doesn't tell whose films they are.
    """
    rows = csv.DictReader(io.StringIO(names.decode(content), newline=""))
    try:
        films = tuple(
            EarlierFilm(
                name=row["film"],
                sha256=row["sha256"],
                patient_id=row.get("patient") or folders.patient_by_name(row["film"]),
                split=row["split"],
            )
            for row in rows
        )
    except (KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError("expected a table of films with their splits") from error
    if not films or any(None in (film.sha256, film.split) for film in films):
        raise ValueError("expected a hash and a split for each film")
    return films


def settle(films: Sequence[LabelledFilm], earlier: Sequence[EarlierFilm]) -> Settled:
    """Returns which split the patients of these films are bound to.

    Args:
        films: of a data folder, with their hashes; one without is known by its patient
            alone.
        earlier: the films behind the model that is gone on from.
    """
    whose = Patients()
    for film in films:
        whose.join(film.patient_id, film.given_patient)
        whose.note(film.sha256, film.patient_id)
    for known in earlier:
        whose.note(known.sha256, known.patient_id)
    strictest: dict[str, int] = {}
    for known in earlier:
        one = whose.find(known.patient_id)
        strictest[one] = min(_rank(known.split), strictest.get(one, len(STRICTEST)))
    splits = {}
    for film in films:
        if (one := whose.find(film.patient_id)) in strictest:
            splits[film.patient_id] = STRICTEST[strictest[one]]
    return Settled(
        splits=splits,
        films=tuple(
            replace(known, split=STRICTEST[strictest[whose.find(known.patient_id)]])
            for known in earlier
        ),
    )


def _rank(split: str) -> int:
    # A split of another name may have been learned from.
    return STRICTEST.index(split) if split in STRICTEST else 0
