"""One case in full: what was read, by whom, with what, and all that happened since."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from cxr.config import settings
from cxr.errors import CxrError
from cxr.films import display
from cxr.reading.cases import ANSWERS
from cxr.records import actors, films, history, search
from cxr.records.kept import (
    ADDITION,
    AGREE,
    DELETION,
    DISAGREE,
    READING,
    REVIEW,
    UNSURE,
    Event,
    KeptCase,
    KeptReading,
)
from ui import wording
from ui.errors import show_errors
from ui.history.cases import CASE, is_hidden
from ui.people import actor, allowed, say_who_can
from ui.reviews import LONGEST_REASON, SEEN, SEEN_WORDS
from ui.wording import VERDICTS, escaped

DID = {
    READING: "read",
    REVIEW: "reviewed",
    ADDITION: "added to it",
    DELETION: "deleted it",
}
VERDICT_OF = {answer: VERDICTS[kind] for kind, answer in ANSWERS.items()}
NOTICE = "history_notice"
CONTEXT = {
    "age_years": "{:.0f} years old",
    "temperature_celsius": "{:.1f} °C",
    "spo2_percent": "SpO2 {:.0f} %",
    "days_ill": "{:.0f} days ill",
    "pretest_probability": "{:.0%} probable before the film",
}


def show_case(case_id: str) -> None:
    """Shows one case; says so if it is not there any more.

    Args:
        case_id: of the case, as the page's address has it.
    """
    where = settings().records_dir
    try:
        case = search.case(where, case_id)
    except CxrError as error:
        if error.code != "no-case":
            raise
        st.info(wording.message(error.message), icon=":material/inventory_2:")
        return
    if is_hidden(case):
        st.info(
            "Say on Classify what you see in this film; then its answer is shown.",
            icon=":material/visibility_off:",
        )
        return
    grid = st.grid(2, min_column_width=380, gap="medium")
    with grid.cell():
        _show_film(case)
    with grid.cell():
        _show_answer(case)
        _show_facts(case)
        _show_review(case)
        _show_events(search.events_of(where, case_id))
        if not allowed(actors.DELETE_CASE):
            say_who_can(actors.DELETE_CASE)
        elif st.button("Delete this case", icon=":material/delete:", type="tertiary"):
            _delete(case)


def _show_film(case: KeptCase) -> None:
    where = settings().records_dir
    if not films.is_kept(where, case.case_id):
        st.markdown(":material/hide_image: The film was not kept.")
        return
    picture = display.unpacked(films.read(where, case.case_id))
    st.image(picture, width="stretch", alt=f"The film of case {case.case_id}")


def _show_answer(case: KeptCase) -> None:
    kept = case.reading
    verdict = VERDICT_OF.get(kept.answer, wording.REFUSED)
    st.markdown(f"### :{verdict.colour}[{verdict.icon} {verdict.words}]")
    if kept.probability is None:
        st.markdown(f"Reason code: {escaped(kept.code)}")
        return
    score = wording.probability(kept.probability, kept.threshold)
    whose = {"shipped": "shipped", "site": "this site's", "reader": "the reader's"}
    st.markdown(
        f"Probability of pneumonia **{score}**, {whose[kept.threshold_source]} "
        f"threshold {wording.threshold(kept.threshold)}."
    )
    for caution in kept.cautions:
        st.warning(escaped(caution), icon=":material/warning:")


def _show_facts(case: KeptCase) -> None:
    kept = case.reading
    facts = {
        "Case": case.case_id,
        "Read": f"{case.time[:19].replace('T', ' ')} UTC by {case.reader}",
        "Model": f"{kept.model_id}, network {kept.model_sha256[:12]}…, card "
        f"{kept.card_sha256[:12]}…",
        "File": _file(kept),
        "Frontal chest film": _logit(kept.frontal),
        "Unlike the training films": _logit(kept.unlike),
        "Answer under small changes": _stability(case),
        "Evidence": str(case.evidence["zone"]) if case.evidence else "",
        "Patient": _context(case),
        "Sample": "one of the samples that ship" if kept.sample else "",
    }
    st.markdown(
        "\n".join(
            f"- {name}: {escaped(value) or wording.NOT_MEASURED}"
            for name, value in facts.items()
            if value or name not in ("Sample", "Patient", "Evidence")
        )
    )


def _file(kept: KeptReading) -> str:
    if not kept.format:
        return ""
    return f"{kept.format}, {kept.width:,} × {kept.height:,} pixels, {kept.bits} bits"


def _logit(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} (logit)"


def _stability(case: KeptCase) -> str:
    if not case.stability:
        return ""
    held = case.stability
    return f"the same in {held['same']} of {len(held['probabilities'])}"


def _context(case: KeptCase) -> str:
    known = ((CONTEXT[name], value) for name, value in case.context.items())
    return ", ".join(words.format(value) for words, value in known if value is not None)


def _show_review(case: KeptCase) -> None:
    """Shows the newest review, and a form for the next."""
    if case.opinion:
        reason = f": {escaped(case.reason)}" if case.reason else ""
        before = "before the answer was shown" if case.blind else ""
        parts = (f"**{case.opinion}**", SEEN_WORDS[case.pneumonia], before)
        said = ", ".join(part for part in parts if part)
        st.markdown(f"**{escaped(case.reviewer)}** says {said}{reason}")
    if not allowed(actors.REVIEW):
        say_who_can(actors.REVIEW)
        return
    with (
        st.popover("Review", icon=":material/rate_review:"),
        st.form(f"review_{case.case_id}"),
    ):
        opinion = st.segmented_control(
            "The answer", [AGREE, DISAGREE, UNSURE], default=case.opinion or None
        )
        seen_now = st.segmented_control("The film shows", list(SEEN))
        reason_now = st.text_input("Reason", case.reason, max_chars=LONGEST_REASON)
        if not st.form_submit_button("Keep this review"):
            return
        if not opinion:
            st.warning("Choose agree, disagree or unsure.")
        else:
            with show_errors("Nothing was changed."):
                history.review(
                    settings().records_dir,
                    case.case_id,
                    opinion,
                    actor=actor(),
                    reason=reason_now,
                    pneumonia=SEEN.get(seen_now or ""),
                )
                st.rerun()


def _show_events(events: list[Event]) -> None:
    with st.expander(f"What happened ({len(events)})", icon=":material/history:"):
        st.dataframe(
            [
                {
                    "Time (UTC)": event.time[:19].replace("T", " "),
                    "Who": event.actor,
                    "Did": DID.get(event.kind, event.kind),
                    "What": _said(event),
                }
                for event in events
            ],
            hide_index=True,
            alt="What happened to the case, in order",
        )


def _said(event: Event) -> str:
    content = event.content or {}
    if event.kind == REVIEW:
        return _review_words(content)
    if event.kind == ADDITION:
        return "taken off the list" if "listed" in content else ", ".join(content)
    return str(content.get("answer", content.get("reason", "")))


def _review_words(content: Mapping[str, Any]) -> str:
    if not content.get("opinion"):
        return "took the review back"
    seen = SEEN_WORDS[content.get("pneumonia")]
    before = "before the answer was shown" if content.get("blind") else ""
    parts = (content["opinion"], seen, before, content.get("reason"))
    return ", ".join(part for part in parts if part)


@st.dialog("Delete this case?", icon=":material/delete:")
def _delete(case: KeptCase) -> None:
    st.markdown(
        f"Case **{case.case_id}**, read {case.time[:16].replace('T', ' ')} UTC. "
        "What was kept of it is erased, its film too. That it was deleted, by whom, "
        "when and why stays."
    )
    with show_errors("Nothing was deleted."), st.form("delete_case"):
        reason = st.text_input("Reason, without anything of a patient", max_chars=300)
        if st.form_submit_button("Delete", type="primary"):
            where = settings().records_dir
            history.delete(where, case.case_id, actor=actor(), reason=reason)
            st.query_params.pop(CASE, None)
            st.session_state[NOTICE] = f"Case {case.case_id} was deleted."
            st.rerun()
