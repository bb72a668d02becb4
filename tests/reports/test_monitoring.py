"""The report on a model at work: what it says, as a page and on paper."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import pytest
from fits import fit
from pypdf import PdfReader

from cxr.evaluation.alignment_watch import Apart
from cxr.evaluation.drift import BRIGHTNESS, EARLIER, Drift, Level
from cxr.evaluation.estimates import UNDEFINED, Estimate
from cxr.evaluation.live import Live, Stratum
from cxr.reading.monitoring import Watch
from cxr.reading.period import ModelPeriod, Period
from cxr.reports import monitoring

SINCE, UNTIL = datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
MADE = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
HALF = Estimate(value=0.5, low=0.25, high=0.75)
TIMES = tuple(f"2026-11-{day:02}T08:00:00.000+00:00" for day in range(1, 23))


def live():
    rates = dict.fromkeys(Live.__dataclass_fields__, HALF)
    strata = {
        "above": Stratum(films=20, reviewed=10, pneumonia=8, without=2),
        "below": Stratum(films=60, reviewed=4, pneumonia=0, without=4),
        "no_answer": Stratum(films=12, reviewed=0, pneumonia=0, without=0),
        "refused": Stratum(films=8, reviewed=0, pneumonia=0, without=0),
    }
    return Live(**rates | strata | {"npv": UNDEFINED})


def drift(said_at=None):
    moved = said_at is not None
    level = Level(films=9, median=120.0, share=UNDEFINED)
    return Drift(
        figure=BRIGHTNESS,
        against=EARLIER,
        films=22,
        e_value=5000.0 if moved else 1.0,
        limit=400,
        said_at=said_at,
        since=10 if moved else None,
        before=level,
        after=level if moved else None,
    )


def report(*, said_at=None, watched=True, **values):
    watch = Watch(
        model_id="m-1",
        times=TIMES,
        threshold=0.4,
        drifts=(drift(said_at),),
        place=None,
        apart=None,
    )
    model = ModelPeriod(
        model_id="m-1",
        model_sha256="ab" * 32,
        thresholds=((0.4, 90), (0.5, 10)),
        answers={},
        live=live(),
        tested=None,
        watch=watch if watched else None,
    )
    facts = {
        "since": SINCE,
        "until": UNTIL,
        "films": 100,
        "samples": 2,
        "answers": {
            "above threshold": 20,
            "below threshold": 60,
            "no answer": 12,
            "refused": 8,
        },
        "refusals": {"sideways": 7, "no-such-code": 1},
        "days": {
            f"2026-11-{day}": {
                "above threshold": 10,
                "below threshold": 30,
                "no answer": 6,
                "refused": 4,
            }
            for day in (16, 17)
        },
        "reviewed": 14,
        "disagreements": 2,
        "models": (model,),
        "deleted": 3,
    }
    return Period(**facts | values)


class Words(HTMLParser):
    """The text of a page, and every address in it."""

    def __init__(self):
        super().__init__()
        self.text, self.addresses = [], []

    def handle_data(self, data):
        self.text.append(data.strip())

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "action")]


def words(html):
    parser = Words()
    parser.feed(html)
    return " ".join(" ".join(parser.text).split()), parser.addresses


def as_page(period):
    return words(monitoring.html(period, time=MADE))[0]


def as_paper(period):
    reader = PdfReader(io.BytesIO(monitoring.pdf(period, time=MADE)))
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


@pytest.mark.parametrize("shown", [as_page, as_paper])
class TestBoth:
    def test_say_what_was_read(self, shown):
        text = shown(report())
        for part in (
            "2026-11-16 00:00 UTC to 2026-11-23 00:00 UTC",
            "100 films were read or refused; 14 were reviewed, 2 of them against",
            "above threshold 20 20.0 %",
            "7 sideways The film lies on its side.",
            "1 no-such-code",
            "Thresholds: 0.400 (90 films), 0.500 (10 films)",
            "10 of 20 above threshold, 4 of 60 below threshold",
            "sensitivity 0.500 (0.250 to 0.750) -",
            "no pneumonia if below - -",
            "2026-11-17 50 10 30 6 4",
            "Sample films, in no count: 2.",
            "in no count any more: 3.",
            "Supports a decision, never a diagnosis",
        ):
            assert part in text, part

    def test_say_what_moved_or_that_nothing_did(self, shown):
        assert "Nothing has moved that chance would not move" in shown(report())
        text = shown(report(said_at=14))
        assert "Brightness of the films moved against earlier films" in text
        assert "since 2026-11-11 (film 11 of 22)" in text
        assert "Nothing has moved" not in text
        gone = shown(report(watched=False))
        assert "no longer registered" in gone

    def test_a_day_without_films_is_a_report_too(self, shown):
        nothing = {answer: 0 for answer in report().answers}
        empty = report(films=0, answers=nothing, refusals={}, days={}, models=())
        text = shown(empty)
        assert "0 films were read or refused" in text and "above threshold 0 -" in text
        assert "No film was refused." in text


def test_a_page_asks_nobody_for_anything():
    html = monitoring.html(report(), time=MADE)
    assert words(html)[1] == []
    assert "default-src 'none'" in unescape(html)
    assert not re.search(r"https?://|url\(|@import", html)


def test_no_text_becomes_markup():
    odd = report(refusals={"<script>alert(1)</script>": 1})
    html = monitoring.html(odd, time=MADE)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_a_change_of_scores_is_taken_apart():
    period = report(said_at=14)
    same = fit(HALF, HALF, films=200, patients=200)
    apart = Apart(before=same, after=same, share=True, place=False)
    watch = replace(period.models[0].watch, apart=apart)
    model = replace(period.models[0], watch=watch)
    text = as_page(replace(period, models=(model,)))
    assert "As if the share of ill patients had changed" in text
