"""The same rates in parts of the films: kinds of pneumonia, sizes of film.

A kind of pneumonia is set against all normal films, since a normal film has none. A
part with few films has a wide interval and says little; every part comes with its
counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import Estimate, Mask, proportion, warn_undefined
from cxr.evaluation.inputs import Floats, labels_and_scores, patient_codes
from cxr.evaluation.ranking import auc_estimate


@dataclass(frozen=True, kw_only=True)
class SubgroupRates:
    """One part of the films at one threshold.

    Attributes:
        name: of the part.
        n_positive: its pneumonia films.
        n_negative: its normal films.
        n_patients: whose films these are; None when films were taken as independent.
        sensitivity: among its pneumonia films; undefined without them.
        specificity: among its normal films; undefined without them.
        auc: of its pneumonia films against its normal films; undefined for one class.
    """

    name: str
    n_positive: int
    n_negative: int
    n_patients: int | None
    sensitivity: Estimate
    specificity: Estimate
    auc: Estimate


def subgroup_rates(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    threshold: float,
    parts: Mapping[str, Mask],
    groups: ArrayLike | None = None,
) -> tuple[SubgroupRates, ...]:
    """Returns the rates of each part with 95 % intervals, clustered by patient.

    Emits one `UndefinedMetricWarning` for parts that lack a class.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: finite, shape `(n,)`.
        threshold: a film is positive when its score is at or above it.
        parts: which films each part holds, shape `(n,)`; parts may overlap.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind.
    """
    labels, scores = labels_and_scores(y_true, y_score)
    patients = patient_codes(groups, labels.size)
    ill, called = labels == 1, scores >= threshold
    measured = []
    for name, given in parts.items():
        part = np.asarray(given, dtype=bool)
        if part.shape != labels.shape:
            raise ValueError(
                f"expected {labels.size} films, received part {name!r} of {part.shape}"
            )
        theirs = None if patients is None else patients[part]
        measured.append(
            SubgroupRates(
                name=name,
                n_positive=int((ill & part).sum()),
                n_negative=int((~ill & part).sum()),
                n_patients=None if theirs is None else np.unique(theirs).size,
                sensitivity=proportion(called, ill & part, patients),
                specificity=proportion(~called, ~ill & part, patients),
                auc=auc_estimate(labels[part], scores[part], theirs),
            )
        )
    warn_undefined(
        part.name for part in measured if not (part.n_positive and part.n_negative)
    )
    return tuple(measured)


def by_subtype(y_true: ArrayLike, subtypes: Sequence[str]) -> dict[str, Mask]:
    """Returns, for each kind of pneumonia, its films and all normal films.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        subtypes: of each film, such as `bacterial`; empty where it is not known.

    Returns:
        Sorted by name; empty if no kind is known.
    """
    labels, kinds = np.asarray(y_true), np.asarray(subtypes, dtype=str)
    ill = labels == 1
    return {str(kind): ~ill | (kinds == kind) for kind in np.unique(kinds[ill]) if kind}


def by_size(pixels: ArrayLike, *, n_strata: int = 3) -> dict[str, Mask]:
    """Returns strata of equally many films by their size, smallest first.

    Args:
        pixels: rows times columns of each film, shape `(n,)`; nan where not known.
        n_strata: at least 1; films of one size are never in two strata, so there may
            be fewer.

    Returns:
        By a name with the range in megapixels, in as many decimals as tell the strata
        apart; empty where less than two sizes are known.
    """
    if n_strata < 1:
        raise ValueError(f"expected at least one stratum, received n_strata={n_strata}")
    size = np.asarray(pixels, dtype=np.float64) / 1e6
    known = size[np.isfinite(size)]
    if np.unique(known).size < 2:
        return {}
    edges = np.unique(np.quantile(known, np.linspace(0, 1, n_strata + 1)))
    edges[-1] = np.inf
    inside = [
        (size >= low) & (size < high)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    masks = [mask for mask in inside if mask.any()]
    return dict(zip(_ranges([size[mask] for mask in masks]), masks, strict=True))


def _ranges(parts: Sequence[Floats]) -> list[str]:
    """Returns the range of each part in words, no two of them equal."""
    for decimals in range(2, 7):
        names = [
            f"{part.min():.{decimals}f} to {part.max():.{decimals}f} megapixels"
            for part in parts
        ]
        if len(set(names)) == len(names):
            break
    return names
