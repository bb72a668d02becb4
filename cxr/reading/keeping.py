"""A case into the history: which of its facts are kept, and that keeping may fail.

It owns the one way from a reading to a kept case, for page and command line. Films are
read on where nothing can be kept.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from cxr.errors import CxrError, ImageError
from cxr.films import display
from cxr.models.inference import Model
from cxr.reading.cases import Case, Context, Review
from cxr.reading.stability import Stability
from cxr.reading.zones import Evidence
from cxr.records import history
from cxr.records.kept import WITHDRAWN, KeptCase, KeptReading

_Done = TypeVar("_Done")


@dataclass(kw_only=True)
class Keeper:
    """Does one act of the history after the other; where it can't, films are read on.

    Attributes:
        missed: how many acts were not done.
        trouble: why the newest one was not done; None if it was.
    """

    missed: int = 0
    trouble: CxrError | None = None

    def tried(self, act: Callable[[], _Done]) -> _Done | None:
        """Returns what an act gives; None where it could not be done."""
        try:
            done = act()
        except CxrError as error:
            self.missed, self.trouble = self.missed + 1, error
            return None
        self.trouble = None
        return done


def keep(
    case: Case,
    model: Model,
    records_dir: Path,
    *,
    actor: str,
    worklist: str = "",
    site: str = "",
    with_film: bool = False,
) -> str:
    """Keeps a case in the history, on the disk, and returns its id there.

    The name of its file is not kept. A context, stability or evidence that the case
    has already is; `add` adds what comes later, and `review` a reader's review.

    Args:
        case: as it was read.
        model: that read it.
        records_dir: of the history.
        actor: who had the film read.
        worklist: random id of the list that it was read in.
        site: name of the site's operating point, where its threshold is that.
        with_film: keeps the picture of the reading too, where it has one.

    Raises:
        CxrError: nothing was kept; its message says why.
    """
    picture = None
    if with_film and case.reading.picture.size:
        picture = display.png(case.reading.picture)
    return history.keep(
        records_dir,
        reading_of(case, model, worklist=worklist, site=site),
        actor=actor,
        picture=picture,
        context=None if case.context == Context() else asdict(case.context),
        stability=None if case.stability is None else asdict(case.stability),
        evidence=None if case.evidence is None else asdict(case.evidence),
    )


def add(
    records_dir: Path,
    case_id: str,
    *,
    actor: str,
    context: Context | None = None,
    stability: Stability | None = None,
    evidence: Evidence | None = None,
) -> KeptCase:
    """Adds to a kept case what was asked of it or is known besides.

    Args:
        records_dir: of the history.
        case_id: of the case.
        actor: who adds it.
        context: what is known of the patient; takes the place of an earlier one.
        stability: whether the answer holds under small changes.
        evidence: where in the lungs the evidence lies.

    Raises:
        CxrError: nothing was added; its message says why.
    """
    return history.add(
        records_dir,
        case_id,
        actor=actor,
        context=None if context is None else asdict(context),
        stability=None if stability is None else asdict(stability),
        evidence=None if evidence is None else asdict(evidence),
    )


def review(
    records_dir: Path,
    case_id: str,
    said: Review | None,
    *,
    actor: str,
    answer: str = "",
) -> KeptCase:
    """Adds a reader's review to a kept case; None takes the newest back.

    Args:
        records_dir: of the history.
        case_id: of the case.
        said: by the reader.
        actor: whose review it is.
        answer: that the review is on; empty for that of the reading.

    Raises:
        CxrError: nothing was added; its message says why.
    """
    return history.review(
        records_dir,
        case_id,
        WITHDRAWN if said is None else said.opinion,
        actor=actor,
        reason="" if said is None else said.reason,
        pneumonia=None if said is None else said.pneumonia,
        answer=answer,
        blind=said is not None and said.blind,
    )


def reading_of(
    case: Case, model: Model, *, worklist: str = "", site: str = ""
) -> KeptReading:
    """Returns what the history keeps of a case's reading; digests are not keyed yet.

    Args:
        case: as it was read.
        model: that read it.
        worklist: random id of the list that it was read in.
        site: name of the site's operating point, or empty.
    """
    reading, result = case.reading, case.reading.result
    score = None if isinstance(result, ImageError) else result
    likeness = reading.likeness
    return KeptReading(
        worklist=worklist,
        film=case.sha256,
        patient=reading.patient,
        model_id=model.card.model_id,
        model_sha256=model.sha256,
        card_sha256=model.card_sha256,
        threshold=case.threshold,
        threshold_source=case.threshold_source,
        site=site,
        answer=case.answer,
        probability=None if score is None else score.probability,
        logit=None if score is None else score.logit,
        code=result.code if isinstance(result, ImageError) else "",
        frontal=None if likeness is None else likeness.frontal,
        unlike=None if likeness is None else likeness.unlike,
        brightness=reading.brightness,
        contrast=reading.contrast,
        cautions=reading.cautions,
        warnings=reading.warnings,
        format=reading.format,
        bits=reading.bits,
        height=reading.height,
        width=reading.width,
        sample=case.sample,
    )
