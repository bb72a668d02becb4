"""A case: one film's reading, and what a reader adds to it.

It owns what is listed, exported and kept of a film: the reading, the threshold that it
was read at and whose that was, the reader's own answer, and the clinical context.
"""

from dataclasses import dataclass

from cxr.errors import ImageError
from cxr.evaluation.estimates import Estimate
from cxr.models.inference import NORMAL, PNEUMONIA, UNCERTAIN, Model
from cxr.reading.scoring import Reading
from cxr.reading.stability import Stability
from cxr.reading.zones import Evidence
from cxr.records.kept import ABOVE, BELOW

NO_ANSWER, REFUSED = "no answer", "refused"
ANSWERS = {PNEUMONIA: ABOVE, NORMAL: BELOW, UNCERTAIN: NO_ANSWER}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known of the patient besides the film; it never touches the score.

    Attributes:
        age_years: of the patient.
        temperature_celsius: of the body.
        spo2_percent: oxygen saturation at the fingertip, `[0, 100]`.
        days_ill: since the first symptom.
        pretest_probability: of pneumonia before the film was seen, `(0, 1)`.
    """

    age_years: float | None = None
    temperature_celsius: float | None = None
    spo2_percent: float | None = None
    days_ill: float | None = None
    pretest_probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Review:
    """What the reader says of the model's answer.

    Attributes:
        opinion: `AGREE`, `DISAGREE` or `UNSURE`.
        reason: in the reader's words, or empty.
        pneumonia: whether the reader sees pneumonia, where opinion and answer don't
            say it; None where it isn't said.
        blind: whether the reader said it before the answer was shown.
    """

    opinion: str
    reason: str = ""
    pneumonia: bool | None = None
    blind: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """One film as its reader leaves it.

    Attributes:
        name: of the file, fit to be shown; it can be a patient's, so no export has it.
        sha256: of the file's bytes, whether they could be decoded or not.
        reading: what became of the film.
        threshold: that it was read at, `(0, 1)`.
        threshold_source: whose threshold that is: "shipped", "site" or "reader".
        answer: `ABOVE`, `BELOW`, `NO_ANSWER` or `REFUSED`.
        review: the reader's own answer; None before there is one.
        context: what is known of the patient besides.
        prevalence: share of pneumonia among the patients whose films are read here,
            `(0, 1)`; None where nobody has stated it.
        likelihood_ratio: of the answer, at this threshold, counted on test films; None
            for a refused film and a model without test films.
        stability: whether the answer holds under small changes; None before they were
            tried.
        evidence: where in the lungs the evidence lies; None before it was asked.
        sample: whether the film is one of the samples that ship.
    """

    name: str
    sha256: str
    reading: Reading
    threshold: float
    threshold_source: str
    answer: str
    review: Review | None = None
    context: Context = Context()
    prevalence: float | None = None
    likelihood_ratio: Estimate | None = None
    stability: Stability | None = None
    evidence: Evidence | None = None
    sample: bool = False


def answer(reading: Reading, model: Model, threshold: float) -> str:
    """Returns the answer to one film at a threshold.

    Args:
        reading: of the film.
        model: that read it.
        threshold: the reader's operating point, `(0, 1)`.
    """
    if isinstance(reading.result, ImageError):
        return REFUSED
    return ANSWERS[model.decide(reading.result.probability, threshold)]
