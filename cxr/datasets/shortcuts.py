"""How well plain figures of a film alone predict its label.

A network can learn from such figures instead of from disease. What file size, image
size, tone and sharpness give away is measured here, to stand beside the network's AUC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxr.datasets.survey import Progress, Survey
from cxr.evaluation.estimates import UNDEFINED, Estimate
from cxr.evaluation.ranking import auc_estimate
from cxr.evaluation.scores import Scores

FEATURES = (
    "file size",
    "width",
    "height",
    "aspect ratio",
    "mean grey",
    "sharpness",
)
FOLDS = 5

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ShortcutAudit:
    """AUC of the label from each plain figure alone, from all, and from a network.

    Attributes:
        n: readable films that were measured.
        n_patients: their patients.
        features: AUC by feature, in the order of `FEATURES`; undefined where a class
            has too few patients.
        combined: AUC from all features together.
        network: AUC of the model on those of these films that it was tested on; None
            if there are none, or of one class only.
        network_id: the model; empty if there is none.
        network_n: films of its test that are here.
        combined_there: AUC from all features together on the network's films.
    """

    n: int
    n_patients: int
    features: dict[str, Estimate]
    combined: Estimate
    network: Estimate | None = None
    network_id: str = ""
    network_n: int = 0
    combined_there: Estimate | None = None


def audit(
    survey: Survey,
    scores: Scores | None = None,
    model_id: str = "",
    *,
    progress: Progress | None = None,
) -> ShortcutAudit:
    """Returns how much plain figures give away, beside what the network knows.

    Each figure predicts the label by boosted trees, so that a relation counts whatever
    its shape. Every film is predicted by trees that saw none of its patient (5 folds
    by patient). Intervals are clustered by patient, as everywhere.

    Args:
        survey: of the data folder.
        scores: of the model's own test films; matched by the hash of the file.
        model_id: whose scores they are.
        progress: called with the figures done and all of them.
    """
    rows = np.flatnonzero(survey.readable)
    labels = survey.labels[rows]
    patients = _codes([survey.films[row].patient_id for row in rows])
    folds = patient_folds(labels, patients) if rows.size else None
    table = features(survey)[rows]
    columns = [table[:, [i]] for i in range(len(FEATURES))] + [table]
    predicted: list[Floats | None] = []
    for done, column in enumerate(columns, start=1):
        predicted.append(None if folds is None else out_of_fold(column, labels, folds))
        if progress:
            progress(done, len(columns))
    estimates = [_auc(labels, score, patients) for score in predicted]
    result = ShortcutAudit(
        n=rows.size,
        n_patients=np.unique(patients).size,
        features=dict(zip(FEATURES, estimates[:-1], strict=True)),
        combined=estimates[-1],
    )
    if scores is None:
        return result
    return _beside_network(result, survey, rows, predicted[-1], scores, model_id)


def features(survey: Survey) -> Floats:
    """Returns the plain figures of each film, shape `(n, len(FEATURES))`.

    The aspect ratio is width over height; nan where a film is unreadable.
    """
    width, height = (side.astype(np.float64) for side in (survey.width, survey.height))
    aspect = np.divide(
        width, height, out=np.full(width.shape, np.nan), where=height > 0
    )
    columns = (
        survey.file_bytes,
        width,
        height,
        aspect,
        survey.mean_grey,
        survey.sharpness,
    )
    return np.column_stack([np.asarray(column, np.float64) for column in columns])


def patient_folds(labels: Integers, patients: Integers) -> Integers | None:
    """Returns a fold from 0 for each film, no patient in two; the same every time.

    Patients with normal films, with pneumonia and with both are shuffled and dealt out
    apart. scikit-learn's folds by group look at every patient against every fold: a
    minute for 100,000 films.

    Returns:
        Shape `(n,)`; None where a class has fewer than two patients.
    """
    n = int(patients.max()) + 1
    has = [np.bincount(patients[labels == label], minlength=n) > 0 for label in (0, 1)]
    folds = min(FOLDS, *(int(mask.sum()) for mask in has))
    if folds < 2:
        return None
    order = np.random.default_rng(0).permutation(n)
    stratum = has[0][order] + 2 * has[1][order]
    order = order[np.argsort(stratum, kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % folds
    return fold[patients]


def out_of_fold(table: Floats, labels: Integers, folds: Integers) -> Floats:
    """Returns the log-odds of pneumonia from a table, for each fold from the others.

    The log-odds of pneumonia among the films that were learnt from are taken off: they
    differ from fold to fold, and a figure that tells nothing would get an AUC below
    0.5 from that alone.

    Args:
        table: figures, shape `(n, columns)`.
        labels: shape `(n,)`.
        folds: of each film, shape `(n,)`.

    Returns:
        Shape `(n,)`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    scores = np.zeros(labels.size)
    for fold in range(int(folds.max()) + 1):
        seen, unseen = folds != fold, folds == fold
        share = labels[seen].mean()
        if not 0 < share < 1:
            continue
        trees = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=8,
            min_samples_leaf=max(2, min(20, int(seen.sum()) // 10)),
            early_stopping=False,
            random_state=0,
        )
        # Small trees: beside other programs their threads would wait, not work.
        with threadpool_limits(1):
            trees.fit(table[seen], labels[seen])
            log_odds = trees.decision_function(table[unseen])
        scores[unseen] = log_odds - math.log(share / (1 - share))
    # Without the rounding, noise of the last digits would order equal films.
    return scores.round(6)


def _auc(labels: Integers, scores: Floats | None, patients: Integers) -> Estimate:
    if scores is None or labels.min() == labels.max():
        return UNDEFINED
    return auc_estimate(labels, scores, patients)


def _beside_network(
    result: ShortcutAudit,
    survey: Survey,
    rows: Integers,
    combined: Floats | None,
    scores: Scores,
    model_id: str,
) -> ShortcutAudit:
    """Returns the audit with the network on the films that it was tested on."""
    probability = dict(zip(scores.sha256, scores.probabilities.tolist(), strict=True))
    films = [survey.films[row] for row in rows]
    here = np.array([film.sha256 in probability for film in films], np.bool_)
    tested = [film for film in films if film.sha256 in probability]
    result = replace(result, network_id=model_id, network_n=len(tested))
    if len({film.label for film in tested}) < 2:
        return result
    labels = np.array([film.label for film in tested])
    patients = _codes([film.patient_id for film in tested])
    return replace(
        result,
        network=_auc(
            labels, np.array([probability[film.sha256] for film in tested]), patients
        ),
        combined_there=_auc(
            labels, None if combined is None else combined[here], patients
        ),
    )


def _codes(patients: Sequence[str]) -> Integers:
    return np.unique(np.array(patients), return_inverse=True)[1].astype(np.int64)
