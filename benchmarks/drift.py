"""Is it said in time that what is read has moved, and never before?

    python -m benchmarks.drift DATA_DIR [--seeds 20] [--share 0.3] [--write] [--json]

The films of the test patients in `DATA_DIR/chest_xray` are scored, gate and tone
included, as they are and under a tone that is off by a growing part of `FULL`: darker,
flatter, with less contrast, as an ageing detector or a changed processing would make
it. Places are drawn from that table, 2,000 films each, film by film: some where nothing
changes; some whose tone begins to slip with film 1,200 and is off by all of `FULL` 300
films later; some whose patients come to be ill twice as often with film 1,200.

Of each kind: in how many places something was said before film 1,200, in how many
within 200 films after it, and by which figure; and what differs before and after by the
fit of an alignment. The model's own films are those of the validation and calibration
patients, which no place draws.

`--write` measures the films that were held out from the model as they are, at full size
and through the gate, and puts how far they lie out into `cxr/reading/monitoring.json`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cxr import documents
from cxr.config import settings
from cxr.errors import ImageError
from cxr.evaluation import alignment_watch, drift
from cxr.evaluation.calibration import logit
from cxr.evaluation.drift import Drift, Expected, Stream
from cxr.films import changes
from cxr.films.changes import Draws
from cxr.films.decoding import DecoderPool
from cxr.models import home, inference, lungs, registry
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.reading import monitoring, scoring
from cxr.reading.monitoring import Measured
from cxr.robustness import films as film_sets
from cxr.robustness import subjects
from cxr.robustness.films import FilmSet

FULL = Draws(gamma=1.25, contrast=0.85, brightness=-8.0)
STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FILMS, BEGINS, GROWS, IN_TIME = 2000, 1200, 300, 200
APART = ("validation", "calibration")
NOTHING, TONE, PATIENTS = "nothing changes", "tone slips", "more pneumonia"


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Figures of films under each step, shape `(steps, n)`.

    Attributes:
        labels: 1 for pneumonia, shape `(n,)`.
        patients: of each film, shape `(n,)`.
        logits: of the calibrated probability.
        distance: of the gate.
        refused: by the gate.
        brightness: mean grey level.
        contrast: standard deviation of the grey levels.
    """

    labels: np.ndarray
    patients: np.ndarray
    logits: np.ndarray
    distance: np.ndarray
    refused: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray


def main() -> None:
    """Prints a line for each kind of place, and with `--write` measures the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    where = settings()
    model = inference.load(where.models_dir)
    gate = lungs.load(where.models_dir)
    folder = options.data_dir / "chest_xray"
    if options.write:
        write(folder, model, gate)
    split_of = registry.read_split(where.models_dir, model.card)
    films = film_sets.load(
        folder, split_of, size=subjects.SIZE, cache_dir=where.cache_dir
    )
    own = scored(films.at(films.in_splits(APART)), model, gate, (0.0,))
    table = scored(films.at(films.in_splits(["test"])), model, gate, STEPS)
    known = expected(own, model)
    reference = home.reference(where.models_dir, model.card, APART)
    for kind in (NOTHING, TONE, PATIENTS):
        places = [
            place(table, model, known, reference, kind, options.share, seed)
            for seed in range(options.seeds)
        ]
        line = {"kind": kind, **summary(places)}
        print(json.dumps(line) if options.json else in_words(line), flush=True)


def scored(
    films: FilmSet, model: Model, gate: LungNetwork, steps: tuple[float, ...]
) -> Table:
    """Returns the figures of films under each step of the change of tone."""
    subject, columns = subjects.subject_of(model), []
    for step in steps:
        draws = Draws(
            gamma=FULL.gamma**step,
            contrast=FULL.contrast**step,
            brightness=FULL.brightness * step,
        )
        pixels = np.stack(
            [np.rint(changes.tone(p.astype(np.float32), draws)) for p in films.pixels]
        ).astype(np.uint8)
        likeness = list(likenesses(pixels, gate))
        columns.append(
            (
                model.card.calibration.scaled(subject.logits(pixels)),
                [each.unlike for each in likeness],
                [each.frontal < gate.card.gate.least_frontal for each in likeness],
                [float(film.mean()) for film in pixels],
                [float(film.std()) for film in pixels],
            )
        )
    logits, distance, refused, brightness, contrast = (
        np.array(column) for column in zip(*columns, strict=True)
    )
    return Table(
        labels=films.labels,
        patients=films.patients,
        logits=logits,
        distance=distance,
        refused=refused,
        brightness=brightness,
        contrast=contrast,
    )


def likenesses(pixels: np.ndarray, gate: LungNetwork) -> Iterator[lungs.Likeness]:
    """Yields what the gate says of each film."""
    for start in range(0, len(pixels), subjects.PORTION):
        part = pixels[start : start + subjects.PORTION].astype(np.float32)
        yield from gate.likeness(gate(np.stack([gate.prepare(f) for f in part])).pooled)


def expected(own: Table, model: Model) -> Expected:
    """Returns what the model's own films lead to expect at the shipped threshold."""
    groups = own.patients
    return Expected(
        unanswered=drift.larger_share(
            own.labels, unanswered(own, model)[0], groups=groups
        ),
        films=own.labels.size,
        far=drift.far(own.labels, own.distance[0], groups=groups),
    )


