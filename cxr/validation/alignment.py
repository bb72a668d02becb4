"""A site's own threshold from films without labels: a proposal, or why not.

It owns the way from unlabelled films to a proposed operating point, and the sentences
on what speaks against one. A lead signs it as a stored operating point; the shipped
threshold stays.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr.errors import CxrError, ImageError
from cxr.evaluation import alignment
from cxr.evaluation.alignment import Fit
from cxr.evaluation.calibration import logit
from cxr.evaluation.estimates import Estimate
from cxr.films.decoding import DecoderPool
from cxr.governance import stored_points
from cxr.governance.stored_points import StoredPoint
from cxr.models import home
from cxr.models.cards import Card
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.reading import cases, scoring
from cxr.records import actors, kept

WHY = {
    alignment.FEW: (
        f"Too few films: at least {alignment.FEWEST} that may be scored are needed."
    ),
    alignment.SHARE: (
        "How many of these patients are ill can't be told from the scores: two shares "
        "explain them nearly as well. State the range in which the share lies here."
    ),
    alignment.FAR: (
        "These films score too far from those that the model knows: a threshold that "
        f"moves by more than {alignment.FURTHEST:g} logits is no longer the same test."
    ),
    alignment.CONTRADICTED: (
        "The scores of these films are not those of the model's own films, shifted and "
        "stretched: something else is different here."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What a site's films say about the threshold there.

    Attributes:
        model_id: of the model.
        shipped: its own threshold, `(0, 1)`.
        threshold: where that lies among these films, with its interval, `(0, 1)`.
        share: of pneumonia among them, likewise.
        fit: in logits, with the codes of what speaks against it.
        why_not: a sentence for each of these; empty if the threshold is proposed.
        left_out: films without a score, by the code of the refusal.
        before: share of the films by answer, at the shipped threshold.
        after: the same at the aligned one.
        probabilities: of the films, by the model's own calibration, `[0, 1]`.
    """

    model_id: str
    shipped: float
    threshold: Estimate
    share: Estimate
    fit: Fit
    why_not: tuple[str, ...]
    left_out: dict[str, int]
    before: dict[str, float]
    after: dict[str, float]
    probabilities: tuple[float, ...]


def align(
    models_dir: Path,
    model: Model,
    pool: DecoderPool,
    films: Sequence[Path],
    *,
    lungs: LungNetwork,
    share: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Alignment:
    """Returns where the model's threshold lies among a site's unlabelled films.

    Args:
        models_dir: the registry, which has the model's own scores.
        model: ready to score.
        pool: decodes the films.
        films: as they come at the site: of all patients, not only the ill.
        lungs: says which of them may be scored.
        share: range in which the share of pneumonia lies, as a lead states it.
        progress: told how many of how many films are read.

    Raises:
        CxrError: no film could be scored (code `no-films`).
        ModelError: the model has no scores of its own films.
        ValueError: the range of shares is empty.
    """
    readings = []
    for reading in scoring.score(model, pool, scoring.contents(films), lungs=lungs):
        readings.append(replace(reading, lungs=None))  # masks of many films are large
        progress(len(readings), len(films))
    scored = [r for r in readings if not isinstance(r.result, ImageError)]
    predictions = [r.result for r in scored if not isinstance(r.result, ImageError)]
    if not scored:
        raise CxrError("None of these films could be scored.", code="no-films")
    card = model.card
    logits = card.calibration.scaled([prediction.logit for prediction in predictions])
    limits = share or (alignment.LOWEST_SHARE, alignment.HIGHEST_SHARE)
    shipped = float(logit(card.threshold.value))
    found = alignment.fit(
        home.reference(models_dir, card), logits, threshold=shipped, share=limits
    )
    threshold = found.threshold.through(_probability)
    return Alignment(
        model_id=card.model_id,
        shipped=card.threshold.value,
        threshold=threshold,
        share=found.share,
        fit=found,
        why_not=tuple(WHY[code] for code in found.doubts),
        left_out=_left_out(readings),
        before=_answers(scored, model, card.threshold.value),
        after=_answers(scored, model, threshold.value),
        probabilities=tuple(prediction.probability for prediction in predictions),
    )


def sign(
    records_dir: Path, card: Card, found: Alignment, *, actor: str, reason: str
) -> StoredPoint:
    """Makes an aligned threshold the site's stored operating point, and returns it.

    Args:
        records_dir: where records are kept.
        card: of the model.
        found: a proposal for this model.
        actor: who signs.
        reason: why, in a sentence.

    Raises:
        CxrError: that person may not (code `not-allowed`), nothing is proposed (code
            `nothing-proposed`), there is no reason, or the records can't be written.
    """
    actors.require(records_dir, actor, actors.SIGN)
    if found.why_not:
        raise CxrError(
            f"No threshold is proposed: {' '.join(found.why_not)}",
            code="nothing-proposed",
        )
    return stored_points.store(
        records_dir,
        card,
        found.threshold.value,
        actor=actor,
        reason=reason,
        films=f"{found.fit.films} films of this site without labels",
        sensitivity=math.nan,
        specificity=math.nan,
    )


def _left_out(readings: list[scoring.Reading]) -> dict[str, int]:
    codes = (r.result.code for r in readings if isinstance(r.result, ImageError))
    return dict(Counter(codes).most_common())


def _answers(
    scored: list[scoring.Reading], model: Model, threshold: float
) -> dict[str, float]:
    """Returns the share of the films that get each answer."""
    given = Counter(cases.answer(reading, model, threshold) for reading in scored)
    return {
        answer: given[answer] / len(scored)
        for answer in (kept.ABOVE, cases.NO_ANSWER, kept.BELOW)
    }


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
