"""Is the zone right in which the evidence is said to lie?

    python -m benchmarks.zones DATA_DIR [--model ID] [--write]

Normal films whose lungs somebody outlined (`DATA_DIR/lungs`) get a planted opacity: a
zone is filled, with soft edges and texture, up to the grey of the densest lung. On the
validation films it is measured what covering a zone does to a film without an opacity,
and chosen how far a zone must lead to be named; `--write` puts both into
`cxr/reading/zones.json`. On the test films named zones are held against the planted.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr import documents
from cxr.config import settings
from cxr.errors import ImageError
from cxr.films.film import read_film
from cxr.models import inference, lungs, registry
from cxr.models.inference import Model
from cxr.models.lungs import Lungs
from cxr.reading import zones
from cxr.reading.zones import ZONES, Baseline

RIGHT = 0.9  # of the named zones on validation films
Drops = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A film with an opacity: where it is, and what covering each zone did."""

    zone: str
    drops: Drops
    by_heat: str
    probability: float


def main() -> None:
    """Measures the baseline and the lead, and what they are worth on test films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    models_dir = settings().models_dir
    model = inference.load(models_dir, options.model)
    chosen_on = list(outlined(models_dir, model, options.data_dir, "validation"))
    baseline = measured(model, chosen_on)
    tested_on = list(outlined(models_dir, model, options.data_dir, "test"))
    planted = planted_in(model, tested_on)
    tested = report(planted, baseline, model)
    print(f"test: {tested}")
    if options.write:
        baseline = dataclasses.replace(
            baseline,
            tested=int(tested["films"]),
            named=int(tested["named"]),
            right=int(tested["named_right"]),
        )
        models = zones.baselines().models | {model.sha256: baseline}
        document = dataclasses.asdict(zones.Baselines(models=models))
        documents.replace(zones.BASELINES, document)


def outlined(
    models_dir: Path, model: Model, data_dir: Path, split: str
) -> Iterator[tuple[np.ndarray, Lungs]]:
    """Yields the pixels and drawn lungs of a split's normal films, one a patient."""
    scores = registry.read_scores(models_dir, model.card, split)
    seen = set()
    for name, label, patient in zip(
        scores.names, scores.labels, scores.patients, strict=True
    ):
        mask = data_dir / "lungs" / f"{Path(name).stem}.png"
        if label or patient in seen or not mask.exists():
            continue
        seen.add(patient)
        drawn = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        share = cv2.resize(
            drawn / drawn.max(), (128, 128), interpolation=cv2.INTER_AREA
        )
        both = lungs.outline(share)
        if both.right.any() and both.left.any():
            path = data_dir / "chest_xray" / name
            yield read_film(path.read_bytes()).pixels, both


def plant(
    pixels: np.ndarray, both: Lungs, zone: str, rng: np.random.Generator
) -> np.ndarray:
    """Returns the film with a zone filled by an opacity, in whole grey levels."""
    n = pixels.shape[0]

    def texture(scale: float) -> np.ndarray:
        noise = cv2.GaussianBlur(rng.standard_normal((n, n)), (0, 0), n * scale)
        return noise / noise.std()

    size = (n, n)
    lung = cv2.resize(both.both.astype(np.float64), size)
    filled = cv2.resize(zones.cut(both)[zone].astype(np.float64), size)
    spread, strength = rng.uniform(0.025, 0.05), rng.uniform(0.6, 0.95)
    weight = 1.3 * cv2.GaussianBlur(filled, (0, 0), n * spread) - 0.1
    weight = np.clip(weight + 0.12 * texture(0.035), 0, 1) * strength
    weight *= cv2.GaussianBlur(lung, (0, 0), n * 0.012)
    dense = np.percentile(pixels[lung > 0.5], 96) + 5 * texture(0.01)
    planted = pixels + (dense - pixels) * weight
    return np.rint(np.clip(planted, 0, 255)).astype(np.float32)


