"""In which zone of which lung the evidence lies.

It owns the six zones, the share of a heat map's heat in each, and the trial that names
one: each zone in turn is covered, and it is seen by how much the score falls. The heat
map alone names no zone: the shipped network's has 7 by 7 cells, each of which has seen
nearly the whole film, and its heat gathers in the middle wherever an opacity lies.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ImageError, ModelError
from cxr.films import preparation
from cxr.models.inference import Model
from cxr.models.lungs import Lungs, Mask
from cxr.reading.scoring import Reading

Pixels = NDArray[np.float32]

HEIGHTS = ("upper", "middle", "lower")
ZONES = tuple(f"{side} {at} zone" for side in ("right", "left") for at in HEIGHTS)
NO_EVIDENCE = "no evidence"
NO_SINGLE_ZONE = "no single zone"
OUTSIDE = "outside the lungs"

BASELINES = Path(__file__).with_suffix(".json")
COVERS = ("dark lung", "the other lung")
_DARK_PERCENTILE = 25  # of the grey levels in the lungs
_SOFTNESS = 0.02  # of the film's edge: a hard edge is a finding of its own


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where in the lungs a score comes from.

    Attributes:
        zone: one of `ZONES`; `NO_SINGLE_ZONE` if none leads clearly; `OUTSIDE` if the
            heat is denser outside the lungs than inside, which heat without aim would
            not be; `NO_EVIDENCE` if nothing raised the score.
        inside: share of the positive heat that lies in the lungs, `[0, 1]`. In 60 test
            films with pneumonia it was 0.44 in the median, since each cell of the map
            reaches over the edge of a lung.
        area: share of the film that the lungs are, `[0, 1]`.
        heat: share of the positive heat by zone, `[0, 1]`; all together `inside`.
        falls: by zone, how much more the score falls when it is covered than in films
            without an opacity, in standard deviations of those; empty where both lungs
            were not seen.
    """

    zone: str
    inside: float
    area: float
    heat: dict[str, float]
    falls: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What covering a zone does to films without an opacity.

    Attributes:
        model_id: of the model that it was measured with.
        mean: fall of the logit, by cover and zone.
        spread: its standard deviation, likewise.
        lead: by how much the fall of a zone must exceed the next, in these standard
            deviations, for the zone to be named.
        films: normal films that it was measured on.
        planted: films with a planted opacity that the lead was chosen on.
        rule: how the lead was chosen.
        split: the films all this was measured on.
        tested: test films with a planted opacity, which nothing was chosen on.
        named: of them, how many had a zone named.
        right: of these, how many times it was the planted one.
    """

    model_id: str
    mean: dict[str, dict[str, float]]
    spread: dict[str, dict[str, float]]
    lead: float
    films: int
    planted: int
    rule: str
    split: str
    tested: int
    named: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """The measured baselines, each by the hash of its model's weights."""

    models: dict[str, Baseline]


def evidence(reading: Reading, model: Model) -> Evidence:
    """Returns where in the lungs the evidence for pneumonia lies, by two more batches.

    Args:
        reading: with a prediction, a picture and lungs.
        model: that read the film.

    Raises:
        ImageError: a film with a covered zone could not be scored (`not-scored`).
        ModelError: covering was never measured with this model (code `no-zones`).
        ValueError: the reading has no prediction, no picture or no lungs.
    """
    result, lungs = reading.result, reading.lungs
    if isinstance(result, ImageError) or not reading.picture.size or lungs is None:
        raise ValueError("expected a reading with a prediction, a picture and lungs")
    baseline = baselines().models.get(model.sha256)
    if baseline is None:
        raise ModelError(
            f"What covering a zone does was never measured with model "
            f"{model.card.model_id}: it can't say in which zone its evidence lies.",
            code="no-zones",
        )
    heat, inside = heat_by_zone(result.activation_map, lungs)
    area = float(lungs.both.mean())
    falls: dict[str, float] = {}
    if lungs.right.any() and lungs.left.any():
        pixels = reading.picture.astype(np.float32)
        falls = standardised(drops(pixels, lungs, model), baseline)
    if not (result.activation_map > 0).any():
        zone = NO_EVIDENCE
    elif inside < area:
        zone = OUTSIDE
    else:
        zone = _named(falls, baseline.lead)
    return Evidence(zone=zone, inside=inside, area=area, heat=heat, falls=falls)