def unanswered(table: Table, model: Model) -> np.ndarray:
    """Returns which films get no answer or are refused, shape `(steps, n)`."""
    low, high = logit(model.card.band)
    return table.refused | ((table.logits >= low) & (table.logits < high))


def place(
    table: Table,
    model: Model,
    known: Expected,
    reference: alignment_watch.Reference,
    kind: str,
    share: float,
    seed: int,
) -> dict[str, object]:
    """Returns what is said at one place: by each figure when, and what differs."""
    rng = np.random.default_rng(seed)
    row = np.arange(FILMS)
    late = row >= BEGINS
    shares = np.where(late & (kind == PATIENTS), 2 * share, share)
    ill = rng.random(FILMS) < shares
    film = np.where(
        ill,
        rng.choice(np.flatnonzero(table.labels == 1), FILMS),
        rng.choice(np.flatnonzero(table.labels == 0), FILMS),
    )
    grown = np.clip((row - BEGINS) / GROWS, 0, 1) * (kind == TONE)
    step = np.rint(grown * (len(STEPS) - 1)).astype(int)
    left = table.refused[step, film]
    logits = np.where(left, np.nan, table.logits[step, film])
    threshold = float(logit(model.card.threshold.value))
    found = drift.drifts(
        Stream(
            logits=logits,
            distance=table.distance[step, film],
            unanswered=unanswered(table, model)[step, film],
            brightness=table.brightness[step, film],
            contrast=table.contrast[step, film],
        ),
        threshold=threshold,
        home=known,
        seed=seed,
    )
    scores = np.isfinite(logits)
    placed = alignment_watch.place(reference, logits[scores], threshold=threshold)
    apart = alignment_watch.apart(
        reference, logits[scores & ~late], logits[scores & late], threshold=threshold
    )
    said = {f"{each.figure} against {each.against}": when(each) for each in found}
    at = None if placed.said_at is None else int(np.flatnonzero(scores)[placed.said_at])
    said["place of the threshold"] = None if at is None else at + 1
    return {
        "said": said,
        "since": since(found),
        "apart": apart and (apart.share, apart.place),
    }


def when(found: Drift) -> int | None:
    """Returns the number of the film, from 1, with which it was said."""
    return None if found.said_at is None else found.said_at + 1


def since(found: tuple[Drift, ...]) -> int | None:
    """Returns since which film the figure moved that was said first."""
    said = [each for each in found if each.said_at is not None]
    first = min(said, key=lambda each: each.said_at or 0, default=None)
    return None if first is None or first.since is None else first.since + 1


def summary(places: list[dict[str, object]]) -> dict[str, object]:
    """Returns the figures of one kind of place."""
    firsts, figures = [], Counter()
    for each in places:
        said = {name: film for name, film in each["said"].items() if film is not None}
        firsts.append(min(said.values(), default=None))
        figures.update(said.keys())
    known = [film for film in firsts if film is not None]
    after = [film - BEGINS for film in known if film > BEGINS]
    return {
        "places": len(places),
        "before": sum(film <= BEGINS for film in known),
        "in_time": sum(delay <= IN_TIME for delay in after),
        "median_delay": float(np.median(after)) if after else None,
        "longest_delay": max(after, default=None),
        "since": [each["since"] for each in places],
        "figures": dict(figures.most_common()),
        "share_differs": sum(bool(e["apart"] and e["apart"][0]) for e in places),
        "place_differs": sum(bool(e["apart"] and e["apart"][1]) for e in places),
    }


def in_words(line: dict[str, object]) -> str:
    """Returns the lines on one kind of place."""
    words = (
        f"{line['kind']}: {line['places']} places; said before film {BEGINS:,} in "
        f"{line['before']}, within {IN_TIME} films after it in {line['in_time']} "
        f"(median {line['median_delay']}, longest {line['longest_delay']}); share "
        f"differs in {line['share_differs']}, place of the threshold in "
        f"{line['place_differs']}"
    )
    figures = (f"    {n:3} {name}" for name, n in line["figures"].items())
    return "\n".join([words, *figures])


def write(folder: Path, model: Model, gate: LungNetwork) -> None:
    """Measures the films held out from the model through the gate, and stores it."""
    models_dir = settings().models_dir
    own = home.films(models_dir, model.card)
    with DecoderPool(settings().decoder_workers) as pool:
        files = scoring.contents([folder / name for name in own.names])
        readings = list(scoring.score(model, pool, files, lungs=gate))
    asked = np.array([r.likeness is not None for r in readings])
    refused = np.array([isinstance(r.result, ImageError) for r in readings])
    distance = [r.likeness.unlike for r in readings if r.likeness is not None]
    groups = np.array(own.patients)
    measured = Measured(
        model_id=model.card.model_id,
        lungs_card_sha256=registry.card_sha256(models_dir, registry.LUNGS),
        far=drift.far(own.labels[asked], distance, groups=groups[asked]),
        refused=drift.larger_share(own.labels, refused, groups=groups),
    )
    models = {**monitoring.measurements().models, model.sha256: measured}
    documents.replace(
        monitoring.MEASURED, asdict(monitoring.Measurements(models=models))
    )
    print(measured)


if __name__ == "__main__":
    main()
