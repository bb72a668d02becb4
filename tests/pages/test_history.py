"""The History page, and the list of Classify that the history finds again."""

import hashlib
from pathlib import Path

import pytest
from classify_page import CLASSIFY, page, upload, words
from synthetic_films import as_jpeg, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.errors import CxrError
from cxr.records import history, search
from cxr.records.kept import KeptReading

HISTORY = "pages/6_History.py"
FILM = as_jpeg(chest_phantom(224, 256, seed=1))
BRIGHT = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 140)
DARK = as_png(chest_phantom(256, 256, seed=4) * 0.5)


@pytest.fixture(autouse=True)
def models_dir(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    register_tiny_model(folder)
    monkeypatch.setenv("CXR_MODELS_DIR", str(folder))
    return folder


@pytest.fixture
def records_dir(tmp_path):
    return tmp_path / "records"


def new_session(at):
    """The same address in a session that knows nothing, as after a restart."""
    again = page(CLASSIFY)
    for name, value in at.query_params.items():
        again.query_params[name] = value
    del again.session_state["films"]
    again.run()
    assert not again.exception
    return again


def kept(records_dir, **changes):
    reading = KeptReading(
        **{
            "model_id": "tiny-1",
            "model_sha256": "a" * 64,
            "card_sha256": "b" * 64,
            "threshold": 0.4,
            "threshold_source": "shipped",
            "answer": "above threshold",
            "probability": 0.9,
            "logit": 2.2,
            **changes,
        }
    )
    return history.keep(records_dir, reading, actor="A. Reader")


class TestClassifyKeeps:
    def test_each_reading_and_refusal_without_a_name(self, records_dir):
        at = upload(page(CLASSIFY), DOE_JANE_png=BRIGHT, b_png=b"a letter")
        cases = search.cases(records_dir)
        assert {case.reading.answer for case in cases} > {"refused"}
        assert {case.reading.worklist for case in cases} == {at.query_params["list"]}
        for path in Path(records_dir).rglob("*"):
            assert not path.is_file() or b"DOE" not in path.read_bytes()
        assert len(search.cases(records_dir)) == 2  # another run keeps nothing twice

    def test_the_threshold_that_it_was_read_at(self, records_dir):
        at = page(CLASSIFY)
        at = upload(at, a_png=BRIGHT)
        at.slider(key="threshold_tiny-1").set_value(0.2).run()
        upload(at, b_png=DARK)
        thresholds = [c.reading.threshold for c in search.cases(records_dir)]
        assert thresholds == [0.2, 0.4]
        assert search.cases(records_dir)[0].reading.threshold_source == "reader"

    def test_a_review_with_its_reason_and_the_answer_that_it_is_on(self, records_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        at.button(key="review_disagree").click().run()
        at.text_input[-1].set_value("motion").run()
        (case,) = search.cases(records_dir)
        assert (case.opinion, case.reason) == ("disagree", "motion")
        assert case.answered == case.reading.answer
        at.button(key="review_disagree").click().run()
        assert search.cases(records_dir)[0].opinion == ""


class TestManySessions:
    def test_case_d1_each_sees_its_own_film_of_one_name(self, records_dir):
        films = [
            as_png(chest_phantom(160, 160, seed=seed) * (0.4 + seed / 100))
            for seed in range(25)
        ]
        sessions = [upload(page(CLASSIFY), film_png=data) for data in films]
        for at, data in zip(sessions, films, strict=True):
            at.run()
            (film,) = at.session_state["films"].films.values()
            assert film.sha256 == hashlib.sha256(data).hexdigest()
            (case,) = search.worklist(records_dir, at.query_params["list"])
            assert film.case_id == case.case_id
            assert film.reading.result.probability == case.reading.probability
        assert search.count(records_dir).cases == len(films)


class TestTheListIsFoundAgain:
    def test_with_answers_and_reviews_and_says_what_is_not_there(self):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK, c_png=b"a letter")
        at.button(key="review_agree").click().run()
        again = new_session(at)
        text = words(again)
        assert "3 films were found again in the history" in text
        assert "The film itself was not kept" in text
        assert len(again.radio[0].options) == 3
        assert sum(":material/check:" in option for option in again.radio[0].options)

    def test_and_an_upload_takes_the_place_of_its_row(self, records_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        at.button(key="review_agree").click().run()
        again = upload(new_session(at), a_png=BRIGHT, b_png=DARK)
        assert len(again.radio[0].options) == 2
        assert again.image
        assert any(":material/check:" in option for option in again.radio[0].options)
        assert search.count(records_dir).cases == 2

    def test_with_its_films_where_the_site_keeps_them(self, monkeypatch):
        monkeypatch.setenv("CXR_KEEP_FILMS", "yes")
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        again = new_session(at)
        assert again.image
        assert "Names of files are not kept" in words(again)

    def test_without_the_films_that_were_taken_off_it(self):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        at.button(key="remove_film").click().run()
        again = new_session(at)
        assert "1 film was found again" in words(again)

    def test_by_nobody_else(self, records_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        foreign = kept(records_dir, worklist="f" * 32)
        at.query_params["list"] = "f" * 32
        again = new_session(at)
        assert "found again" not in words(again) and not again.radio
        assert "upload the films again" not in words(again)
        assert search.case(records_dir, foreign).reader == "A. Reader"

    def test_at_the_threshold_that_it_was_read_at(self):
        at = page(CLASSIFY)
        at.session_state["threshold_tiny-1"] = 0.2
        at = upload(at, a_png=BRIGHT)
        again = new_session(at)
        assert again.slider(key="threshold_tiny-1").value == 0.2
        at.slider(key="threshold_tiny-1").set_value(0.3).run()
        again = new_session(upload(at, b_png=DARK))
        assert again.slider(key="threshold_tiny-1").value == 0.4
        assert "at more than one threshold" in words(again)


class TestOwnReadFirst:
    def test_hides_every_answer_until_the_reader_has_said_what_is_seen(
        self, records_dir, monkeypatch
    ):
        monkeypatch.setenv("CXR_READ_FIRST", "yes")
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        text = words(at)
        assert "What do you see?" in text
        assert "Probability of pneumonia" not in text and "2 not read yet" in text
        assert all("not read yet" in option for option in at.radio[0].options)
        at.button(key="own_read_Pneumonia").click().run()
        assert "Probability of pneumonia" in words(at)
        said = [case for case in search.cases(records_dir) if case.opinion]
        assert len(said) == 1 and said[0].blind and said[0].pneumonia is True

    def test_is_asked_once_and_what_comes_after_was_not_said_before(
        self, records_dir, monkeypatch
    ):
        monkeypatch.setenv("CXR_READ_FIRST", "yes")
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        at.button(key="own_read_Unsure").click().run()
        at.button(key="review_unsure").click().run()  # taken back
        assert "What do you see?" not in words(at)
        at.button(key="review_agree").click().run()
        (case,) = search.cases(records_dir)
        assert case.opinion == "agree" and not case.blind
        assert "What do you see?" not in words(new_session(at))

    def test_hides_the_answer_in_the_history_too(self, monkeypatch):
        monkeypatch.setenv("CXR_READ_FIRST", "yes")
        upload(page(CLASSIFY), a_png=BRIGHT)
        shown = page(HISTORY)
        row = shown.dataframe[0].value.iloc[0]
        assert (row["Answer"], row["Probability"]) == ("Not read yet", "–")
        shown.query_params["case"] = row["Case"]
        shown.run()
        assert "Probability of pneumonia" not in words(shown)


class TestTrials:
    def test_of_one_film_are_not_those_of_another(self, records_dir, monkeypatch):
        monkeypatch.setenv("CXR_KEEP_FILMS", "yes")
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        again = new_session(at)
        chosen = again.session_state["films"].chosen
        if again.session_state["films"].films[chosen].changed is None:
            again.button(key="ask_stability").click().run()
        films = again.session_state["films"].films
        held = [key for key, film in films.items() if film.changed is not None]
        kept_too = {c.case_id for c in search.cases(records_dir) if c.stability}
        assert chosen in held and set(held) == kept_too

    def test_what_could_not_be_kept_is_counted(self, records_dir, monkeypatch):
        at = upload(page(CLASSIFY), a_png=BRIGHT)

        def full(*_, **__):
            raise CxrError("The disk is full.", code="disk-full")

        with monkeypatch.context() as patched:
            patched.setattr(history, "review", full)
            at.button(key="review_agree").click().run()
        assert "Nothing is being kept" in words(at)
        at.button(key="review_disagree").click().run()
        assert "Nothing is being kept" not in words(at)
        assert "Of this list 1 readings or reviews are not kept" in words(at)


class TestAtWork:
    def test_worth_is_of_all_films_of_the_model_whatever_is_filtered(self, records_dir):
        for answer in ("above threshold", "below threshold"):
            case_id = kept(records_dir, answer=answer)
            history.review(records_dir, case_id, "agree", actor="B")
        at = page(HISTORY)
        at.multiselect(key="history_answers").set_value(["Above threshold"]).run()
        at.session_state["history_view"] = "Against reviews"
        at.run()
        assert not at.exception
        assert "1 of 1 above threshold, 1 of 1 below threshold" in words(at)


class TestHistory:
    def test_says_when_there_is_nothing(self):
        assert "**0 cases**" in words(page(HISTORY))

    def test_lists_searches_and_filters(self, records_dir):
        first = kept(records_dir)
        history.review(records_dir, first, "disagree", actor="B", reason="rib, no film")
        kept(records_dir, answer="refused", probability=None, logit=None, code="blank")
        at = page(HISTORY)
        text = words(at)
        assert "**2 cases** · 1 above · 1 refused · 1 reviewed" in text
        assert "1 in disagreement" in text
        assert list(at.dataframe[0].value["Case"])[1] == first
        at.text_input(key="history_text").set_value("rib").run()
        assert "**1 case** · 1 above" in words(at)
        at.text_input(key="history_text").set_value("").run()
        at.multiselect(key="history_answers").set_value(["Refused"]).run()
        assert "**1 case** · 1 refused" in words(at)

    def test_shows_one_case_in_full(self, records_dir):
        case_id = kept(records_dir, frontal=4.0, unlike=-2.0, cautions=("Look twice.",))
        at = page(HISTORY)
        at.query_params["case"] = case_id
        at.run()
        text = words(at)
        assert "Probability of pneumonia **0.90**" in text
        assert "+4.0 (logit)" in text and "Look twice." in text
        assert "The film was not kept" in text

    def test_says_that_a_case_is_not_there(self):
        at = page(HISTORY)
        at.query_params["case"] = "<b>"
        at.run()
        assert "There is no case by that name" in words(at)

    def test_pages_through_many(self, records_dir):
        for _ in range(51):
            kept(records_dir)
        at = page(HISTORY)
        assert len(at.dataframe[0].value) == 50
        at.button(key="history_older").click().run()
        assert len(at.dataframe[0].value) == 1
        at.button(key="history_newer").click().run()
        assert len(at.dataframe[0].value) == 50

    def test_field_case_f4_a_damaged_history_takes_no_film_from_a_reader(
        self, records_dir
    ):
        kept(records_dir)
        path = records_dir / "history.sqlite3"
        path.write_bytes(b"no database at all" * 1000)
        for more in ("history.sqlite3-wal", "history.sqlite3-shm"):
            (records_dir / more).unlink(missing_ok=True)
        before = path.read_bytes()
        assert "is damaged" in words(page(HISTORY))
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        assert "Nothing is being kept" in words(at)
        assert "Probability of pneumonia" in words(at)
        assert path.read_bytes() == before

    def test_answers_over_time_by_day_and_by_week(self):
        from ui.history.over_time import by_week

        days = {"2026-11-23": {"refused": 1}, "2026-11-29": {"refused": 2}}
        assert by_week(days) == {"2026-11-23": {"refused": 3}}
        assert len(by_week({**days, "2026-11-30": {"refused": 1}})) == 2
