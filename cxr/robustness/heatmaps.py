"""Does the heat map show what the network looks at, and does it look at the body?

Cells of a positive film are replaced by those of another film, from the hottest on
(deletion), or put into that other film from the hottest on (insertion). A faithful map
makes the probability fall early in the first and rise early in the second; the area
under the curve of probability over the share of cells says how early.

What stands for "nothing there" is a film that the network takes for normal, with the
tone curve of the film itself and soft seams. The usual stand-ins, a blurred or an even
film, look like consolidation: a network may call them pneumonia with more certainty
than the film, and then no curve ever falls. They can be asked for all the same, and
the report says what the network makes of them.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.evaluation.estimates import Estimate
from cxr.films import changes
from cxr.models import heatmap
from cxr.models.cards import HeatmapWorth
from cxr.robustness import letters
from cxr.robustness.films import FilmSet
from cxr.robustness.measures import mean_estimate
from cxr.robustness.subjects import Subject

GRID, STEPS, MOST_FILMS = 14, 20, 60
CENTRE_SPREAD = 0.25  # standard deviation of the centre prior, of the edge
HEAT, RANDOM, CENTRE = "heat map", "random", "centre"
NORMAL_FILM, BLURRED = "a film that is taken for normal", "the blurred film"

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Areas:
    """Areas under the curves of one way to rank the cells, means over the films.

    Attributes:
        ranking: heat map, random or centre.
        deletion: `[0, 1]`; the lower, the more faithful.
        insertion: `[0, 1]`; the higher, the more faithful.
    """

    ranking: str
    deletion: Estimate
    insertion: Estimate


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """The heat map against another ranking on the same films; above 0 is better.

    Attributes:
        over: random or centre.
        deletion: the other's area minus the heat map's.
        insertion: the heat map's area minus the other's.
        passed: whether both intervals lie above 0.
    """

    over: str
    deletion: Estimate
    insertion: Estimate
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """How much of the heat lies somewhere.

    Attributes:
        where: "burned-in letters" or "outside the body".
        n: films that have such a place and any heat.
        heat: mean share of their heat that lies there, `[0, 1]`.
        area: mean share of the film that it is; heat without aim would have this.
    """

    where: str
    n: int
    heat: Estimate
    area: Estimate


@dataclass(frozen=True, kw_only=True)
class HeatmapReport:
    """Faithfulness of the heat map and where its heat lies.

    Attributes:
        n: films, all above the threshold.
        steps: in which the cells are replaced.
        substitute: what the cells are replaced by.
        whole: mean probability of the films.
        replaced: mean probability when all cells are replaced; the nearer to that of
            the whole films, the less the areas can tell.
        blurred: mean probability of the blurred films.
        areas: of the three rankings.
        advantages: over random and over the centre.
        places: letters and background.
        passed: whether the heat map is better than both.
    """

    n: int
    steps: int
    substitute: str
    whole: float
    replaced: float
    blurred: float
    areas: tuple[Areas, ...]
    advantages: tuple[Advantage, ...]
    places: tuple[Place, ...]
    passed: bool


def measure(
    subject: Subject,
    films: FilmSet,
    *,
    most: int = MOST_FILMS,
    steps: int = STEPS,
    substitute: str = NORMAL_FILM,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeatmapReport | None:
    """Returns how faithful the heat map is; None where it can't be measured.

    That is without activation maps, without a film above the threshold, or without one
    below it to replace cells by.

    Args:
        subject: the network under test.
        films: of them those above the threshold, at most `most`, chosen by hash.
        most: films.
        steps: in which the cells are replaced.
        substitute: `NORMAL_FILM`, drawn from the films below the threshold, or
            `BLURRED`.
        seed: of the random rankings and of the films that cells are taken from.
        progress: told how many of how many films are done.

    Reference:
        Petsiuk, Das and Saenko, BMVC 2018 (RISE), arXiv 1806.07421; plausible stand-ins
        instead of blur: Chang et al., ICLR 2019, arXiv 1807.08024.
    """
    probabilities = subject.probabilities(films.pixels)
    above = probabilities >= subject.threshold
    if subject.activation_maps is None or not above.any():
        return None
    if substitute == NORMAL_FILM and above.all():
        return None
    normal, films = films.at(~above), films.at(above).sample(most)
    maps = subject.activation_maps(films.pixels)
    areas: dict[str, list[tuple[float, float]]] = {HEAT: [], RANDOM: [], CENTRE: []}
    ends = []
    for row, film in enumerate(films.pixels):
        rng = np.random.default_rng(
            [seed, zlib.crc32(b"heatmaps"), int(films.sha256[row][:12], 16)]
        )
        other = _other(film, normal, substitute, rng)
        orders = {
            HEAT: heat_order(maps[row], subject.heatmap_scale),
            RANDOM: rng.permutation(GRID * GRID),
            CENTRE: centre_order(),
        }
        for name, order in orders.items():
            falling, rising = curves(subject, film, other, order, steps=steps)
            areas[name].append((area(falling), area(rising)))
        ends.append((float(falling[0]), float(falling[-1])))
        progress(row + 1, len(films))
    return _report(subject, films, maps, areas, ends, steps, substitute)


def worth(report: HeatmapReport, split: str) -> HeatmapWorth:
    """Returns what a card holds of a report.

    Args:
        report: as `measure` returns it.
        split: which films it was measured on.
    """
    over = {item.over: item.deletion for item in report.advantages}
    return HeatmapWorth(
        films=report.n,
        split=split,
        over_random=over[RANDOM],
        over_centre=over[CENTRE],
    )


def curves(
    subject: Subject,
    film: NDArray[np.uint8],
    other: NDArray[np.uint8],
    order: NDArray[np.int64],
    *,
    steps: int,
) -> tuple[Floats, Floats]:
    """Returns the probabilities while cells are deleted and while they are inserted.

    Args:
        subject: the network under test.
        film: `uint8`, shape `(size, size)`.
        other: what stands for nothing, the same shape.
        order: all cells of the grid by number, row by row, the hottest first.
        steps: in which the cells are replaced, about the same number each.

    Returns:
        Two arrays of shape `(steps + 1,)`: from the whole film to the other one, and
        from the other one to the whole one.
    """
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    counts = np.rint(np.linspace(0, order.size, steps + 1))
    deleted, inserted = [], []
    for count in counts:
        share = _soft((rank < count).reshape(GRID, GRID), film.shape[0])
        deleted.append(film + share * (other.astype(np.float32) - film))
        inserted.append(other + share * (film.astype(np.float32) - other))
    both = np.rint(np.clip(deleted + inserted, 0, 255)).astype(np.uint8)
    probabilities = subject.probabilities(both)
    return probabilities[: steps + 1], probabilities[steps + 1 :]


def blurred_copy(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a film without content: only its coarsest shading."""
    sigma = film.shape[0] / GRID
    return cv2.GaussianBlur(film, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def area(curve: Floats) -> float:
    """Returns the area under a curve over `[0, 1]`, by trapezoids."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def heat_order(activation_map: NDArray[np.float32], scale: float) -> NDArray[np.int64]:
    """Returns the cells of the grid from the hottest on, as the served map shows them.

    Where the served map is empty or full the activations behind it decide.
    """
    shown = heatmap.heatmap(
        activation_map, scale=scale, height=GRID, width=GRID
    ).ravel()
    behind = cv2.resize(activation_map, (GRID, GRID)).ravel()
    return np.lexsort((-behind, -shown)).astype(np.int64)


def centre_order() -> NDArray[np.int64]:
    """Returns the cells of the grid from the centre outwards, as a Gaussian has it."""
    axis = (np.arange(GRID) + 0.5) / GRID - 0.5
    prior = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * CENTRE_SPREAD**2))
    return np.argsort(-prior.ravel(), kind="stable").astype(np.int64)


def background(film: NDArray[np.uint8]) -> Mask:
    """Returns where a film shows no body: dark ground that reaches its border.

    Args:
        film: `uint8`, shape `(size, size)`.

    Returns:
        bool, same shape. Ground that is brighter than about a third of the body, and
        dark ground that the body encloses, are not found.
    """
    smooth = cv2.medianBlur(film, 5)
    dark = (smooth < max(8.0, 0.3 * float(np.percentile(film, 75)))).astype(np.uint8)
    _, codes = cv2.connectedComponents(dark)
    border = np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]])
    return np.isin(codes, np.unique(border[border > 0]))


def _report(
    subject: Subject,
    films: FilmSet,
    maps: NDArray[np.float32],
    shares: dict[str, list[tuple[float, float]]],
    ends: list[tuple[float, float]],
    steps: int,
    substitute: str,
) -> HeatmapReport:
    areas = {name: np.array(values) for name, values in shares.items()}
    advantages = tuple(
        _advantage(name, areas[HEAT], areas[name], films) for name in (RANDOM, CENTRE)
    )
    whole, replaced = np.mean(ends, axis=0)
    blurred = np.stack([blurred_copy(film) for film in films.pixels])
    return HeatmapReport(
        n=len(films),
        steps=steps,
        substitute=substitute,
        whole=float(whole),
        replaced=float(replaced),
        blurred=float(subject.probabilities(blurred).mean()),
        areas=tuple(_areas(name, values, films) for name, values in areas.items()),
        advantages=advantages,
        places=_places(films, maps, subject.heatmap_scale),
        passed=all(item.passed for item in advantages),
    )


def _other(
    film: NDArray[np.uint8], normal: FilmSet, substitute: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    if substitute == BLURRED:
        return blurred_copy(film)
    return _in_tone(normal.pixels[rng.integers(len(normal))], film)


def _in_tone(other: NDArray[np.uint8], film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    matched = changes.match_tone(other.astype(np.float32), film.astype(np.float32), 1.0)
    return np.rint(matched).astype(np.uint8)


def _soft(cells: Mask, size: int) -> NDArray[np.float32]:
    """Returns how far each pixel is replaced; a hard seam would look like a rib."""
    whole = cv2.resize(
        cells.astype(np.float32), (size, size), interpolation=cv2.INTER_NEAREST
    )
    sigma = size / GRID / 4
    return cv2.GaussianBlur(whole, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _areas(name: str, values: Floats, films: FilmSet) -> Areas:
    return Areas(
        ranking=name,
        deletion=mean_estimate(values[:, 0], films.patients),
        insertion=mean_estimate(values[:, 1], films.patients),
    )


def _advantage(over: str, heat: Floats, other: Floats, films: FilmSet) -> Advantage:
    deletion = mean_estimate(other[:, 0] - heat[:, 0], films.patients)
    insertion = mean_estimate(heat[:, 1] - other[:, 1], films.patients)
    return Advantage(
        over=over,
        deletion=deletion,
        insertion=insertion,
        passed=deletion.low > 0 and insertion.low > 0,
    )


def _places(
    films: FilmSet, maps: NDArray[np.float32], scale: float
) -> tuple[Place, ...]:
    size = films.pixels.shape[1]
    heats = [
        heatmap.heatmap(item, scale=scale, height=size, width=size) for item in maps
    ]
    finders: dict[str, Callable[[NDArray[np.uint8]], Mask]] = {
        "burned-in letters": _ink,
        "outside the body": background,
    }
    return tuple(
        _place(name, heats, [finder(film) for film in films.pixels], films)
        for name, finder in finders.items()
    )


def _ink(film: NDArray[np.uint8]) -> Mask:
    # With its soft edge.
    mask = letters.find(film).mask.astype(np.uint8)
    return cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0


def _place(
    name: str, heats: list[NDArray[np.float32]], masks: list[Mask], films: FilmSet
) -> Place:
    rows = [
        i
        for i, (heat, mask) in enumerate(zip(heats, masks, strict=True))
        if mask.any() and heat.any()
    ]
    heat = np.array([heats[i][masks[i]].sum() / heats[i].sum() for i in rows])
    share = np.array([masks[i].mean() for i in rows])
    patients = films.patients[np.array(rows, np.int64)]
    return Place(
        where=name,
        n=len(rows),
        heat=mean_estimate(heat.astype(np.float64), patients),
        area=mean_estimate(share.astype(np.float64), patients),
    )