def cut(lungs: Lungs) -> dict[str, Mask]:
    """Returns the zones, `bool`, `(128, 128)`: each lung in three parts of one height.

    A lung that was not seen has three empty zones.

    Reference:
        Borghesi and Maroldi, Radiol. Med. 125 (2020) 509-513: the Brixia score, too,
        has an upper, middle and lower zone of each lung; it draws the lines at the
        aortic arch and the right lower pulmonary vein, which no mask shows.
    """
    zones = {}
    for side, mask in (("right", lungs.right), ("left", lungs.left)):
        rows = np.flatnonzero(mask.any(axis=1))
        edges = np.linspace(rows[0], rows[-1] + 1, 4) if rows.size else np.zeros(4)
        middle = np.arange(mask.shape[0])[:, np.newaxis] + 0.5  # of each row
        for at, top, bottom in zip(HEIGHTS, edges[:-1], edges[1:], strict=True):
            zones[f"{side} {at} zone"] = mask & (middle >= top) & (middle < bottom)
    return zones


def heat_by_zone(
    activation_map: NDArray[np.float32], lungs: Lungs
) -> tuple[dict[str, float], float]:
    """Returns each zone's share of the positive heat, and that of both lungs.

    Args:
        activation_map: `float32`, shape `(h, w)`, in logits.
        lungs: of the same film.
    """
    positive = np.clip(activation_map, 0, None)
    size = (lungs.share.shape[1], lungs.share.shape[0])
    heat = cv2.resize(positive, size, interpolation=cv2.INTER_LINEAR)
    whole = float(heat.sum()) or 1.0
    shares = {
        name: float(heat[zone].sum()) / whole for name, zone in cut(lungs).items()
    }
    return shares, float(heat[lungs.both].sum()) / whole


def drops(pixels: Pixels, lungs: Lungs, model: Model) -> dict[str, dict[str, float]]:
    """Returns how far the logit falls when a zone is covered, by cover and zone.

    Each is the mean over the film and the film in a mirror: what a cover does by
    itself, and not by what it hides, differs between the two.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        lungs: both, of the same film.
        model: ready to score.

    Raises:
        ImageError: a film could not be scored (code `not-scored`).
    """
    film = preparation.resize(pixels, model.network.size)
    seen = _falls(film, lungs, model)
    mirrored = _falls(
        np.ascontiguousarray(film[:, ::-1]),
        Lungs(
            share=lungs.share[:, ::-1],
            right=lungs.left[:, ::-1],
            left=lungs.right[:, ::-1],
        ),
        model,
    )
    # In the mirror the zones of the left lung are those of the right one.
    falls = (seen + np.roll(mirrored, len(HEIGHTS), axis=1)) / 2
    return {
        name: dict(zip(ZONES, row.tolist(), strict=True))
        for name, row in zip(COVERS, falls, strict=True)
    }


def standardised(
    fallen: dict[str, dict[str, float]], baseline: Baseline
) -> dict[str, float]:
    """Returns each zone's fall against films without an opacity, mean of both covers.

    Args:
        fallen: as `drops` returns it.
        baseline: of the model.
    """
    return {
        zone: float(
            np.mean(
                [
                    (row[zone] - baseline.mean[cover][zone])
                    / baseline.spread[cover][zone]
                    for cover, row in fallen.items()
                ]
            )
        )
        for zone in ZONES
    }


def leader(falls: dict[str, float]) -> tuple[str, float]:
    """Returns the zone with the greatest fall, and how far it is ahead of the next."""
    first, second = sorted(falls, key=lambda zone: -falls[zone])[:2]
    return first, falls[first] - falls[second]


