"""What a model is worth where it reads films: its answers against its readers' reviews.

It owns these rates and their intervals. Three things stand beside them, since no
interval holds them: how many films of each answer were reviewed at all; that a reader
who has seen the answer leans towards it; and that a film without an answer is in none
of them.

Readers look at films above the threshold more often than at those below. Sensitivity
among the reviewed films is then too high and specificity too low. Within an answer the
share of pneumonia stays what it is, so both can be put together again from these shares
and the number of films that got each answer, if within an answer nobody chose the films
by what they show.

Reference:
    Begg and Greenes, Biometrics 39 (1983) 207-215 (the weighted rates); Zou and Donner,
    Stat. Med. 27 (2008) 1693-1702 (their intervals, by MOVER).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import UNDEFINED, Estimate, Mask, proportion, ratio
from cxr.evaluation.inputs import Floats, patient_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Reviews:
    """Films that were read and what readers said of them, columns of shape `(n,)`.

    Attributes:
        above: whether the answer was "above threshold".
        below: whether it was "below threshold".
        refused: whether the film was refused; a film of none of the three got no
            answer.
        reviewed: whether a reader gave an opinion.
        agreed: whether the latest opinion was that the answer is right.
        disagreed: whether it was that the answer is wrong.
        pneumonia: 1 or 0, what the reader saw; nan where nobody said it.
        patients: anything that tells patients apart; None where nobody knows them.
    """

    above: Mask
    below: Mask
    refused: Mask
    reviewed: Mask
    agreed: Mask
    disagreed: Mask
    pneumonia: Floats
    patients: ArrayLike | None = None


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The films that got one answer.

    Attributes:
        films: that got it.
        reviewed: of these.
        pneumonia: of the reviewed ones, those in which the reader saw it.
        without: those in which the reader saw none; the others are unsure.
    """

    films: int
    reviewed: int
    pneumonia: int
    without: int


@dataclass(frozen=True, kw_only=True)
class Live:
    """Rates of the films read; nan where nothing was reviewed.

    Attributes:
        above: films above the threshold.
        below: films below it.
        no_answer: films without an answer.
        refused: films that were refused.
        unanswered: share of all films without an answer or refused.
        agreement: share of "agree" among "agree" and "disagree".
        sensitivity: among reviewed films with an answer.
        specificity: likewise.
        ppv: share of pneumonia among reviewed films above the threshold.
        npv: share without it among reviewed films below it.
        weighted_sensitivity: of all films with an answer, reviewed or not, if within
            an answer the reviewed films are like the others.
        weighted_specificity: likewise.
    """

    above: Stratum
    below: Stratum
    no_answer: Stratum
    refused: Stratum
    unanswered: Estimate
    agreement: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    weighted_sensitivity: Estimate
    weighted_specificity: Estimate

    @property
    def strata(self) -> tuple[Stratum, Stratum, Stratum, Stratum]:
        """Above, below, no answer, refused."""
        return self.above, self.below, self.no_answer, self.refused

    @property
    def films(self) -> int:
        """How many films were read."""
        return sum(stratum.films for stratum in self.strata)

    @property
    def reviewed(self) -> int:
        """How many of them were reviewed."""
        return sum(stratum.reviewed for stratum in self.strata)


def live(reviews: Reviews) -> Live:
    """Returns what a model is worth by the reviews of the films that it read.

    Intervals of 95 % are those of `estimates.proportion`; those of the weighted rates
    are put together from the intervals of what they are made of.

    Args:
        reviews: of the films; there may be none.
    """
    r, n = reviews, reviews.above.size
    everything = np.ones(n, np.bool_)
    patients = patient_codes(r.patients, n) if n else None
    ill, well = r.pneumonia == 1, r.pneumonia == 0
    answered = r.above | r.below
    ppv = proportion(ill, r.above & (ill | well), patients)
    npv = proportion(well, r.below & (ill | well), patients)
    strata = (r.above, r.below, ~answered & ~r.refused, r.refused)
    above, below, no_answer, refused = (_stratum(r, own) for own in strata)
    return Live(
        above=above,
        below=below,
        no_answer=no_answer,
        refused=refused,
        unanswered=proportion(~answered, everything, patients),
        agreement=proportion(r.agreed, r.agreed | r.disagreed, patients),
        sensitivity=proportion(r.above, ill & answered, patients),
        specificity=proportion(r.below, well & answered, patients),
        ppv=ppv,
        npv=npv,
        weighted_sensitivity=_weighted(r.above, answered, ppv, _rest(npv)),
        weighted_specificity=_weighted(r.below, answered, npv, _rest(ppv)),
    )


def _stratum(reviews: Reviews, own: Mask) -> Stratum:
    return Stratum(
        films=int(own.sum()),
        reviewed=int((own & reviews.reviewed).sum()),
        pneumonia=int((own & (reviews.pneumonia == 1)).sum()),
        without=int((own & (reviews.pneumonia == 0)).sum()),
    )


def _rest(share: Estimate) -> Estimate:
    return share.through(lambda value: 1 - value)


def _weighted(
    right: Mask, answered: Mask, share: Estimate, missed: Estimate
) -> Estimate:
    """Returns the share of a class that got the right answer.

    Its odds are the films of the class with the right answer against those with the
    wrong one: those of the answers themselves times a quotient of two shares, all three
    independent.

    Args:
        right: films that got the answer that is right for the class.
        answered: films that got an answer.
        share: of the class among those with the right answer.
        missed: share of the class among those with the wrong one.
    """
    answers = proportion(right, answered, None)
    if not 0 < answers.value < 1:
        return UNDEFINED
    odds = _product(answers.through(lambda p: p / (1 - p)), ratio(share, missed))
    return odds.through(lambda value: 1 - 1 / (1 + value))


def _product(a: Estimate, b: Estimate) -> Estimate:
    """Returns the product of two independent estimates, the first one finite, above 0.

    The logs of its limits lie as far off as those of both together (MOVER); where the
    second one is 0 or infinite, which has no such distance, limit meets limit.
    """
    value = a.value * b.value
    if not 0 < b.value < math.inf:
        return Estimate(value=value, low=a.low * b.low, high=a.high * b.high)
    below = math.hypot(_log(a.value / a.low), _log(b.low / b.value))
    above = math.hypot(_log(a.high / a.value), _log(b.high / b.value))
    return Estimate(
        value=value, low=value * math.exp(-below), high=value * math.exp(above)
    )


def _log(value: float) -> float:
    return math.log(value) if value else -math.inf
