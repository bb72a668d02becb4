"""What an answer means where films are read, and what a threshold costs there.

It owns how often each of the three answers is given to test films with and without
pneumonia, and what follows from that: the likelihood ratio of an answer, the
probability after it, and the patients of 1,000 who are missed, called in vain or left
without an answer. The share of patients who are ill is never assumed: a reader or a
site states it, or there is none.
"""

from dataclasses import dataclass

import numpy as np

from cxr.evaluation import estimates
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.inputs import patient_codes, require_between
from cxr.evaluation.scores import Scores
from cxr.models.cards import UncertainBand
from cxr.reading.cases import NO_ANSWER
from cxr.records.kept import ABOVE, BELOW

SCORED = (ABOVE, NO_ANSWER, BELOW)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a threshold does to 1,000 patients of one prevalence, with 95 % intervals.

    Attributes:
        prevalence: share of the patients who have pneumonia, `(0, 1)`.
        missed: patients with pneumonia whose film is below the threshold.
        alarms: patients without it whose film is above the threshold.
        no_answer: patients of either kind whose film gets no answer.
    """

    prevalence: float
    missed: Estimate
    alarms: Estimate
    no_answer: Estimate


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How often each answer is given, on films that nothing was chosen on.

    Attributes:
        ill: share of the films with pneumonia that get an answer, by the answer.
        well: share of the films without it, likewise.
        n_ill: films with pneumonia.
        n_well: films without it.
        n_patients: of all of them.
    """

    ill: dict[str, Estimate]
    well: dict[str, Estimate]
    n_ill: int
    n_well: int
    n_patients: int

    def likelihood_ratio(self, answer: str) -> Estimate:
        """Returns how much more often ill than well patients get an answer.

        Args:
            answer: one of `SCORED`.

        Reference:
            Deeks and Altman, BMJ 329 (2004) 168-169.
        """
        return estimates.ratio(self.ill[answer], self.well[answer])

    def costs(self, *, prevalence: float) -> Costs:
        """Returns what the answers do to 1,000 patients.

        The shares are taken to stay as they are, which holds where the patients differ
        in how many are ill, not in how the ill or the well look on a film.

        Args:
            prevalence: between 0 and 1, both excluded.
        """
        require_between(prevalence, 0, 1, name="prevalence")
        ill, well = 1000 * prevalence, 1000 * (1 - prevalence)
        return Costs(
            prevalence=prevalence,
            missed=self.ill[BELOW].through(lambda share: ill * share),
            alarms=self.well[ABOVE].through(lambda share: well * share),
            no_answer=estimates.weighted_sum(
                (ill, self.ill[NO_ANSWER]), (well, self.well[NO_ANSWER])
            ),
        )


def answers(scores: Scores, band: UncertainBand, threshold: float) -> Answers:
    """Returns how often each answer is given at a threshold.

    Args:
        scores: of test films of both classes.
        band: the model's, in which it gives no answer.
        threshold: the reader's operating point, `[0, 1]`.
    """
    low, high = band.around(threshold)
    given = np.digitize(scores.probabilities, (low, high))
    is_given = {ABOVE: given == 2, NO_ANSWER: given == 1, BELOW: given == 0}
    patients = patient_codes(scores.patients, scores.labels.size)
    ill = scores.labels == 1
    return Answers(
        ill={a: estimates.proportion(is_given[a], ill, patients) for a in SCORED},
        well={a: estimates.proportion(is_given[a], ~ill, patients) for a in SCORED},
        n_ill=int(ill.sum()),
        n_well=int((~ill).sum()),
        n_patients=len(set(scores.patients)),
    )


def probability_after(before: float, likelihood_ratio: Estimate) -> Estimate:
    """Returns the probability of pneumonia after an answer, by Bayes' rule.

    Its interval is that of the likelihood ratio; the probability before is taken as
    stated.

    Args:
        before: the probability before the film was seen, `(0, 1)`: the prevalence
            among patients like this one.
        likelihood_ratio: of the answer.
    """
    require_between(before, 0, 1, name="before")
    odds = before / (1 - before)
    return likelihood_ratio.through(lambda ratio: 1 - 1 / (1 + odds * ratio))
