"""The list beside the reading: order, filter, steps, marks, what is left out."""

import re

import numpy as np
import pytest
from classify_page import CLASSIFY, page, terms_of, upload
from synthetic_films import as_dicom, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.films import display
from cxr.films.refusals import REFUSALS
from cxr.reading import eligibility
from cxr.reading.cases import Review
from cxr.records.kept import DISAGREE, UNSURE
from ui import loaders
from ui.classify import exports, films, uploads, worklist

BRIGHT = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 140)
FILM = as_png(chest_phantom(224, 256, seed=1))
DARK = as_png(chest_phantom(256, 256, seed=4) * 0.5)
LETTER = b"this is a letter, not a film"


@pytest.fixture
def at(tmp_path, monkeypatch):
    """The Classify page, empty."""
    register_tiny_model(tmp_path / "models", age_years=(1.0, 6.0))
    monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    return page(CLASSIFY)


def names(at):
    """The names in the list, from top to bottom."""
    return [
        re.search(r":small\[(.*)\]", row)[1].replace("\\", "")
        for row in at.radio[0].options
    ]


def three(at):
    return upload(at, b_png=DARK, c_png=LETTER, a_png=BRIGHT)


def listed(at):
    return at.session_state["films"]


def chosen(at):
    return listed(at).films[listed(at).chosen].name


class TestList:
    def test_counts_every_answer_in_one_line(self, at):
        three(at)
        assert "**3 films · 1 above · 1 below · 1 refused**" in [
            m.value for m in at.sidebar.markdown
        ]
        upload(at, d_png=FILM)
        at.slider(key="threshold_tiny-1").set_value(0.09).run()
        words = "**4 films · 1 above · 1 below · 1 no answer · 1 refused**"
        assert words in [m.value for m in at.sidebar.markdown]

    @pytest.mark.parametrize(
        ("order", "shown"),
        [
            (worklist.URGENCY, ["a.png", "b.png", "c.png"]),
            (worklist.NAME, ["a.png", "b.png", "c.png"]),
            (worklist.UPLOAD, ["b.png", "c.png", "a.png"]),
        ],
    )
    def test_is_in_the_readers_order(self, at, order, shown):
        three(at)
        at.selectbox(key="list_sort").set_value(order).run()
        assert names(at) == shown
        assert chosen(at) == "a.png"

    @pytest.mark.parametrize(
        ("choice", "shown"),
        [
            ("Above threshold", ["a.png"]),
            ("Below threshold", ["b.png"]),
            ("Refused", ["c.png"]),
            ("Not reviewed", ["a.png", "b.png", "c.png"]),
        ],
    )
    def test_shows_what_passes_the_filter(self, at, choice, shown):
        three(at)
        at.selectbox(key="list_filter").set_value(choice).run()
        assert names(at) == shown
        assert chosen(at) == shown[0]

    def test_a_filter_that_nothing_passes_keeps_the_film_that_is_read(self, at):
        three(at)
        at.selectbox(key="list_filter").set_value("No answer").run()
        assert not at.exception
        assert names(at) == ["a.png"]

    def test_a_reviewed_film_is_marked_and_stays_until_the_next_is_chosen(self, at):
        three(at)
        at.selectbox(key="list_filter").set_value("Not reviewed").run()
        at.button(key="review_agree").click().run()
        assert names(at) == ["a.png", "b.png", "c.png"]
        assert at.radio[0].options[0].endswith(":material/check:")
        at.button(key="next_film").click().run()
        assert chosen(at) == "b.png"
        assert names(at) == ["b.png", "c.png"]

    def test_next_and_previous_go_through_it_and_stop_at_its_ends(self, at):
        three(at)
        assert at.button(key="previous_film").disabled
        seen = [chosen(at)]
        for _ in range(2):
            at.button(key="next_film").click().run()
            seen.append(chosen(at))
        assert seen == ["a.png", "b.png", "c.png"]
        assert at.button(key="next_film").disabled
        at.button(key="previous_film").click().run()
        assert chosen(at) == "b.png"

    def test_one_film_is_removed_and_the_next_is_shown(self, at):
        three(at)
        at.button(key="next_film").click().run()
        at.button(key="remove_film").click().run()
        assert chosen(at) == "c.png"
        assert names(at) == ["a.png", "c.png"]
        at.button(key="remove_film").click().run()
        assert chosen(at) == "a.png"
        at.button(key="remove_films").click().run()
        assert not listed(at).films
        assert listed(at).kept_bytes == 0
        assert not at.exception

    def test_draws_fifty_rows_of_many_and_turns_to_the_others(self, at, monkeypatch):
        monkeypatch.setattr(worklist, "ROWS", 2)
        three(at)
        assert names(at) == ["a.png", "b.png"]
        at.button(key="next_film").click().run()
        at.button(key="next_film").click().run()
        assert names(at) == ["c.png"]

    def test_a_refused_film_has_its_reason_in_two_words(self, at):
        three(at)
        assert ":material/block: no image]" in at.radio[0].options[-1]
        assert set(worklist.REASONS) >= set(REFUSALS) | set(eligibility.REFUSALS)
        assert all(len(words.split()) <= 2 for words in worklist.REASONS.values())


