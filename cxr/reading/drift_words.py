"""What has moved, in sentences for whoever answers for a model's use.

It owns the words on drift, for page, report and command line.
"""

import math
from collections.abc import Sequence

from cxr.evaluation import alignment
from cxr.evaluation.alignment_watch import Apart, Place
from cxr.evaluation.drift import (
    BRIGHTNESS,
    CONTRAST,
    DISTANCE,
    EARLIER,
    FALSE_ALARMS,
    SCORE,
    UNANSWERED,
    Drift,
    Level,
)
from cxr.evaluation.estimates import Estimate

NAMES = {
    SCORE: "Scores",
    DISTANCE: "Distance from the films that the model knows",
    UNANSWERED: "Share without an answer",
    BRIGHTNESS: "Brightness of the films",
    CONTRAST: "Contrast of the films",
}
MOST_PLACES = 1e6  # more are no figure that says anything
HELP = (
    "Every film is held against those before it, and against the model's own films. "
    "All of these tests together raise a false alarm in at most 1 of "
    f"{1 / FALSE_ALARMS:.0f} places, over all films that are ever read there and "
    "however often one looks. Only the first film of a patient counts. A change of the "
    "patients (season, ward, age) is a change too: brightness and contrast tell of the "
    "films alone, scores and distance of both."
)


def sentence(found: Drift, times: Sequence[str]) -> str:
    """Returns whether a figure moved, since when and how far.

    Args:
        found: of one figure.
        times: of the reading of each film, UTC, ISO 8601.
    """
    name, than = NAMES[found.figure], _than(found)
    if not found.films:
        return f"{name}: no film has this figure yet."
    if found.said_at is None or found.since is None:
        return f"{name}: no change against {than} that chance would not make."
    return (
        f"{name} moved against {than}, most likely since {_day(times[found.since])} "
        f"(film {found.since + 1:,} of {len(times):,}): {_moved(found)}."
    )


def chance(found: Drift | Place) -> str:
    """Returns how often chance alone would come to as much."""
    if found.e_value <= 1:
        return "Nothing speaks for a change."
    return (
        f"Chance does this in at most 1 of {places(found.e_value)} places where "
        "nothing changes."
    )


def places(e_value: float) -> str:
    """Returns in how many places chance does as much once, in words."""
    if e_value > MOST_PLACES:
        return f"over {MOST_PLACES:,.0f}"
    return f"{max(e_value, 1):,.0f}"


def place_sentence(found: Place, times: Sequence[str]) -> str:
    """Returns whether the threshold still lies where it belongs.

    Args:
        found: among the films that were read.
        times: of the reading of each film, UTC, ISO 8601.
    """
    if found.said_at is not None and found.since is not None:
        words = (
            "The threshold no longer lies where it belongs, most likely since "
            f"{_day(times[found.since])} (film {found.since + 1:,} of {len(times):,})"
        )
    elif found.fit is None:
        return (
            "Whether the threshold lies where it belongs can't be said yet: at least "
            f"{alignment.FEWEST} films with a score are needed."
        )
    else:
        words = "Nothing says that the threshold does not lie where it belongs"
    if found.fit is None:
        return f"{words}."
    belongs = found.fit.threshold.through(_probability)
    return (
        f"{words}. By the latest {found.fit.films:,} films it would be "
        f"{_interval(belongs)} instead of {_figure(_probability(found.stands))}, and "
        f"{_interval(found.fit.share, percent=True)} of the patients are ill."
    )


def apart_sentence(found: Apart) -> str:
    """Returns what can be told of a change of scores: more ill patients, or a shift."""
    shares = _from_to(found.before.share, found.after.share, percent=True)
    places = _from_to(
        found.before.threshold.through(_probability),
        found.after.threshold.through(_probability),
    )
    if found.share and not found.place:
        return (
            f"As if the share of ill patients had changed, {shares}; the threshold "
            "lies where it did."
        )
    if found.place and not found.share:
        return (
            "Scores of ill and well patients moved alike: the threshold went "
            f"{places}; the share of ill patients is what it was."
        )
    if found.place and found.share:
        return (
            f"Both the share of ill patients ({shares}) and the place of the threshold "
            f"({places}) have changed."
        )
    return (
        "Whether more patients are ill or all scores have shifted can't be told from "
        f"these films: share {shares}, threshold {places}."
    )


def _than(found: Drift) -> str:
    return "earlier films" if found.against == EARLIER else "the model's own films"


def _moved(found: Drift) -> str:
    parts = []
    before, after = found.before, found.after
    if before is None or after is None:
        return "no level before it is known"
    if not math.isnan(before.median):
        parts.append(
            f"median {_level(before, found)} before, {_level(after, found)} since"
        )
    if not math.isnan(before.share.value):
        what = {
            SCORE: "above the threshold",
            DISTANCE: "far from what the model knows",
            UNANSWERED: "without an answer",
        }[found.figure]
        parts.append(f"{what} {_from_to(before.share, after.share, percent=True)}")
    return "; ".join(parts)


def _level(level: Level, found: Drift) -> str:
    return _figure(level.median) if found.figure == SCORE else f"{level.median:.1f}"


def _from_to(before: Estimate, after: Estimate, *, percent: bool = False) -> str:
    return (
        f"from {_interval(before, percent=percent)} to "
        f"{_interval(after, percent=percent)}"
    )


def _interval(value: Estimate, *, percent: bool = False) -> str:
    if percent:
        first, low, high = (100 * v for v in (value.value, value.low, value.high))
        return f"{first:.1f} % ({low:.1f} to {high:.1f})"
    return f"{_figure(value.value)} ({_figure(value.low)} to {_figure(value.high)})"


def _figure(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value <= 0.9 else f"{value:.3f}"


def _day(time: str) -> str:
    return time[:10]


def _probability(value: float) -> float:
    return 1 / (1 + math.exp(-value))
