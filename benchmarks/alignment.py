"""What an alignment without labels is worth, simulated on held-out patients.

    python -m benchmarks.alignment DATA_DIR [--draws 100] [--films 200] [--json]
                                   [--every-shift]

The test patients' films in `DATA_DIR` are scored as they are and under shifts of
acquisition; sites are drawn from them at three shares of pneumonia. Then sites are
drawn from the model's test films of other places, if it has any; and sites that nobody
could align: too few films, films that show next to nothing. The densities are those of
the validation and calibration patients, whom no draw holds.

Of every kind of site and share: sensitivity and specificity of the shipped and, in the
median, of the aligned threshold on all its films; how often the intervals hold the
place that a fit with labels gives and the share; how often nothing is proposed; how
often a fit is wrong (its sensitivity is lower by more than `FAR_OFF` than that of the
shipped threshold on films as they are, of the same place), and in how many of these
nothing is proposed.

With `--every-shift` only the films of the test patients are drawn from, as they are and
under every shift of the suite, at the share of pneumonia that they have, and the last
column says whether the aligned threshold holds the suite's bars.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr.config import settings
from cxr.evaluation import alignment
from cxr.evaluation.alignment import Reference
from cxr.evaluation.calibration import logit
from cxr.models import home, inference, registry
from cxr.models.inference import Model
from cxr.models.scores import PLACES
from cxr.robustness import films as film_sets
from cxr.robustness import shifts, subjects
from cxr.robustness.films import FilmSet
from cxr.robustness.shifts import Shift

SHARES = (0.05, 0.2, 0.6)
APART = ("validation", "calibration")
UNSHIFTED = "as they are"
CHOSEN = (
    "texture of the other class",
    "shape, texture and tone of it",
    "tone of the other class",
    "vignette, corners at half",
    "borders cropped, 1.25",
    "black borders, 8 %",
)
FEW, BLURRED = "60 films as they are", "films blurred by 5 pixels"
FAR_OFF = 0.03


@dataclass(frozen=True, kw_only=True)
class Site:
    """A kind of site: the films that its patients are drawn from.

    Attributes:
        name: what it is.
        labels: 1 for pneumonia, shape `(n,)`.
        logits: of the probabilities, shape `(n,)`.
        patients: of each film, shape `(n,)`.
        films: that are drawn.
        elsewhere: whether its films are of another place; what a fit does to them is
            held against the shipped threshold there.
    """

    name: str
    labels: np.ndarray
    logits: np.ndarray
    patients: np.ndarray
    films: int
    elsewhere: bool = False

    def rates(self, threshold: float) -> list[float]:
        """Returns sensitivity and specificity on all films."""
        above = self.logits >= threshold
        return [
            float(above[self.labels == 1].mean()),
            float((~above)[self.labels == 0].mean()),
        ]


def main() -> None:
    """Prints a line for every kind of site and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--every-shift", action="store_true")
    options = parser.parse_args()
    where = settings()
    model = inference.load(where.models_dir)
    split_of = registry.read_split(where.models_dir, model.card)
    everything = film_sets.load(
        options.data_dir, split_of, size=subjects.SIZE, cache_dir=where.cache_dir
    )
    tested = everything.at(everything.in_splits(["test"]))
    of = every_shift if options.every_shift else lines
    for line in of(model, tested, draws=options.draws, films=options.films):
        print(json.dumps(line) if options.json else in_words(line), flush=True)


def lines(
    model: Model, tested: FilmSet, *, draws: int, films: int
) -> Iterator[dict[str, object]]:
    """Yields the figures of every kind of site and share."""
    known = home.reference(settings().models_dir, model.card, APART)
    threshold = float(logit(model.card.threshold.value))
    usual = None
    for site in all_sites(model, tested, films):
        shipped = site.rates(threshold)
        usual = usual or shipped[0]
        expected = shipped[0] if site.elsewhere else usual
        for share in SHARES:
            yield {
                "site": site.name,
                "share": share,
                "shipped": shipped,
                **simulated(known, site, threshold, share, draws, expected),
            }


def every_shift(
    model: Model, tested: FilmSet, *, draws: int, films: int
) -> Iterator[dict[str, object]]:
    """Yields the figures of every shift of the suite, and whether its bars hold."""
    known = home.reference(settings().models_dir, model.card, APART)
    threshold = float(logit(model.card.threshold.value))
    share = float(tested.labels.mean())
    bars = shifts.LEAST_SENSITIVITY, shifts.LEAST_SPECIFICITY
    for site in shifted_sites(model, tested, films, shifts.SHIFTS):
        usual = site.rates(threshold)
        found = simulated(known, site, threshold, share, draws, usual[0])
        passed = np.greater_equal(found["aligned"], bars).all()
        yield {
            "site": site.name,
            "share": round(share, 2),
            "shipped": usual,
            **found,
            "passed": bool(passed),
        }


