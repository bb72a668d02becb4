"""What each film weighs in the loss: by its class and by the place it comes from.

Were films to count by their number, a network would learn which place has more of
which class, and one large collection would decide alone. The rule:

1. Both classes of a place weigh the same. Places that have one class only are joined
   to one place; if that still has one class, it weighs half as much, since the half of
   the class that it lacks goes to nobody.
2. Other places share a weight in proportion to their films: as much as their films if
   they are fewer than those of home, else as much as those of home. So home has at
   least half of all weight, and no place outweighs it.
3. No film of another place weighs more than the heaviest of home: a place whose rarer
   class has few films weighs less, both classes alike.
4. The weights are scaled to a mean of 1.

Without other places that is `n / (2 n_class)`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.bool_]


def film_weights(
    labels: NDArray[np.float32], places: Sequence[str]
) -> NDArray[np.float32]:
    """Returns the weight of each film, `float32`, shape `(n,)`, mean 1.

    Args:
        labels: 1 for pneumonia, shape `(n,)` or `(n, 1)`; home has both.
        places: of each film; empty for home.
    """
    ill, where = labels.ravel() == 1, np.array(places, np.str_)
    home = where == ""
    weights = _balanced(home, ill, home.sum())
    heaviest = weights.max()
    others = _groups(where, ill)
    n_others = int((~home).sum())
    for group in others:
        share = group.sum() * min(1.0, home.sum() / n_others)
        rarer = min(part.sum() for part in _classes(group, ill))
        weights += _balanced(group, ill, min(share, 2 * rarer * heaviest))
    return (weights / weights.mean()).astype(np.float32)


def _groups(where: NDArray[np.str_], ill: Rows) -> list[Rows]:
    """Returns the films of each other place, those of places of one class together."""
    groups, joined = [], np.zeros(where.shape, np.bool_)
    for place in np.unique(where[where != ""]):
        films = where == place
        if len(_classes(films, ill)) == 2:
            groups.append(films)
        else:
            joined |= films
    return [*groups, joined] if joined.any() else groups


def _balanced(films: Rows, ill: Rows, weight: float) -> NDArray[np.float64]:
    """Returns half of a weight for each class, shared evenly; 0 for other films."""
    weights = np.zeros(films.shape)
    for part in _classes(films, ill):
        weights[part] = weight / 2 / part.sum()
    return weights


def _classes(films: Rows, ill: Rows) -> list[Rows]:
    """Returns the films of each class that is among them."""
    return [part for part in (films & ~ill, films & ill) if part.any()]
