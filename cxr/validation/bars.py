"""The bars that a site's own films hold a model against."""

from dataclasses import dataclass

from cxr.evaluation.estimates import Estimate
from cxr.evaluation.summary import Evaluation

# What the films of a hospital have to show. The numbers of films are those below which
# a validation says little (Vergouwe et al., J. Clin. Epidemiol. 58 (2005) 475-483;
# Collins et al., Stat. Med. 35 (2016) 214-226); the others are our own choice.
LEAST_OF_A_CLASS = 100
LEAST_SENSITIVITY = 0.90
LEAST_SPECIFICITY = 0.80
LEAST_AUC = 0.95
LARGEST_CALIBRATION_ERROR = 0.10
LARGEST_REFUSED_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One thing that the films have to show.

    Attributes:
        name: in a few words.
        sentence: what has to hold.
        bar: the value it is held against.
        value: what the films show; nan where that is undefined.
        passed: whether it holds; what is undefined does not.
    """

    name: str
    sentence: str
    bar: float
    value: float
    passed: bool


def bars_for(
    evaluated: Evaluation, *, films: int, refused: int, seen: int
) -> tuple[Bar, ...]:
    """Returns what the films have to show and what they do.

    Args:
        evaluated: of the scored films.
        films: in the folder.
        refused: of these, not scored.
        seen: of the scored ones, known to the model from its making.
    """
    n_negative = evaluated.n - evaluated.n_positive
    return (
        _at_least("pneumonia films", evaluated.n_positive, LEAST_OF_A_CLASS),
        _at_least("normal films", n_negative, LEAST_OF_A_CLASS),
        _at_most("films the model was made from", seen, 0),
        _at_most("refused share", refused / films, LARGEST_REFUSED_SHARE),
        _low("sensitivity", evaluated.sensitivity, LEAST_SENSITIVITY),
        _low("specificity", evaluated.specificity, LEAST_SPECIFICITY),
        _low("AUC", evaluated.auc, LEAST_AUC),
        _at_most("calibration error", evaluated.ece.value, LARGEST_CALIBRATION_ERROR),
    )


def _at_least(name: str, value: float, bar: float) -> Bar:
    return Bar(
        name=name,
        sentence=f"At least {bar:g} {name}.",
        bar=bar,
        value=value,
        passed=value >= bar,
    )


def _at_most(name: str, value: float, bar: float) -> Bar:
    sentence = f"The {name} is at most {bar:g}." if bar else f"No {name}."
    return Bar(name=name, sentence=sentence, bar=bar, value=value, passed=value <= bar)


def _low(name: str, estimate: Estimate, bar: float) -> Bar:
    return Bar(
        name=name,
        sentence=f"The 95 % interval of the {name} starts at {bar:g} or above.",
        bar=bar,
        value=estimate.low,
        passed=estimate.low >= bar,
    )
