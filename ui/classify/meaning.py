"""What an answer means here, and what the threshold costs, counted on test films.

It owns the sentences on likelihood ratio, probability here and patients per 1,000.
"""

import streamlit as st

from cxr.evaluation.estimates import Estimate
from cxr.models.cards import Card
from cxr.reading.cases import NO_ANSWER, Case
from cxr.reading.meaning import Answers, probability_after
from cxr.records.kept import ABOVE, BELOW
from ui import wording
from ui.classify.terms import Terms, ask_prevalence


def show_meaning(case: Case, at: Terms, card: Card) -> None:
    """Shows the likelihood ratio of an answer, the probability here, and the costs.

    Args:
        case: a film that was scored.
        at: the terms on which it was read.
        card: of the model that read it.
    """
    ratio, before = case.likelihood_ratio, case.context.pretest_probability
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words = [] if at.prevalence is None else [here_words(at.prevalence, ratio)]
        st.markdown(" · ".join([*words, ratio_words(ratio)]))
        ask_prevalence()
    if before is not None:
        st.markdown(patient_words(before, ratio))
    st.markdown(cost_words(at))
    with st.expander("How was this measured"):
        st.markdown("\n\n".join(measured_words(at.answers, card)))


def ratio_words(ratio: Estimate | None) -> str:
    """Returns the likelihood ratio of an answer with its interval, as Markdown."""
    return f"Likelihood ratio {_strong(wording.ratio(ratio))}"


def here_words(before: float, ratio: Estimate | None) -> str:
    """Returns the probability of pneumonia here, after an answer, as Markdown."""
    return f"Here ({wording.percent(before)}) {_strong(_after(before, ratio))}"


def patient_words(before: float, ratio: Estimate | None) -> str:
    """Returns the probability of one patient before and after the film, as Markdown."""
    return (
        f"This patient: {wording.percent(before)} before the film, "
        f"{_strong(_after(before, ratio))} after it."
    )


def cost_words(at: Terms) -> str:
    """Returns what the threshold costs in patients per 1,000, as Markdown."""
    counted = at.answers
    if counted is None:
        return "What this threshold costs was not measured: there are no test films."
    if at.prevalence is None:
        ill, well = counted.ill, counted.well
        return (
            f"Of 1,000 with pneumonia {_strong(_thousandths(ill[BELOW]))} missed, "
            f"{_thousandths(ill[NO_ANSWER])} without an answer; of 1,000 without it "
            f"{_strong(_thousandths(well[ABOVE]))} false alarms, "
            f"{_thousandths(well[NO_ANSWER])} without an answer."
        )
    costs = counted.costs(prevalence=at.prevalence)
    return (
        f"Of 1,000 here: {_strong(wording.patients(costs.missed))} missed, "
        f"{_strong(wording.patients(costs.alarms))} false alarms, "
        f"{wording.patients(costs.no_answer)} without an answer."
    )


def measured_words(counted: Answers | None, card: Card) -> list[str]:
    """Returns what the figures rest on, in sentences of Markdown."""
    shipped = (
        f"The shipped threshold, {wording.threshold(card.threshold.value)}, was chosen "
        f"on the {card.threshold.split} films: {wording.sentence(card.threshold.rule)}"
    )
    share = (
        "The probability on the scale holds where "
        f"{100 * card.calibration.prevalence:.0f} of 100 films show pneumonia, as "
        "among the films that it was calibrated on. Where fewer do, it is lower."
    )
    if counted is None:
        return [shipped, share]
    films = counted.n_ill + counted.n_well
    return [
        f"On {films:,} test films of {counted.n_patients:,} patients, "
        f"{counted.n_ill:,} with pneumonia, held out from training and from every "
        "choice; in brackets 95 % intervals. A likelihood ratio says how much more "
        "often ill patients get this answer than others. All figures hold for patients "
        "like those.",
        shipped,
        share,
    ]


def _strong(figure: str) -> str:
    """Returns a figure with its interval, the figure alone in bold."""
    value, space, interval = figure.partition(" (")
    return f"**{value}**{space}{interval}"


def _after(before: float, ratio: Estimate | None) -> str:
    if ratio is None:
        return wording.NOT_MEASURED
    return wording.probability_estimate(probability_after(before, ratio))


def _thousandths(share: Estimate) -> str:
    return wording.patients(share.through(lambda value: 1000 * value))
