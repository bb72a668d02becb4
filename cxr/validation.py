"""A registered model on labelled films: what it is worth there, and against another.

The threshold is always the model's own, locked when it was registered. Films that the
model has seen in any way are counted, because figures on them are too good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr import data, evaluation, registry, scoring
from cxr.data import LabelledFilm
from cxr.decoding import DecoderPool
from cxr.errors import CxrError, DatasetError, ImageError
from cxr.evaluation import AucComparison, DecisionComparison, Evaluation
from cxr.inference import Model
from cxr.scores import shared_rows

HELD_OUT = "held-out"


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A model's metrics on one set of films.

    Attributes:
        evaluation: over the films that could be scored.
        refused: the reason for each film, by name, that could not.
        seen: films that trained, tuned or calibrated the model.
    """

    evaluation: Evaluation
    refused: dict[str, str]
    seen: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the films that were held out from both.

    Attributes:
        films: how many.
        evaluations: each model at its own threshold, by model id.
        auc: paired difference of the areas, first minus second.
        decisions: paired test of right and wrong decisions.
    """

    films: int
    evaluations: dict[str, Evaluation]
    auc: AucComparison
    decisions: DecisionComparison


def choose(
    films: Sequence[LabelledFilm], split: str | None, split_of: Mapping[str, str]
) -> list[LabelledFilm]:
    """Returns the films of one split.

    Args:
        films: of a data folder.
        split: a split of the folder itself; `held-out` for the patients on whom the
            model was tested and nothing was chosen; None for all films.
        split_of: the model's own record, split by SHA-256 of the film.

    Raises:
        DatasetError: there are none.
    """
    if split is None:
        return list(films)
    if split == HELD_OUT:
        hashed = data.with_hashes(films)
        chosen = [film for film in hashed if split_of.get(film.sha256) == "test"]
    else:
        chosen = [film for film in films if film.split == split]
    if not chosen and split == HELD_OUT:
        raise DatasetError("The model was not tested on any film of this folder.")
    if not chosen:
        raise DatasetError(f"This folder has no films of the split {split}.")
    return chosen


def validate(
    model: Model,
    pool: DecoderPool,
    films: Sequence[LabelledFilm],
    split_of: Mapping[str, str],
) -> Validation:
    """Returns the model's metrics on these films, intervals clustered by patient.

    Args:
        model: ready to score.
        pool: decodes the films.
        films: with labels.
        split_of: the model's own record, split by SHA-256 of the film.

    Raises:
        DatasetError: not one film could be scored.
    """
    labels, probabilities, patients, refused, seen = [], [], [], {}, 0
    files = scoring.contents(film.path for film in films)
    for film, outcome in zip(films, scoring.score(model, pool, files), strict=True):
        if isinstance(outcome.result, ImageError):
            refused[film.name] = outcome.result.message
            continue
        labels.append(film.label)
        probabilities.append(outcome.result.probability)
        patients.append(film.patient_id)
        seen += split_of.get(outcome.sha256, "test") != "test"
    if not labels:
        raise DatasetError("None of these films could be scored.")
    result = evaluation.evaluate(
        np.array(labels),
        np.array(probabilities),
        threshold=model.card.threshold.value,
        groups=np.array(patients),
    )
    return Validation(evaluation=result, refused=refused, seen=seen)


def compare(models_dir: Path, first: str, second: str) -> Comparison:
    """Returns two registered models side by side, from their stored test scores.

    Which films are the same, `scores.shared_rows` says.

    Raises:
        ModelError: a model is missing or damaged.
        CxrError: the two were not tested on common films.
    """
    cards = [registry.read_card(models_dir, name) for name in (first, second)]
    a, b = (registry.read_scores(models_dir, card, "test") for card in cards)
    rows = shared_rows((a, b))
    if not rows[0].size:
        raise CxrError(
            f"{first} and {second} were tested on different films.",
            code="no-shared-films",
        )
    labels, patients = a.labels[rows[0]], np.array(a.patients)[rows[0]]
    scores = [a.probabilities[rows[0]], b.probabilities[rows[1]]]
    thresholds = [card.threshold.value for card in cards]
    decisions = [(s >= t).astype(int) for s, t in zip(scores, thresholds, strict=True)]
    return Comparison(
        films=rows[0].size,
        evaluations={
            card.model_id: evaluation.evaluate(
                labels, s, threshold=card.threshold.value, groups=patients
            )
            for card, s in zip(cards, scores, strict=True)
        },
        auc=evaluation.delong_test(labels, *scores, groups=patients),
        decisions=evaluation.mcnemar_test(labels, *decisions, groups=patients),
    )
