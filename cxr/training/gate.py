"""The lung network's gate: films and other pictures in, a gate and its worth out.

It owns how the gate is fitted, how its threshold is chosen, and how it is measured on
patients that it has not seen.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.datasets import folders
from cxr.datasets.splits import SPLIT_SEED, split_by_patient
from cxr.evaluation.estimates import Estimate, proportion
from cxr.models.lungs import SIZE
from cxr.models.novelty import (
    ALIKE,
    FRONTAL,
    KINDS,
    LIMIT,
    SOMETHING_ELSE,
    UNLIKE,
    Gate,
    GateRecord,
    frontal_logits,
)
from cxr.training import others
from cxr.training.outlined import small

HOME = "training films"
UNITS, PENALTY, ROUNDS = 48, 3e-3, 30  # of the fit
DRAWS, TEST_DRAWS = 700, 200  # pictures of each kind
LOST_AT_HOME, LOST_ELSEWHERE = 0.005, 0.03  # of the films that choose the threshold

Films = NDArray[np.uint8]
Features = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaceFilms:
    """Upright frontal films of one place and split.

    Attributes:
        films: `uint8`, `(n, 128, 128)`, as a network sees them.
        patients: of each film, `(n,)`.
    """

    films: Films
    patients: NDArray[np.str_]


# By split, then by place.
Parts = dict[str, dict[str, PlaceFilms]]


def read_places(source: Path, elsewhere: Path | None) -> Parts:
    """Returns the films of home and of other places, by split, no patient in two.

    Args:
        source: the data folder or manifest that the networks are trained on.
        elsewhere: a manifest or folder of upright frontal films of other patients; the
            first folder of a film's name says which place. None for none.

    Raises:
        DatasetError: there are no films.
    """
    parts: Parts = {}
    for films, home in ((source, True), (elsewhere, False)):
        if films is None:
            continue
        scanned = folders.scan(films)
        if home:
            scanned = folders.at_home(scanned)
        scanned = [replace(film, place="") for film in scanned]
        listed = folders.join_copies(folders.with_hashes(scanned))
        for split, of_split in split_by_patient(listed, seed=SPLIT_SEED).items():
            by_place: dict[str, list[folders.LabelledFilm]] = {}
            for film in of_split:
                place = HOME if home else film.name.split("/")[0]
                by_place.setdefault(place, []).append(film)
            read = {place: _read(group) for place, group in by_place.items()}
            parts.setdefault(split, {}).update(read)
    return parts


def _read(films: list[folders.LabelledFilm]) -> PlaceFilms:
    pictures, patients = [], []
    for film in films:
        picture = small(film)
        if picture is not None:
            pictures.append(picture)
            patients.append(film.patient_id)
    read = np.asarray(pictures, np.uint8).reshape(len(pictures), SIZE, SIZE)
    return PlaceFilms(films=read, patients=np.array(patients))


def fit(parts: Parts, features: Features, *, seed: int) -> tuple[Gate, GateRecord]:
    """Returns a gate for a lung network's features, and what it is worth.

    Args:
        parts: of `read_places`.
        features: from pictures `(n, 128, 128)` to features `(n, channels)`.
        seed: of the pictures that are drawn, and of the fit.
    """
    rng = np.random.default_rng(seed)
    shown = dict(_accepted(parts["train"], rng))
    for name, pictures in _rejected(parts["train"], DRAWS, rng):
        kind = name if name in KINDS else SOMETHING_ELSE
        shown[kind] = [*shown.get(kind, []), *pictures]
    counts = {kind: len(shown[kind]) for kind in KINDS if kind in shown}
    pooled = np.concatenate([features(np.stack(shown[kind])) for kind in counts])
    kinds = np.repeat([KINDS.index(kind) for kind in counts], list(counts.values()))
    gate = _fitted(pooled, kinds, seed)
    least = _least_frontal(parts, gate, features)
    return gate, _measured(parts, gate, features, least, counts, seed)


def _accepted(
    places: dict[str, PlaceFilms], rng: np.random.Generator
) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """Yields upright frontal films by kind: as they are, and as others might show them.

    There are fewer from other places: each is changed twice.
    """
    elsewhere = [place.films for name, place in places.items() if name != HOME]
    for kind, films, draws in (
        (ALIKE, places[HOME].films, 1),
        (UNLIKE, np.concatenate(elsewhere) if elsewhere else None, 2),
    ):
        if films is not None:
            changed = [others.seen(film, rng) for _ in range(draws) for film in films]
            yield kind, [*films.astype(np.float32), *changed]


def _rejected(
    places: dict[str, PlaceFilms], draws: int, rng: np.random.Generator
) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """Yields pictures that are no upright frontal film, by what they are."""
    pool = [place.films for place in places.values()]

    def film() -> Films:
        place = pool[int(rng.integers(len(pool)))]
        return place[int(rng.integers(len(place)))]

    for _ in range(draws // 2):
        for name, picture in others.turned(film()):
            yield name, [others.seen(picture, rng)]
    for name, of_film in others.OF_FILMS.items():
        yield name, [others.seen(of_film(film(), rng), rng) for _ in range(draws)]
    for name, drawn in others.DRAWN.items():
        yield name, [others.seen(drawn(rng), rng) for _ in range(draws)]


def _fitted(pooled: NDArray[np.float32], kinds: NDArray[np.int_], seed: int) -> Gate:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    frontal = pooled[kinds < FRONTAL].astype(np.float64)
    mean, spread = frontal.mean(axis=0), frontal.std(axis=0)
    # A feature that never changes says nothing and must not divide by 0.
    spread[spread < 1e-6] = 1.0
    z = np.clip((pooled - mean) / spread, -LIMIT, LIMIT)
    layers = MLPClassifier(
        (UNITS,), alpha=PENALTY, max_iter=ROUNDS, batch_size=256, random_state=seed
    )
    with warnings.catch_warnings():
        # The rounds are few on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        layers.fit(z, kinds)
    output, output_bias = layers.coefs_[1], layers.intercepts_[1]
    missing = [k for k in range(len(KINDS)) if k not in layers.classes_]
    for kind in missing:  # a kind without a film: as good as impossible
        output = np.insert(output, kind, 0.0, axis=1)
        output_bias = np.insert(output_bias, kind, -100.0)
    return Gate(
        mean=mean,
        spread=spread,
        hidden=layers.coefs_[0],
        hidden_bias=layers.intercepts_[0],
        output=output,
        output_bias=output_bias,
    )


def _least_frontal(parts: Parts, gate: Gate, features: Features) -> float:
    """Returns the lowest logit that is scored, from films that did not fit the gate."""
    lowest = []
    for place in parts["validation"]:
        held = [parts[split][place].films for split in ("validation", "calibration")]
        logits = _logits(gate, features, np.concatenate(held))
        lost = LOST_AT_HOME if place == HOME else LOST_ELSEWHERE
        lowest.append(np.quantile(logits, lost))
    return float(min(lowest))


def _measured(
    parts: Parts,
    gate: Gate,
    features: Features,
    least: float,
    counts: dict[str, int],
    seed: int,
) -> GateRecord:
    wrong, unlike = {}, {}
    for place, films in parts["test"].items():
        scores = gate.scores(features(films.films.astype(np.float32)))
        codes = np.unique(films.patients, return_inverse=True)[1]
        wrong[place] = _share(frontal_logits(scores) < least, codes)
        unlike[place] = _share(scores[:, 1] > scores[:, 0], codes)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    rng = np.random.default_rng([seed, 1])
    for name, pictures in _rejected(parts["test"], TEST_DRAWS, rng):
        refused = _logits(gate, features, np.stack(pictures)) < least
        found.setdefault(name, []).append(refused)
    return GateRecord(
        least_frontal=least,
        rule=(
            f"the lowest logit that refuses at most {LOST_AT_HOME:.1%} of the "
            "validation and calibration films, and at most "
            f"{LOST_ELSEWHERE:.0%} of those of any other place"
        ),
        source=", ".join(place for place in parts["test"] if place != HOME) or "none",
        films=counts,
        false_refusals=wrong,
        unlike=unlike,
        refused={name: _share(np.concatenate(r)) for name, r in found.items()},
    )


def _logits(
    gate: Gate, features: Features, films: NDArray[np.generic]
) -> NDArray[np.float64]:
    return frontal_logits(gate.scores(features(films.astype(np.float32))))


def _share(
    events: NDArray[np.bool_], patients: NDArray[np.int64] | None = None
) -> Estimate:
    return proportion(events, np.ones(len(events), np.bool_), patients)
