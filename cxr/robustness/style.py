"""Films whose style of acquisition votes for the wrong class, and groups by style.

A classifier sees how a film was made and nothing of its lungs: grey levels, sharpness,
noise, letters, size of the file. It is fitted across patients on all films that it is
given. Where it is wrong, a network that lives from style is wrong too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.datasets import shortcuts
from cxr.errors import DatasetError
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.ranking import auc_estimate
from cxr.robustness import letters
from cxr.robustness.films import UNSEEN, FilmSet
from cxr.robustness.measures import Figures, figures
from cxr.robustness.subjects import Subject

GROUPS = 6
STRIP = 0.08  # of the edge; the border strip
LEVELS = (1, 5, 10, 25, 50, 75, 90, 95, 99)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class StyleGroup:
    """Films that were made alike.

    Attributes:
        number: from 1, the largest group first.
        n_all: films of the group, those that trained the network too.
        share_positive: of them with pneumonia.
        mean_grey: mean over them, `[0, 255]`.
        sharpness: mean over them.
        with_letters: share of them on which letters were found.
        figures: the network on those that it has not learnt from.
    """

    number: int
    n_all: int
    share_positive: float
    mean_grey: float
    sharpness: float
    with_letters: float
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class StyleReport:
    """The network where style is right, where it is wrong, and in groups.

    Attributes:
        n_fitted: films that the classifier of style was fitted and crossed on.
        style_auc: of the label from style alone, on the judged films.
        judged: the network on all films that it has not learnt from.
        agreeing: on those of them whose style votes for their class.
        conflicting: on those whose style votes for the other class.
        groups: by k-means over the style.
    """

    n_fitted: int
    style_auc: Estimate
    judged: Figures
    agreeing: Figures
    conflicting: Figures
    groups: tuple[StyleGroup, ...]


def measure(subject: Subject, films: FilmSet) -> StyleReport:
    """Returns the network's figures by style.

    Args:
        subject: the network under test.
        films: all of a data folder. The classifier of style is fitted to them (five
            folds by patient); judged are those of the splits validation and test, or
            all of them where no film has a split.

    Raises:
        DatasetError: a class has too few patients to fit anything.
    """
    names, table = described(films)
    votes = _votes(table, films)
    judged = films.in_splits(UNSEEN) if any(films.splits) else _all(films)
    rows = np.flatnonzero(judged)
    if not rows.size:
        raise DatasetError("The network has learnt from every film of this folder.")
    probabilities = np.full(len(films), np.nan)
    probabilities[rows] = subject.probabilities(films.pixels[rows])
    right = (votes > 0) == (films.labels == 1)

    def on(mask: Mask) -> Figures:
        here = np.flatnonzero(judged & mask)
        return figures(
            films.labels[here],
            probabilities[here],
            films.patients[here],
            subject.threshold,
        )

    return StyleReport(
        n_fitted=len(films),
        style_auc=auc_estimate(films.labels[rows], votes[rows], films.patients[rows]),
        judged=on(_all(films)),
        agreeing=on(right),
        conflicting=on(~right),
        groups=tuple(
            _group(number, group, table, names, films, on(group))
            for number, group in enumerate(style_groups(table), start=1)
        ),
    )


def described(films: FilmSet) -> tuple[tuple[str, ...], Floats]:
    """Returns the names of the features and their table, `(films, features)`."""
    rows = [
        features(film, int(size))
        for film, size in zip(films.pixels, films.file_bytes, strict=True)
    ]
    names = tuple(rows[0])
    return names, np.array([[row[name] for name in names] for row in rows])


def features(film: NDArray[np.uint8], file_bytes: int = 0) -> dict[str, float]:
    """Returns how a film was made, by name; nothing tells where in the lungs it is.

    Args:
        film: `uint8`, shape `(size, size)`.
        file_bytes: size of its file.
    """
    pixels = film.astype(np.float32)
    edge = max(1, round(STRIP * film.shape[0]))
    sides = {
        "top": pixels[:edge],
        "bottom": pixels[-edge:],
        "left": pixels[:, :edge],
        "right": pixels[:, -edge:],
    }
    strip = np.concatenate([side.ravel() for side in sides.values()])
    values = {"file bytes": float(file_bytes), "mean grey": float(pixels.mean())}
    values |= _named("film", np.percentile(pixels, LEVELS))
    values |= _named("strip", np.percentile(strip, LEVELS))
    values |= {name: float(side.mean()) for name, side in sides.items()}
    values |= {"black": float((film < 4).mean()), "white": float((film > 251).mean())}
    return values | _detail(pixels) | _letters(film)


def style_groups(table: Floats, n: int = GROUPS) -> list[Mask]:
    """Returns a mask of films for each group of style, the largest first.

    k-means over the standardised features, each held within 4 deviations; the same
    films give the same groups.

    Args:
        table: features, shape `(films, columns)`.
        n: groups at most.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    deviation = table.std(axis=0)
    scaled = (table - table.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    n = min(n, len(np.unique(table, axis=0)))
    with threadpool_limits(1):
        codes = KMeans(n, n_init=4, random_state=0).fit_predict(np.clip(scaled, -4, 4))
    order = np.argsort(-np.bincount(codes), kind="stable")
    return [codes == code for code in order]


def _all(films: FilmSet) -> Mask:
    return np.ones(len(films), np.bool_)


def _votes(table: Floats, films: FilmSet) -> Floats:
    folds = shortcuts.patient_folds(films.labels, films.patients)
    if folds is None:
        raise DatasetError(
            "Style can't be told from disease here: a class has films of fewer than "
            "two patients."
        )
    return shortcuts.out_of_fold(table, films.labels, folds)


def _group(
    number: int,
    group: Mask,
    table: Floats,
    names: tuple[str, ...],
    films: FilmSet,
    measured: Figures,
) -> StyleGroup:
    mean: Mapping[str, float] = dict(
        zip(names, table[group].mean(axis=0).tolist(), strict=True)
    )
    with_letters = table[group][:, names.index("letters")] > 0
    return StyleGroup(
        number=number,
        n_all=int(group.sum()),
        share_positive=float(films.labels[group].mean()),
        mean_grey=mean["mean grey"],
        sharpness=mean["sharpness 0"],
        with_letters=float(with_letters.mean()),
        figures=measured,
    )


def _named(what: str, values: Floats) -> dict[str, float]:
    return {
        f"{what} {level} %": float(value)
        for level, value in zip(LEVELS, values, strict=True)
    }


def _detail(pixels: NDArray[np.float32]) -> dict[str, float]:
    """Returns sharpness at four scales and the level of noise.

    Reference:
        Donoho and Johnstone, Biometrika 81 (1994) 425-455 (noise from the median of the
        finest diagonal wavelet coefficients).
    """
    values = {}
    deviation = max(float(pixels.std()), 1e-6)
    for sigma in (0, 1, 2, 4):
        smooth = cv2.GaussianBlur(pixels, (0, 0), sigma) if sigma else pixels
        edges = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1)
        values[f"sharpness {sigma}"] = float(edges.std()) / deviation
    even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    diagonal = even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]
    values["noise"] = float(np.median(np.abs(diagonal))) / 2 / 0.6745
    return values


def _letters(film: NDArray[np.uint8]) -> dict[str, float]:
    found = letters.find(film)
    half = film.shape[0] // 2
    corners = {
        "upper left": found.mask[:half, :half],
        "upper right": found.mask[:half, half:],
        "lower left": found.mask[half:, :half],
        "lower right": found.mask[half:, half:],
    }
    described = {f"ink {name}": float(m.sum()) for name, m in corners.items()}
    first = found.letters[0] if found.letters else None
    return described | {
        "letters": float(len(found.letters)),
        "tallest letter": float(max((x.height for x in found.letters), default=0)),
        "first letter row": float(first.top) if first else -1.0,
        "first letter column": float(first.left) if first else -1.0,
        "ink grey": float(film[found.mask].mean()) if first else 0.0,
    }
