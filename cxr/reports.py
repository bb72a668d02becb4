"""A reading as a document: what was measured and nothing else.

No file name and nothing of a header is in it: a file name can be a patient's name.
"""

import io
from dataclasses import asdict
from datetime import UTC, datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr import __version__
from cxr.images import Film
from cxr.inference import Model, Prediction
from cxr.registry import Card

NOTICE = "Research and education only. Supports a decision, never a diagnosis."

# Header terms of films that these models read; others speak against the score.
VIEWS = ("AP", "PA")
LATERAL = ("LL", "RL", "LAT", "LATERAL")
BODY_PARTS = ("CHEST", "CHESTABDOMEN", "LUNG", "RIB", "THORAX")


def result_document(
    prediction: Prediction,
    model: Model,
    *,
    film_sha256: str,
    threshold: float,
    warnings: tuple[str, ...],
) -> dict:
    """Returns one reading for JSON: probability, decision, and what they rest on.

    Args:
        prediction: of the film.
        model: that made it.
        film_sha256: of the film's file.
        threshold: the reader's operating point, `(0, 1)`.
        warnings: sentences about the film.
    """
    low, high = model.band(threshold)
    card = model.card
    return {
        "film_sha256": film_sha256,
        "probability": prediction.probability,
        "prevalence_of_probability": card.calibration.prevalence,
        "decision": model.decide(prediction.probability, threshold),
        "threshold": threshold,
        "uncertain_band": [low, high],
        "shipped_threshold": asdict(card.threshold),
        "warnings": list(warnings),
        "model_id": prediction.model_id,
        "model_sha256": prediction.model_sha256,
        "population": card.population,
        "limits": list(card.limits),
        "notice": NOTICE,
        "software": f"cxr {__version__}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cautions(film: Film, card: Card) -> tuple[str, ...]:
    """Returns a sentence for each thing in the header that speaks against the score.

    What a header does not say speaks for nothing: pictures have none.
    """
    found = []
    if film.view_position not in (None, *VIEWS):
        kind = "a lateral" if film.view_position in LATERAL else "not a plain frontal"
        found.append(
            f"The header says that this is {kind} view. The model knows frontal films "
            "only: its score does not hold here."
        )
    if film.body_part not in (None, *BODY_PARTS):
        found.append(
            "The header names another part of the body. The model knows chest films "
            "only: its score does not hold here."
        )
    if film.age_years is not None and not _validated(film.age_years, card):
        found.append(
            f"The header gives an age of {_age(film.age_years)}: outside the "
            f"population the model was validated on ({card.population})."
        )
    return tuple(found)


def picture(pixels: NDArray[np.float32], longest_edge: int) -> NDArray[np.uint8]:
    """Returns a film for the screen, `uint8`, no edge longer than `longest_edge`."""
    scale = min(1.0, longest_edge / max(pixels.shape))
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return np.rint(pixels).astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Returns a picture `(height, width)` or `(height, width, 3)` as a PNG, bare of
    any text or profile.
    """
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def _validated(age_years: float, card: Card) -> bool:
    if card.age_years is None:
        return True
    youngest, oldest = card.age_years
    return youngest <= age_years < oldest


def _age(years: float) -> str:
    if years < 2:
        return f"{years * 12:.0f} months"
    return f"{years:.0f} years" if years < 90 else "90 years or more"