def plant_and_cover(
    model: Model, pixels: np.ndarray, both: Lungs, zone: str, *, seed: int
) -> Planted:
    """Returns what covering each zone does to a film with a planted opacity."""
    film = plant(pixels, both, zone, np.random.default_rng(seed))
    [prediction] = model.predict_inputs([model.network.prepare(film)])
    if isinstance(prediction, ImageError):
        raise prediction
    heat, _ = zones.heat_by_zone(prediction.activation_map, both)
    return Planted(
        zone=zone,
        drops=zones.drops(film, both, model),
        by_heat=max(heat, key=lambda name: heat[name]),
        probability=prediction.probability,
    )


def planted_in(model: Model, films: list[tuple[np.ndarray, Lungs]]) -> list[Planted]:
    """Returns what covering does to films with an opacity, each film in three zones.

    Films take turns: right upper, right lower and left middle zone, or the others.
    """
    return [
        plant_and_cover(model, pixels, both, zone, seed=6 * i + ZONES.index(zone))
        for i, (pixels, both) in enumerate(films)
        for zone in ZONES[i % 2 :: 2]
    ]


def measured(model: Model, films: list[tuple[np.ndarray, Lungs]]) -> Baseline:
    """Returns the baseline of validation films, and prints what it is worth there."""
    bare = [zones.drops(pixels, both, model) for pixels, both in films]
    planted = planted_in(model, films)
    baseline = Baseline(
        model_id=model.card.model_id,
        mean=_by_zone(bare, lambda values: float(np.mean(values))),
        spread=_by_zone(bare, lambda values: float(np.std(values, ddof=1))),
        lead=0.0,
        films=len(bare),
        planted=len(planted),
        rule=(
            f"the smallest lead with which at least {RIGHT:.0%} of the named zones are "
            "those of the planted opacity"
        ),
        split="validation",
        tested=0,
        named=0,
        right=0,
    )
    leads = _leads(planted, baseline)
    baseline = dataclasses.replace(baseline, lead=chosen_lead(leads))
    print(f"validation: {report(planted, baseline, model)}")
    return baseline


def chosen_lead(leads: list[tuple[float, bool]]) -> float:
    """Returns the smallest lead from which on enough of the named zones are right.

    Args:
        leads: of each film, how far its first zone leads and whether it is right.

    Raises:
        ValueError: with no lead are enough of them right.
    """
    ordered = sorted(leads)
    right = np.array([is_right for _, is_right in ordered], float)
    from_here = right[::-1].cumsum()[::-1] / np.arange(len(right), 0, -1)
    enough = np.flatnonzero(from_here >= RIGHT)
    if not enough.size:
        raise ValueError("expected zones that are mostly right, received none")
    return float(ordered[enough[0]][0])


def report(
    planted: list[Planted], baseline: Baseline, model: Model
) -> dict[str, float]:
    """Returns the figures: how often a zone is named, and how often it is right."""
    leads = _leads(planted, baseline)
    named = [right for ahead, right in leads if ahead >= baseline.lead]
    above = [p.probability >= model.card.threshold.value for p in planted]
    return {
        "films": len(planted),
        "above_threshold": sum(above),
        "right_by_heat": sum(p.by_heat == p.zone for p in planted),
        "right_if_always_named": sum(right for _, right in leads),
        "lead": baseline.lead,
        "named": len(named),
        "named_right": sum(named),
    }


def _leads(planted: list[Planted], baseline: Baseline) -> list[tuple[float, bool]]:
    found = []
    for film in planted:
        zone, ahead = zones.leader(zones.standardised(film.drops, baseline))
        found.append((ahead, zone == film.zone))
    return found


def _by_zone(bare, summary) -> dict[str, dict[str, float]]:
    return {
        cover: {zone: summary([drops[cover][zone] for drops in bare]) for zone in ZONES}
        for cover in zones.COVERS
    }


if __name__ == "__main__":
    main()