@functools.cache
def baselines() -> Baselines:
    """Returns the baselines that `benchmarks/zones.py` measured."""
    return documents.read(BASELINES, Baselines)


def _named(falls: dict[str, float], lead: float) -> str:
    if not falls:
        return NO_SINGLE_ZONE
    zone, ahead = leader(falls)
    return zone if ahead >= lead else NO_SINGLE_ZONE


def _falls(film: Pixels, lungs: Lungs, model: Model) -> NDArray[np.float64]:
    """Returns how far the logit falls, `(covers, zones)`, by one batch."""
    films = [film]
    for cover in _covers(film, lungs):
        films += [film + (cover - film) * soft for soft in _soft(film, lungs)]
    logits = []
    for result in model.predict_inputs([model.network.prepare(f) for f in films]):
        if isinstance(result, ImageError):
            raise result
        logits.append(result.logit)
    return logits[0] - np.reshape(logits[1:], (len(COVERS), len(ZONES)))


def _soft(film: Pixels, lungs: Lungs) -> list[Pixels]:
    """Returns how much of each zone is covered where, in `[0, 1]`, with soft edges."""
    sigma = _SOFTNESS * film.shape[0]
    return [
        cv2.GaussianBlur(_enlarged(zone, film), (0, 0), sigma)
        for zone in cut(lungs).values()
    ]


def _covers(film: Pixels, lungs: Lungs) -> tuple[Pixels, ...]:
    """Returns what a zone is covered with: a film for each of `COVERS`."""
    inside = _enlarged(lungs.both, film) > 0.5
    dark = np.full_like(film, np.percentile(film[inside], _DARK_PERCENTILE))
    right, left = (_enlarged(m, film) > 0.5 for m in (lungs.right, lungs.left))
    split = _between(right, left)
    columns = np.arange(film.shape[1])[np.newaxis]
    crossed = np.where(
        columns < split, _borrowed(film, right, left), _borrowed(film, left, right)
    )
    return dark, crossed.astype(np.float32)


def _between(right: Mask, left: Mask) -> float:
    """Returns the column half-way between the centres of the two lungs."""
    return float(np.nonzero(right)[1].mean() + np.nonzero(left)[1].mean()) / 2


def _borrowed(film: Pixels, here: Mask, there: Mask) -> Pixels:
    """Returns a film whose lung `here` shows the mirrored content of the one `there`.

    Row by row: from the same share of the height, stretched between the edges.
    """
    n = film.shape[0]
    rows = np.arange(n)
    top, bottom = np.flatnonzero(here.any(axis=1))[[0, -1]]
    first, last = np.flatnonzero(there.any(axis=1))[[0, -1]]
    share = np.clip((rows - top) / max(bottom - top, 1), -0.1, 1.1)
    source = first + share * (last - first)
    near, far = _edges(here, rows)
    other_near, other_far = _edges(there, source)
    along = (np.arange(n) - near[:, np.newaxis]) / np.maximum(far - near, 3)[:, None]
    across = other_far[:, np.newaxis] - along * (other_far - other_near)[:, np.newaxis]
    down = np.broadcast_to(source[:, np.newaxis], (n, n))
    return cv2.remap(
        film,
        across.astype(np.float32),
        down.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _edges(
    mask: Mask, rows: NDArray[np.float64] | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the first and last column of a lung in these rows, smoothed."""
    filled = np.flatnonzero(mask.any(axis=1))
    first = mask[filled].argmax(axis=1).astype(np.float32)
    last = mask.shape[1] - 1 - mask[filled, ::-1].argmax(axis=1).astype(np.float32)
    smooth = (cv2.blur(edge[:, np.newaxis], (1, 9))[:, 0] for edge in (first, last))
    low, high = (np.interp(rows, filled, edge) for edge in smooth)
    return low, high


def _enlarged(mask: Mask, film: Pixels) -> Pixels:
    return cv2.resize(mask.astype(np.float32), film.shape[::-1])