class TestExport:
    def test_the_list_is_saved_in_every_kind_without_names(self, at):
        three(at)
        model = loaders.active_model()
        films = list(listed(at).films.values())
        for _, name, _, make in exports.LIST_FILES:
            content = exports._made(make, films, model, terms_of(model), False)
            assert len(content) > 100, name
            assert b"a.png" not in content
        labels = {button.label for button in at.download_button}
        assert labels >= {"List (CSV)", "List (JSON)", "List (PDF)"}


class TestReview:
    def test_is_kept_with_its_reason_and_can_change(self, at):
        three(at)
        key = listed(at).chosen
        at.button(key="review_disagree").click().run()
        at.text_input[0].set_value(" an old scar ").run()
        assert listed(at).films[key].review == Review(
            opinion=DISAGREE, reason="an old scar"
        )
        at.button(key="review_unsure").click().run()
        assert listed(at).films[key].review == Review(
            opinion=UNSURE, reason="an old scar"
        )
        at.switch_page("app.py").run()
        at.switch_page("pages/1_Classify.py").run()
        assert at.text_input[0].value == "an old scar"
        at.button(key="review_unsure").click().run()
        assert listed(at).films[key].review is None
        assert not at.text_input

    def test_belongs_to_its_film(self, at):
        three(at)
        at.button(key="review_agree").click().run()
        at.button(key="next_film").click().run()
        assert not at.text_input
        assert [bool(film.review) for film in listed(at).films.values()] == [
            False,
            False,
            True,
        ]


class TestFilms:
    def test_keep_their_picture_to_the_last_grey_level(self, at):
        upload(at, a_png=BRIGHT)
        (film,) = listed(at).films.values()
        assert film.reading.picture.size == 0
        assert listed(at).kept_bytes == len(film.packed) < 256 * 256
        expected = np.rint(chest_phantom(256, 256, seed=3) * 0.4 + 140)
        expected = expected.clip(0, 255).astype(np.uint8)
        assert np.abs(film.unpacked().reading.picture - expected.astype(int)).max() <= 1

    def test_large_lists_keep_nearly_the_same_picture_in_less(self):
        picture = display.picture(chest_phantom(900, 900), 1400)
        small = display.packed(picture, lossless=False)
        assert len(small) < len(display.packed(picture)) / 1.5
        error = np.abs(display.unpacked(small).astype(int) - picture)
        assert error.max() <= 12
        assert (display.unpacked(display.packed(picture)) == picture).all()


class TestLeftOut:
    def test_what_came_along_is_named_with_its_reason(self, at):
        for name, data in (
            ("a.png", BRIGHT),
            (".DS_Store", b"x"),
            ("disc/DICOMDIR", b"x"),
        ):
            at.file_uploader[0].upload(name, data)
        at.run()
        assert [film.name for film in listed(at).films.values()] == ["a.png"]
        assert list(listed(at).left_out.values()) == [
            (".DS_Store", uploads.ALONG),
            ("DICOMDIR", uploads.ALONG),
        ]
        (expander,) = at.sidebar.expander
        assert expander.label == "2 files were left out"

    def test_of_a_folder_only_what_can_be_a_film_is_read(self, at):
        at.toggle(key="whole_folder").set_value(True).run()
        assert at.file_uploader[0].key.endswith("folder")
        disc = {
            "disc/IMG0/IM000001": as_dicom(chest_phantom(224, 224, seed=1)),
            "disc/IMG0/IM000002": LETTER,
            "disc/VIEWER.EXE": b"MZ",
            "disc/index.html": b"<p>",
            "disc/film.png": BRIGHT,
        }
        for name, data in disc.items():
            at.file_uploader[0].upload(name, data)
        at.run()
        assert sorted(f.name for f in listed(at).films.values()) == [
            "IM000001",
            "film.png",
        ]
        assert [name for name, _ in listed(at).left_out.values()] == [
            "IM000002",
            "VIEWER.EXE",
            "index.html",
        ]

    def test_beyond_the_limit_are_named(self, at, monkeypatch):
        monkeypatch.setattr(films, "MOST_FILMS", 1)
        upload(at, a_png=BRIGHT, b_png=DARK, c_png=FILM)
        assert list(listed(at).left_out.values()) == [
            ("b.png", uploads.NO_ROOM),
            ("c.png", uploads.NO_ROOM),
        ]
