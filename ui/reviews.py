"""What Classify and History share of a review: its words, and when an answer waits."""

from cxr.config import settings
from cxr.records.kept import AGREE, DISAGREE, UNSURE

LONGEST_REASON = 300
ICONS = {
    AGREE: ":material/check:",
    DISAGREE: ":material/close:",
    UNSURE: ":material/question_mark:",
}
SEEN = {"Pneumonia": True, "No pneumonia": False}
SEEN_WORDS = {True: "pneumonia", False: "no pneumonia", None: ""}


def answer_waits(*, scored: bool, reviewed: bool) -> bool:
    """Returns whether the site wants a film's reader to say first what is seen.

    Args:
        scored: whether there is an answer that could be shown.
        reviewed: whether its reader has said it once.
    """
    return settings().read_first and scored and not reviewed
