"""What has moved, in sentences with dates, films, levels and intervals."""

from dataclasses import replace

import pytest
from fits import fit

from cxr.evaluation.alignment_watch import Apart, Place
from cxr.evaluation.drift import (
    BRIGHTNESS,
    EARLIER,
    MODEL,
    SCORE,
    UNANSWERED,
    Drift,
    Level,
)
from cxr.evaluation.estimates import Estimate
from cxr.reading import drift_words

TIMES = tuple(f"2026-11-{day:02}T08:00:00.000+00:00" for day in range(1, 29))
SHARE = Estimate(value=0.2, low=0.1, high=0.3)
MORE = Estimate(value=0.4, low=0.35, high=0.45)


def moved(figure, against=EARLIER, **values):
    before = Level(films=10, median=0.3, share=SHARE)
    after = Level(films=18, median=0.45, share=MORE)
    found = Drift(
        figure=figure,
        against=against,
        films=28,
        e_value=1234.5,
        limit=400,
        said_at=14,
        since=9,
        before=before,
        after=after,
    )
    return replace(found, **values)


def test_a_figure_that_moved_has_its_date_film_and_levels():
    assert drift_words.sentence(moved(SCORE), TIMES) == (
        "Scores moved against earlier films, most likely since 2026-11-10 (film 10 of "
        "28): median 0.30 before, 0.45 since; above the threshold from 20.0 % (10.0 to "
        "30.0) to 40.0 % (35.0 to 45.0)."
    )


def test_tone_has_no_share_and_a_share_no_median():
    nothing = Estimate(value=float("nan"), low=float("nan"), high=float("nan"))
    tone = moved(
        BRIGHTNESS,
        before=Level(films=10, median=123.04, share=nothing),
        after=Level(films=18, median=101.0, share=nothing),
    )
    assert drift_words.sentence(tone, TIMES).endswith(
        "median 123.0 before, 101.0 since."
    )
    left = moved(
        UNANSWERED,
        MODEL,
        before=Level(films=10, median=float("nan"), share=SHARE),
        after=Level(films=18, median=float("nan"), share=MORE),
    )
    words = drift_words.sentence(left, TIMES)
    assert "against the model's own films" in words and "median" not in words
    assert "without an answer from 20.0 %" in words


def test_what_did_not_move_is_said_too():
    still = moved(SCORE, said_at=None, since=None, after=None, e_value=2.0)
    assert drift_words.sentence(still, TIMES) == (
        "Scores: no change against earlier films that chance would not make."
    )
    assert "no film" in drift_words.sentence(replace(still, films=0), ())


@pytest.mark.parametrize(
    ("e_value", "words"), [(1.0, "Nothing speaks"), (1234.5, "1 of 1,234 places")]
)
def test_chance_is_a_number_of_places(e_value, words):
    assert words in drift_words.chance(moved(SCORE, e_value=e_value))


def placed(threshold, share):
    around = Estimate(value=threshold, low=threshold - 0.1, high=threshold + 0.1)
    return fit(around, share)


def test_the_place_of_the_threshold_is_a_probability():
    place = Place(
        stands=-2.0,
        tolerance=0.3,
        films=600,
        e_value=1.0,
        limit=400,
        said_at=None,
        since=None,
        fit=placed(-2.0, SHARE),
    )
    words = drift_words.place_sentence(place, TIMES)
    assert words.startswith("Nothing says that the threshold does not lie")
    assert "it would be 0.12 (0.11 to 0.13) instead of 0.12, and 20.0 %" in words
    gone = replace(place, said_at=20, since=10)
    assert "since 2026-11-11 (film 11 of 28)" in drift_words.place_sentence(gone, TIMES)
    few = replace(place, fit=None)
    assert "at least 100 films" in drift_words.place_sentence(few, TIMES)


@pytest.mark.parametrize(
    ("share", "place", "words"),
    [
        (True, False, "As if the share of ill patients had changed, from 20.0 %"),
        (False, True, "moved alike: the threshold went from 0.12"),
        (True, True, "Both the share"),
        (False, False, "can't be told"),
    ],
)
def test_what_can_be_told_apart_is_said(share, place, words):
    found = Apart(
        before=placed(-2, SHARE), after=placed(-1, MORE), share=share, place=place
    )
    assert words in drift_words.apart_sentence(found)
