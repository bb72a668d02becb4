"""Bacterial or viral: a weaker second opinion under the binary answer.

A linear head on the same pooled features, fitted to the films with pneumonia alone. It
divides the probability of pneumonia and never changes it, so the three classes (normal,
bacterial, viral) add up to 1 and agree with the first answer.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ModelError
from cxr.evaluation import ranking
from cxr.evaluation.calibration import fit_platt
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.ranking import auc_estimate

BACTERIAL, VIRAL = "bacterial", "viral"
CLASSES = ("normal", BACTERIAL, VIRAL)
FEWEST = 20  # films of each kind in each split that fits, chooses or tests
_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)


@dataclass(frozen=True, kw_only=True)
class SubtypeRecord:
    """What the second opinion is worth; goes on the card.

    Attributes:
        auc: bacterial against viral, on test films with pneumonia.
        bacterial: test films.
        viral: test films.
        rule: how it was made, in words.
    """

    auc: Estimate
    bacterial: int
    viral: int
    rule: str


@dataclass(frozen=True, kw_only=True)
class SubtypeFilms:
    """The films of one split with pneumonia and a known subtype.

    Attributes:
        pooled: `float32`, shape `(n, channels)`.
        bacterial: `int64`, shape `(n,)`, 1 for bacterial.
        patients: shape `(n,)`.
    """

    pooled: NDArray[np.float32]
    bacterial: NDArray[np.int64]
    patients: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class SubtypeHead:
    """A linear layer on the pooled features.

    Attributes:
        weights: `float64`, shape `(channels,)`.
        bias: of the logit of bacterial against viral.
    """

    weights: NDArray[np.float64]
    bias: float

    def bacterial_share(self, pooled: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the probability of bacterial given pneumonia, `[0, 1]`.

        Args:
            pooled: features, shape `(n, channels)` or `(channels,)`.
        """
        logits = pooled.astype(np.float64) @ self.weights + self.bias
        return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))

    def to_bytes(self) -> bytes:
        """Returns the head as the content of an `.npz` file."""
        content = io.BytesIO()
        np.savez(content, weights=self.weights, bias=np.float64(self.bias))
        return content.getvalue()


def read(content: bytes, channels: int) -> SubtypeHead:
    """Returns the head in an `.npz` file.

    Raises:
        ModelError: it holds no head for this many features.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            weights = arrays["weights"].astype(np.float64)
            bias = float(arrays["bias"])
    except documents.DAMAGE as error:
        raise _damaged() from error
    if weights.shape != (channels,) or not np.isfinite([*weights, bias]).all():
        raise _damaged()
    return SubtypeHead(weights=weights, bias=bias)


def of_films(
    pooled: NDArray[np.float32],
    labels: NDArray[np.int64],
    kinds: Sequence[str | None],
    patients: Sequence[str],
) -> SubtypeFilms:
    """Returns the films of a split that have pneumonia of a known kind.

    Args:
        pooled: the features of each film, shape `(n, channels)`.
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`.
        kinds: `bacterial`, `viral`, or None where the subtype is not known.
        patients: the patient of each film.
    """
    known = np.array(
        [
            bool(label) and kind in CLASSES[1:]
            for label, kind in zip(labels, kinds, strict=True)
        ],
        bool,
    )
    names = np.array([kind or "" for kind in kinds])[known]
    return SubtypeFilms(
        pooled=pooled[known],
        bacterial=(names == BACTERIAL).astype(np.int64),
        patients=np.array(patients)[known],
    )


def fit(
    *,
    train: SubtypeFilms,
    validation: SubtypeFilms,
    calibration: SubtypeFilms,
    test: SubtypeFilms,
) -> tuple[SubtypeHead, SubtypeRecord] | None:
    """Returns a head and its worth, None where too few films have a known subtype.

    Logistic regression on standardised features; its penalty is the one with the best
    AUC on the validation split, its slope and intercept are Platt's on the calibration
    split.

    Args:
        train: films that the weights are fitted to.
        validation: films that choose the penalty.
        calibration: films that Platt's scaling is fitted to.
        test: films that say what the head is worth.
    """
    every = (train, validation, calibration, test)
    if any(np.bincount(s.bacterial, minlength=2).min() < FEWEST for s in every):
        return None
    candidates = [_fit_one(train, strength) for strength in _STRENGTHS]
    strength, head = max(
        zip(_STRENGTHS, candidates, strict=True),
        key=lambda pair: _auc(validation, pair[1]),
    )
    head = _calibrated(head, calibration)
    auc = auc_estimate(
        test.bacterial,
        head.bacterial_share(test.pooled),
        np.unique(test.patients, return_inverse=True)[1],
    )
    record = SubtypeRecord(
        auc=auc,
        bacterial=int(test.bacterial.sum()),
        viral=int(len(test.bacterial) - test.bacterial.sum()),
        rule=(
            "logistic regression on the pooled features of the training films with "
            f"pneumonia, penalty {1 / strength:g} chosen on the validation split, "
            "scaled on the calibration split"
        ),
    )
    return head, record


def _fit_one(films: SubtypeFilms, strength: float) -> SubtypeHead:
    from sklearn.linear_model import LogisticRegression

    mean = films.pooled.mean(axis=0, dtype=np.float64)
    deviation = films.pooled.std(axis=0, dtype=np.float64)
    # A feature that never changes says nothing and must not divide by 0.
    deviation[deviation < 1e-6] = 1.0
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit((films.pooled - mean) / deviation, films.bacterial)
    weights = model.coef_[0] / deviation
    return SubtypeHead(
        weights=weights, bias=float(model.intercept_[0] - weights @ mean)
    )


def _auc(films: SubtypeFilms, head: SubtypeHead) -> float:
    return ranking.auc_score(films.bacterial, head.bacterial_share(films.pooled))


def _calibrated(head: SubtypeHead, films: SubtypeFilms) -> SubtypeHead:
    logits = films.pooled.astype(np.float64) @ head.weights + head.bias
    scaling = fit_platt(films.bacterial, logits)
    return SubtypeHead(
        weights=head.weights * scaling.slope,
        bias=head.bias * scaling.slope + scaling.intercept,
    )


def _damaged() -> ModelError:
    return ModelError(
        "The head for bacterial and viral is damaged. The model doesn't serve.",
        code="damaged-model",
    )
