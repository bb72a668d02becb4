"""How a model's logits lie in one kind of place: a density for each class.

The films are labelled and none that the model learned from; what is shifted and
stretched until it fits another place (`cxr/evaluation/alignment.py`) is these.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.inputs import Floats, labels_and_scores, require_both_classes

WIDE_TAIL = 0.02  # share of a wide density, so that no film decides alone

_STEP = 0.05  # of the densities, in logits


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a model's logits lie in one kind of place, on films it was not trained on.

    Attributes:
        at: logits, evenly spaced, `float64`, shape `(m,)`.
        normal: density of the films without pneumonia there, shape `(m,)`.
        ill: density of those with it, likewise.
    """

    at: Floats
    normal: Floats
    ill: Floats


def kind(y_true: ArrayLike, logits: ArrayLike) -> Kind:
    """Returns the densities of both classes among labelled films.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        logits: finite, shape `(n,)`.

    Raises:
        ValueError: shapes differ or a class has no film.
    """
    labels, values = labels_and_scores(y_true, logits)
    require_both_classes(labels)
    margin = 10 * values.std()
    at = np.arange(values.min() - margin, values.max() + margin, _STEP)
    normal, ill = (_density(values[labels == label], at) for label in (0, 1))
    return Kind(at=at, normal=normal, ill=ill)


def _density(values: Floats, at: Floats) -> Floats:
    from scipy import stats  # half a second, which a prediction must not wait for

    kernel = stats.gaussian_kde(values)(at)
    wide = stats.t(df=3, loc=np.median(values), scale=2 * values.std()).pdf(at)
    return np.asarray((1 - WIDE_TAIL) * kernel + WIDE_TAIL * wide)
