"""The second model over the tiles and curves of the first: on the same films only.

It owns which figures of the other model may lie over those that the page shows.
"""

from dataclasses import dataclass

from cxr.errors import CxrError
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.overview import CurveLines
from cxr.evaluation.summary import Evaluation
from ui import side_by_side, wording
from ui.dashboard.source import Source

TEST = "test"


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """The other model on the films that the page shows.

    Attributes:
        model_id: which.
        evaluation: at its own shipped threshold.
        lines: its rates at every threshold.
    """

    model_id: str
    evaluation: Evaluation
    lines: CurveLines

    def values(self) -> dict[str, Estimate]:
        """Returns its figures by the name of the tile that they lie under."""
        whole = self.evaluation
        return {
            "Sensitivity": whole.sensitivity,
            "Specificity": whole.specificity,
            "No answer": wording.answered(whole, "no_answer"),
            "No answer, normal": wording.answered(whole, "no_answer_well"),
            "Answered: sensitivity": wording.answered(whole, "sensitivity"),
            "Answered: specificity": wording.answered(whole, "specificity"),
            "AUC": whole.auc,
            "Calibration error": whole.ece,
        }


def beside(source: Source) -> Beside | None:
    """Returns the other model on the films shown.

    None if no other is chosen, and where it has no scores of just these films: the
    section of the comparison says which films both have.
    """
    if not source.other or source.films.key != TEST:
        return None
    try:
        both = side_by_side.of_models(source.card.model_id, source.other)
    except CxrError:
        return None  # The section of the comparison says why.
    if side_by_side.test_films_differ(both):
        return None
    return Beside(
        model_id=source.other,
        evaluation=both.comparison.evaluations[source.other],
        lines=both.lines[source.other],
    )
