"""A reading as a document: what was measured and nothing else.

It owns what is said of one film in every file, and what stands on each of them. No file
name and nothing of a header is in it: a file name can be a patient's name.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cxr import __version__
from cxr.errors import ImageError
from cxr.evaluation.estimates import Estimate
from cxr.models.cards import Card
from cxr.models.inference import Model
from cxr.reading.cases import Case
from cxr.reading.meaning import probability_after

NOTICE = "Research and education only. Supports a decision, never a diagnosis."
SAMPLE = "Sample film of a public data set, not a film of a patient here."


def result_document(case: Case, model: Model) -> dict[str, Any]:
    """Returns one film for JSON: its answer, and what that rests on.

    Args:
        case: the film.
        model: that read it.
    """
    return film_facts(case, model) | model_facts(model) | origin()


def film_facts(case: Case, model: Model) -> dict[str, Any]:
    """Returns what is said of one film; None for what there is none of.

    Args:
        case: the film.
        model: that read it.
    """
    result, review = case.reading.result, case.review
    error = result if isinstance(result, ImageError) else None
    low, high = model.band(case.threshold)
    return {
        "film_sha256": case.sha256,
        "sample": case.sample,
        "answer": case.answer,
        "eligible": case.reading.eligible,
        "probability": None if isinstance(result, ImageError) else result.probability,
        "threshold": case.threshold,
        "threshold_source": case.threshold_source,
        "no_answer_from": low,
        "no_answer_below": high,
        "refusal": error.code if error else None,
        "refusal_reason": error.message if error else None,
        **_meaning(case),
        **_trials(case),
        "warnings": list(case.reading.cautions + case.reading.warnings),
        "opinion": review.opinion if review else None,
        "opinion_reason": review.reason if review else None,
        **asdict(case.context),
    }


def _meaning(case: Case) -> dict[str, float | None]:
    """Returns what the answer means here, and for this patient."""
    ratio, before = case.likelihood_ratio, case.context.pretest_probability
    facts: dict[str, float | None] = {"prevalence": case.prevalence}
    facts |= _limits("likelihood_ratio", ratio)
    for name, prior in (("here", case.prevalence), ("after_pretest", before)):
        after = (
            None if prior is None or ratio is None else probability_after(prior, ratio)
        )
        facts |= _limits(f"probability_{name}", after)
    return facts


def _trials(case: Case) -> dict[str, int | float | str | None]:
    """Returns whether the answer holds, and where its evidence lies."""
    held, evidence = case.stability, case.evidence
    return {
        "stability_same": held.same if held else None,
        "stability_changes": held.changes if held else None,
        "stability_low": held.low if held else None,
        "stability_high": held.high if held else None,
        "evidence_zone": evidence.zone if evidence else None,
    }


def _limits(name: str, value: Estimate | None) -> dict[str, float | None]:
    if value is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def heatmap_worth(card: Card) -> str:
    """Returns how faithful a model's heat map was measured to be, in a sentence."""
    measured = card.heatmap_worth
    if measured is None:
        return "How faithful the heat map is was not measured."
    return (
        f"On {measured.films} test films, with the hottest places taken away first the "
        f"score fell {_compared(measured.over_random)} than with places at random and "
        f"{_compared(measured.over_centre)} than from the middle outwards."
    )


def _compared(advantage: Estimate) -> str:
    if advantage.low > 0:
        way = "earlier"
    else:
        way = "later" if advantage.high < 0 else "no earlier"
    limits = f"{advantage.low:+.2f} to {advantage.high:+.2f}"
    return f"{way} ({advantage.value:+.2f}, {limits})"


def model_facts(model: Model) -> dict[str, Any]:
    """Returns which model read the films, and what its card says of its figures."""
    card = model.card
    return {
        "model_id": card.model_id,
        "model_sha256": model.sha256,
        "shipped_threshold": asdict(card.threshold),
        "prevalence_of_probability": card.calibration.prevalence,
        "population": card.population,
        "limits": list(card.limits),
    }


def origin() -> dict[str, str]:
    """Returns what stands on every file: the notice, the software, the time in UTC."""
    return {
        "notice": NOTICE,
        "software": f"cxr {__version__}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
