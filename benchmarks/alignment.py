"""What an alignment without labels is worth, simulated on held-out patients.

    python -m benchmarks.alignment DATA_DIR [--draws 100] [--films 200] [--json]

The test patients' films in `DATA_DIR` are scored as they are and under shifts of
acquisition; sites are drawn from them at three shares of pneumonia. The home densities
are those of the validation and calibration patients, whom no draw holds. Of every shift
and share: sensitivity and specificity of the shipped and, in the median, of the aligned
threshold on all films of the shift, how often the intervals hold the place that a fit
with labels gives and the share, and how often nothing is proposed.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cxr.config import settings
from cxr.evaluation import alignment
from cxr.evaluation.alignment import Reference
from cxr.evaluation.calibration import logit
from cxr.models import inference, registry
from cxr.models.inference import Model
from cxr.robustness import films as film_sets
from cxr.robustness import shifts, subjects
from cxr.robustness.films import FilmSet
from cxr.robustness.subjects import Subject

SHARES = (0.05, 0.2, 0.6)
UNSHIFTED = "as they are"
CHOSEN = (
    "texture of the other class",
    "shape, texture and tone of it",
    "tone of the other class",
    "vignette, corners at half",
    "borders cropped, 1.25",
    "black borders, 8 %",
)


def main() -> None:
    """Prints a line for every shift and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    where = settings()
    model = inference.load(where.models_dir)
    split_of = registry.read_split(where.models_dir, model.card)
    everything = film_sets.load(
        options.data_dir, split_of, size=subjects.SIZE, cache_dir=where.cache_dir
    )
    tested = everything.at(everything.in_splits(["test"]))
    for line in lines(model, tested, draws=options.draws, films=options.films):
        print(json.dumps(line) if options.json else in_words(line), flush=True)


def lines(
    model: Model, tested: FilmSet, *, draws: int, films: int
) -> Iterator[dict[str, object]]:
    """Yields the figures of every shift and share."""
    home, subject = home_of(model), subjects.subject_of(model)
    threshold = float(logit(model.card.threshold.value))
    for name in (UNSHIFTED, *CHOSEN):
        scores = logits_under(subject, tested, name)
        place = labelled_place(home, tested, scores, threshold)
        for share in SHARES:
            yield {
                "shift": name,
                "share": share,
                "shipped": rates(tested, scores, threshold),
                **simulated(
                    home, tested, scores, threshold, place, share, draws, films
                ),
            }


def home_of(model: Model) -> Reference:
    """Returns the densities of the validation and calibration patients."""
    models_dir, card = settings().models_dir, model.card
    tables = [
        registry.read_scores(models_dir, card, split)
        for split in ("validation", "calibration")
    ]
    return alignment.reference(
        np.concatenate([t.labels for t in tables]),
        np.concatenate([card.calibration.scaled(t.logits) for t in tables]),
        threshold=float(logit(card.threshold.value)),
        groups=[patient for t in tables for patient in t.patients],
    )


def logits_under(subject: Subject, films: FilmSet, name: str) -> np.ndarray:
    """Returns the logit of the probability of each film under a shift."""
    if name == UNSHIFTED:
        probabilities = subject.probabilities(films.pixels)
    else:
        [shift] = [s for s in shifts.SHIFTS if s.name == name]
        probabilities = shifts.shifted_probabilities(subject, films, shift, seed=0)
    return logit(probabilities)


def labelled_place(
    home: Reference, films: FilmSet, scores: np.ndarray, threshold: float
) -> float:
    """Returns where the threshold lies among all films of a shift, by their labels."""
    return alignment.labelled_place(
        home.home, films.labels, scores, np.ones(len(films)), threshold
    )


def simulated(
    home: Reference,
    films: FilmSet,
    scores: np.ndarray,
    threshold: float,
    place: float,
    share: float,
    draws: int,
    size: int,
) -> dict[str, object]:
    """Returns what alignments of so many drawn sites are worth."""
    rng = np.random.default_rng(round(1000 * share))
    ill, well = np.flatnonzero(films.labels == 1), np.flatnonzero(films.labels == 0)
    found = []
    for seed in range(draws):
        k = rng.binomial(size, share)
        rows = np.concatenate([rng.choice(ill, k), rng.choice(well, size - k)])
        found.append(
            alignment.fit(
                home,
                scores[rows],
                threshold=threshold,
                groups=films.patients[rows],
                seed=seed,
            )
        )
    aligned = np.array([rates(films, scores, f.threshold.value) for f in found])
    return {
        "aligned": np.median(aligned, axis=0).round(4).tolist(),
        "threshold_held": np.mean(
            [f.threshold.low <= place <= f.threshold.high for f in found]
        ),
        "share_held": np.mean([f.share.low <= share <= f.share.high for f in found]),
        "nothing_proposed": np.mean([bool(f.doubts) for f in found]),
    }


def rates(films: FilmSet, scores: np.ndarray, threshold: float) -> list[float]:
    """Returns sensitivity and specificity on all films."""
    above = scores >= threshold
    return [
        float(above[films.labels == 1].mean()),
        float((~above)[films.labels == 0].mean()),
    ]


def in_words(line: dict[str, object]) -> str:
    """Returns a line of the table."""
    before, after = line["shipped"], line["aligned"]
    return (
        f"{line['shift']:32} {line['share']:4} shipped {before[0]:.3f}/{before[1]:.3f} "
        f"aligned {after[0]:.3f}/{after[1]:.3f} held {line['threshold_held']:.2f} "
        f"{line['share_held']:.2f} nothing {line['nothing_proposed']:.2f}"
    )


if __name__ == "__main__":
    main()
