"""Films that are nearly the same picture, found among all pairs."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cxr.datasets.survey import Progress

# Correlation of two 16 x 16 signatures. Measured on the 5,206 distinct films of the
# data set: 400 of them stored again as JPEG of quality 40, at two thirds of the size,
# or with another gamma or contrast all stay above it; turned by 1 degree 99 %, cropped
# by 2 % on each side 33 %. The nearest films of two patients reach 0.988, and the tail
# of their 13 million pairs leaves 0.1 above it. Signatures of 24 and 32 pixels find no
# more at as few false pairs.
NEAR_LIMIT = 0.9925
COMPONENTS = 24
BLOCK = 2048  # films compared at a time with as many others
PAIRS = 100_000  # candidates compared in full at a time
ROUNDING = 1e-3


def near_groups(
    signatures: NDArray[np.uint8], *, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Returns a group number for each film; nearly equal films share one.

    All pairs are compared, in blocks. Correlation is an inner product of unit vectors,
    and for these |x - y|^2 = 2 - 2 x.y; the leading principal components never lengthen
    a difference, so a pair that is too far apart in them is no candidate. Blocks of
    films are in the order of the first component, which ends the search early.

    Args:
        signatures: `uint8`, shape `(n, size, size)`.
        progress: called with the blocks done and all of them.
    """
    group = np.arange(len(signatures), dtype=np.int64)
    if group.size < 2:
        return group
    vectors, usable = _unit_vectors(signatures)
    if usable.sum() < 2:
        return group
    reduced = _components(vectors)
    order = np.flatnonzero(usable)
    order = order[np.argsort(reduced[order, 0], kind="stable")]
    starts = range(0, order.size, BLOCK)
    for done, start in enumerate(starts, start=1):
        for mine, others in _blocks_near(reduced, order, start):
            pairs = _candidates(reduced, mine, others)
            group = _with_near_pairs(vectors, group, pairs)
        if progress:
            progress(done, len(starts))
    return group


def _unit_vectors(
    signatures: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns signatures with mean 0 and length 1, and which are not one flat tone."""
    n, height, width = signatures.shape
    vectors = signatures.reshape(n, height * width).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, 1)
    return vectors, lengths[:, 0] >= 1


def _components(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the leading principal components and the length of what they leave."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    leading = centred @ directions[:, : -COMPONENTS - 1 : -1]
    rest = (centred**2).sum(axis=1) - (leading**2).sum(axis=1)
    # By the triangle inequality the rest adds at least the difference of its lengths.
    return np.column_stack([leading, np.sqrt(np.maximum(rest, 0))])


def _blocks_near(
    reduced: NDArray[np.float32], order: NDArray[np.int64], start: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    mine = order[start : start + BLOCK]
    reach = reduced[mine[-1], 0] + _radius()
    for other in range(start, order.size, BLOCK):
        others = order[other : other + BLOCK]
        if reduced[others[0], 0] > reach:
            return
        yield mine, others


def _radius() -> float:
    return float(np.sqrt(2 - 2 * NEAR_LIMIT)) + ROUNDING


def _candidates(
    reduced: NDArray[np.float32], mine: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the pairs that the components don't rule out, shape `(pairs, 2)`."""
    a, b = reduced[mine], reduced[others]
    # |a - b|^2 <= r^2 as one product: a.b - |a|^2 / 2 - |b|^2 / 2 >= -r^2 / 2
    half_a, half_b = ((v**2).sum(axis=1, keepdims=True) / 2 for v in (a, b))
    left = np.column_stack([a, -half_a, np.ones_like(half_a)])
    right = np.column_stack([b, np.ones_like(half_b), -half_b])
    close = np.flatnonzero(left @ right.T >= -(_radius() ** 2) / 2)
    i, j = np.divmod(close, len(others))
    pairs = np.column_stack([mine[i], others[j]])
    return pairs[i < j] if mine[0] == others[0] else pairs


def _with_near_pairs(
    vectors: NDArray[np.float32], group: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the groups after joining the candidates that are near by all tones."""
    for start in range(0, len(pairs), PAIRS):
        part = pairs[start : start + PAIRS]
        # In a folder of nearly equal films all pairs would be candidates.
        part = part[group[part[:, 0]] != group[part[:, 1]]]
        correlation = (vectors[part[:, 0]] * vectors[part[:, 1]]).sum(axis=1)
        group = _joined(group, part[correlation > NEAR_LIMIT])
    return group


def _joined(group: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the groups after joining those of each pair; the numbers are new."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return group
    n = int(group.max()) + 1
    edges = (np.ones(len(pairs), np.bool_), (group[pairs[:, 0]], group[pairs[:, 1]]))
    _, number = connected_components(coo_array(edges, shape=(n, n)), directed=False)
    return number[group].astype(np.int64)
