"""A model on the labelled films of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.datasets.folders import LabelledFilm
from cxr.errors import DatasetError, ImageError
from cxr.evaluation import summary
from cxr.evaluation.summary import Evaluation
from cxr.films.decoding import DecoderPool
from cxr.models.inference import Model
from cxr.reading import scoring


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
    readings = scoring.score(model, pool, files, lungs=None)
    for film, reading in zip(films, readings, strict=True):
        if isinstance(reading.result, ImageError):
            refused[film.name] = reading.result.message
            continue
        labels.append(film.label)
        probabilities.append(reading.result.probability)
        patients.append(film.patient_id)
        seen += split_of.get(reading.sha256, "test") != "test"
    if not labels:
        raise DatasetError("None of these films could be scored.")
    result = summary.evaluate(
        np.array(labels),
        np.array(probabilities),
        threshold=model.card.threshold.value,
        band=model.card.band,
        groups=np.array(patients),
    )
    return Validation(evaluation=result, refused=refused, seen=seen)
