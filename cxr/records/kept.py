"""What the history keeps of a film: its reading, and the case that its events come to.

It owns these records and their rules: what a review says of the film, when it is a
disagreement, and how a case follows from its events. Nothing in them names a patient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cxr import documents
from cxr.errors import CxrError

ABOVE, BELOW = "above threshold", "below threshold"
AGREE, DISAGREE, UNSURE, WITHDRAWN = "agree", "disagree", "unsure", ""
OPINIONS = (AGREE, DISAGREE, UNSURE, WITHDRAWN)

# What may be known of a patient besides the film; numbers alone.
CONTEXT_NAMES = (
    *("age_years", "temperature_celsius", "spo2_percent", "days_ill"),
    "pretest_probability",
)
# Kinds of events. A case begins with a reading; a deletion ends it.
READING, REVIEW, ADDITION, DELETION = "reading", "review", "addition", "deletion"


@dataclass(frozen=True, kw_only=True)
class KeptReading:
    """What is kept of one reading or refusal.

    Attributes:
        worklist: random id of the list that the film was read in; empty for the command
            line.
        film: keyed hash of the file; empty for one that could not be opened.
        patient: keyed hash of the patient; empty where the file names none.
        model_id: the model that read it.
        model_sha256: of its weights.
        card_sha256: of its card.
        threshold: that the film was read at, `(0, 1)`.
        threshold_source: whose that is: "shipped", "site" or "reader".
        site: name of the site's operating point, or empty.
        answer: "above threshold", "below threshold", "no answer" or "refused".
        probability: `[0, 1]`; None for a refused film, as the logit.
        logit: of the score.
        code: of the refusal, or empty.
        frontal: the gate's logit of an upright frontal chest film; None where it was
            not asked, as the next.
        unlike: its logit of another patient than the training films show.
        brightness: mean grey level of the film, `[0, 255]`; None if it could not be
            decoded, as the next.
        contrast: standard deviation of the grey levels.
        cautions: the app's sentences on why the score may not hold.
        warnings: its sentences on what was unusual in the file.
        format: "PNG", "DICOM" and so on; empty if it could not be decoded.
        bits: a pixel had in the file; 0 if it could not be decoded, as the next two.
        height: rows.
        width: columns.
        sample: whether it is one of the samples that ship.
    """

    worklist: str = ""
    film: str = ""
    patient: str = ""
    model_id: str
    model_sha256: str
    card_sha256: str
    threshold: float
    threshold_source: str
    site: str = ""
    answer: str
    probability: float | None = None
    logit: float | None = None
    code: str = ""
    frontal: float | None = None
    unlike: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    cautions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    format: str = ""
    bits: int = 0
    height: int = 0
    width: int = 0
    sample: bool = False


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a case.

    Attributes:
        id: its number in the history, from 1, without gaps.
        time: UTC, ISO 8601.
        kind: `READING`, `REVIEW`, `ADDITION` or `DELETION`.
        case_id: of the case.
        actor: who did it.
        content: what; None after its case was deleted.
    """

    id: int
    time: str
    kind: str
    case_id: str
    actor: str
    content: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class KeptCase:
    """A case as its events have left it.

    Attributes:
        number: of its first event; a case that was read later has a higher one.
        case_id: 16 hexadecimal digits, random.
        time: of the reading, UTC, ISO 8601.
        reader: who had the film read.
        reading: what came of it.
        opinion: of the newest review: `AGREE`, `DISAGREE`, `UNSURE`; empty before
            there is one, and after it was taken back.
        pneumonia: whether that reader sees pneumonia; None where it isn't said.
        answered: the answer that the newest review is on; empty before there is one.
        blind: whether the newest review was given before the answer was shown.
        reason: in the words of that reader, or empty.
        reviewer: who that was, or empty.
        reviewed: when, UTC, ISO 8601, or empty.
        context: what is known of the patient besides, numbers by name.
        stability: whether the answer holds under small changes; None if not asked.
        evidence: where in the lungs the evidence lies; None if not asked.
        listed: whether the film is still on the list that it was read in.
    """

    number: int
    case_id: str
    time: str
    reader: str
    reading: KeptReading
    opinion: str = WITHDRAWN
    pneumonia: bool | None = None
    answered: str = ""
    blind: bool = False
    reason: str = ""
    reviewer: str = ""
    reviewed: str = ""
    context: dict[str, float | None] = field(default_factory=dict)
    stability: dict[str, Any] | None = None
    evidence: dict[str, Any] | None = None
    listed: bool = True

    @property
    def disagreement(self) -> bool:
        """Whether the reader contradicts the answer, in words or by what is seen."""
        if self.opinion == DISAGREE:
            return True
        above = {ABOVE: True, BELOW: False}.get(self.answered or self.reading.answer)
        return None not in (self.pneumonia, above) and self.pneumonia != above


def case_of(events: Sequence[Event]) -> KeptCase:
    """Returns what the events of one case come to, in their order.

    Args:
        events: of the case, the first of which is its reading.

    Raises:
        ValueError: they are none, or their contents are no such records.
    """
    first = events[0] if events else None
    if first is None or first.kind != READING or first.content is None:
        raise ValueError("expected the events of a case, its reading first")
    case = KeptCase(
        number=first.id,
        case_id=first.case_id,
        time=first.time,
        reader=first.actor,
        reading=_reading(first.content),
    )
    for event in events[1:]:
        case = _with(case, event, event.content or {})
    return case


def seen(answer: str, opinion: str, pneumonia: bool | None) -> bool | None:
    """Returns whether a review says pneumonia; None if it doesn't say.

    Agreeing with an answer, or disagreeing, says what the reader sees.

    Args:
        answer: of the model.
        opinion: of the reader, one of `OPINIONS`.
        pneumonia: what the reader says besides.

    Raises:
        CxrError: the two contradict each other (code `review`).
    """
    said: bool | None = None
    if answer in (ABOVE, BELOW) and opinion in (AGREE, DISAGREE):
        said = (answer == ABOVE) == (opinion == AGREE)
    if said is None:
        return pneumonia
    if pneumonia not in (None, said):
        raise CxrError(
            f"To {opinion} with {answer} and to see {'' if pneumonia else 'no '}"
            "pneumonia contradict each other. Say one of the two.",
            code="review",
        )
    return said


def _reading(content: Mapping[str, Any]) -> KeptReading:
    values = dict(content)
    # A field that a later version adds is not known here, and one that is null is none.
    known = {k: v for k, v in values.items() if k in KeptReading.__dataclass_fields__}
    return documents.build(known, KeptReading)


def _with(case: KeptCase, event: Event, content: Mapping[str, Any]) -> KeptCase:
    if event.kind == REVIEW:
        return replace(
            case,
            opinion=str(content.get("opinion", WITHDRAWN)),
            pneumonia=content.get("pneumonia"),
            answered=str(content.get("answer", "")),
            blind=bool(content.get("blind", False)),
            reason=str(content.get("reason", "")),
            reviewer=event.actor,
            reviewed=event.time,
        )
    if event.kind == ADDITION:
        return replace(case, **content)
    return case