def all_sites(model: Model, tested: FilmSet, films: int) -> Iterator[Site]:
    """Yields the kinds of sites; the films as they are first."""
    chosen = [shift for shift in shifts.SHIFTS if shift.name in CHOSEN]
    yield from shifted_sites(model, tested, films, chosen)
    yield from elsewhere(model, films)
    yield site_of(model, tested, FEW, tested.pixels, 60)
    blurred = np.stack([cv2.GaussianBlur(p, (0, 0), 5) for p in tested.pixels])
    yield site_of(model, tested, BLURRED, blurred, films)


def shifted_sites(
    model: Model, tested: FilmSet, films: int, chosen: Sequence[Shift]
) -> Iterator[Site]:
    """Yields the test films as they are, then under each shift."""
    yield site_of(model, tested, UNSHIFTED, tested.pixels, films)
    for shift in chosen:
        rows = range(len(tested))
        shifted = [shifts.shifted(tested, row, shift, seed=0) for row in rows]
        yield site_of(model, tested, shift.name, np.stack(shifted), films)


def site_of(
    model: Model, tested: FilmSet, name: str, pixels: np.ndarray, films: int
) -> Site:
    """Returns the site whose films are those of the test patients, changed."""
    return Site(
        name=name,
        labels=tested.labels,
        logits=logit(subjects.subject_of(model).probabilities(pixels)),
        patients=tested.patients,
        films=films,
    )


def elsewhere(model: Model, films: int) -> Iterator[Site]:
    """Yields the model's test films of other places, by the folder they are in.

    A place with films of one class is joined with the normal or ill films of all.
    """
    card = model.card
    if PLACES not in card.files:
        return
    stored = registry.read_scores(settings().models_dir, card, "test", table=PLACES)
    places = np.array([name.split("/")[0] for name in stored.names])
    for place in np.unique(places):
        chosen = places == place
        for label in (0, 1):
            if not (stored.labels[chosen] == label).any():
                chosen = chosen | (stored.labels == label)
        yield Site(
            name=f"test films of {place}",
            labels=stored.labels[chosen],
            logits=card.calibration.scaled(stored.logits[chosen]),
            patients=np.array(stored.patients)[chosen],
            films=films,
            elsewhere=True,
        )


def simulated(
    home: Reference,
    site: Site,
    threshold: float,
    share: float,
    draws: int,
    usual: float,
) -> dict[str, object]:
    """Returns what alignments of so many drawn sites are worth."""
    rng = np.random.default_rng(round(1000 * share))
    ill, well = np.flatnonzero(site.labels == 1), np.flatnonzero(site.labels == 0)
    found = []
    for seed in range(draws):
        k = rng.binomial(site.films, share)
        rows = np.concatenate([rng.choice(ill, k), rng.choice(well, site.films - k)])
        found.append(
            alignment.fit(
                home,
                site.logits[rows],
                threshold=threshold,
                groups=site.patients[rows],
                seed=seed,
            )
        )
    aligned = np.array([site.rates(f.threshold.value) for f in found])
    refused = np.array([bool(f.doubts) for f in found])
    wrong = aligned[:, 0] < usual - FAR_OFF
    places = [
        alignment.labelled_place(
            known, site.labels, site.logits, np.ones(site.labels.size), threshold
        )
        for known in home.kinds
    ]
    held = [f.threshold.low <= places[f.kind] <= f.threshold.high for f in found]
    return {
        "aligned": np.median(aligned, axis=0).round(4).tolist(),
        "threshold_held": np.mean(held),
        "share_held": np.mean([f.share.low <= share <= f.share.high for f in found]),
        "nothing_proposed": refused.mean(),
        "wrong": wrong.mean(),
        "wrong_and_nothing_proposed": refused[wrong].mean() if wrong.any() else None,
    }


def in_words(line: dict[str, object]) -> str:
    """Returns a line of the table."""
    before, after = line["shipped"], line["aligned"]
    said = line["wrong_and_nothing_proposed"]
    return (
        f"{line['site']:32} {line['share']:4} shipped {before[0]:.3f}/{before[1]:.3f} "
        f"aligned {after[0]:.3f}/{after[1]:.3f} held {line['threshold_held']:.2f} "
        f"{line['share_held']:.2f} nothing {line['nothing_proposed']:.2f} wrong "
        f"{line['wrong']:.2f}"
        + ("" if said is None else f" of which said {said:.2f}")
        + {None: "", True: " passed", False: " missed"}[line.get("passed")]
    )


if __name__ == "__main__":
    main()
