"""Every shift keeps the contract of a film; letters are found where they are."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_films import chest_phantom
from tiny_model import register_tiny_model

from cxr.errors import DatasetError
from cxr.evaluation.calibration import PlattScaling
from cxr.models import inference
from cxr.robustness import films, letters, operating, shifts
from cxr.robustness.shifts import SHIFTS
from cxr.robustness.subjects import Subject

UNSCALED = PlattScaling(slope=1.0, intercept=0.0, prevalence=0.5).apply
FILM = chest_phantom(96, 96, seed=3)
OTHER = np.clip(chest_phantom(96, 96, seed=4) * 0.5 + 10, 0, 255)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def marked(*texts: str) -> np.ndarray:
    """A smooth film with letters in the upper left corner."""
    film = np.full((224, 224), 60, np.float32)
    for i, text in enumerate(texts):
        film = letters.changes.write(
            film,
            letters.Marker(
                text=text,
                row=0.1 + 0.1 * i,
                column=0.05,
                size=0.06,
                grey=240.0,
                font=0,
                boxed=False,
                turned=False,
            ),
        )
    return film


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_a_shift_keeps_the_contract_and_does_something(shift):
    before = FILM.copy()
    changed = shift(FILM, rng(), OTHER)
    assert changed.shape == FILM.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.abs(changed - FILM).mean() > 0.1
    np.testing.assert_array_equal(FILM, before)


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_a_shift_is_the_same_for_the_same_randomness(shift):
    np.testing.assert_array_equal(shift(FILM, rng(), OTHER), shift(FILM, rng(), OTHER))


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
@pytest.mark.parametrize("value", [0.0, 255.0])
def test_a_flat_film_breaks_no_shift(shift, value):
    flat = np.full((64, 64), value, np.float32)
    assert np.isfinite(shift(flat, rng(), flat)).all()


def test_names_are_unique_and_some_shifts_are_new_to_the_training():
    names = [shift.name for shift in SHIFTS]
    assert len(set(names)) == len(names)
    assert sum(not shift.trained for shift in SHIFTS) >= 6


def some_films(n: int = 12) -> films.FilmSet:
    labels = np.arange(n) % 2
    pixels = np.stack(
        [
            np.clip(chest_phantom(64, 64, seed=i) - 60 * (i % 2), 0, 255)
            for i in range(n)
        ]
    )
    return films.of_arrays(pixels.astype(np.uint8), labels, np.arange(n))


def named(name: str) -> shifts.Shift:
    return next(shift for shift in SHIFTS if shift.name == name)


@pytest.mark.parametrize(
    "name", ["grain, 8 grey levels", "rotated by 7 degrees", "uneven light, 25 %"]
)
def test_a_film_is_shifted_alike_among_other_films_and_with_another_label(name):
    some = some_films()
    other = replace(some, labels=1 - some.labels).at(np.arange(5)[::-1])
    np.testing.assert_array_equal(
        shifts.shifted(some, 4, named(name)), shifts.shifted(other, 0, named(name))
    )


def test_another_seed_draws_something_else():
    some, shift = some_films(), named("grain, 8 grey levels")
    first, second = (shifts.shifted(some, 0, shift, seed=s) for s in (0, 1))
    assert (first != second).any()


def test_the_worst_tone_is_borrowed_from_the_other_class():
    some = some_films()
    changed = shifts.shifted(some, 0, named("tone of the other class"))
    others = [float(some.pixels[i].mean()) for i in range(1, 12, 2)]
    assert abs(float(changed.mean()) - np.mean(others)) < 10


def test_a_film_alone_borrows_from_itself():
    alone = some_films(1)
    changed = shifts.shifted(alone, 0, named("tone of any film"))
    assert abs(float(changed.mean()) - float(alone.pixels.mean())) < 5


def test_films_are_shifted_in_turn_for_threshold_and_band(monkeypatch):
    some, seen = some_films(), []

    def score(pixels):
        seen.append(pixels)
        return pixels.mean(axis=(1, 2), dtype=np.float64)

    found = operating.shifted_logits(score, some, views=4)
    order = [*range(1, 12, 2), *range(0, 12, 2)]
    expected = [
        shifts.shifted(some, row, SHIFTS[(number % 6 * 4 + view) % len(SHIFTS)]).mean()
        for number, row in enumerate(order)
        for view in range(4)
    ]
    np.testing.assert_allclose(found.logits, expected)
    np.testing.assert_array_equal(found.rows, np.repeat(order, 4))
    assert len({film.tobytes() for part in seen for film in part}) == 48
    again = operating.shifted_logits(score, some, views=4)
    np.testing.assert_array_equal(again.logits, found.logits)
    monkeypatch.setattr(operating, "MOST_FILMS", 2)
    few = operating.shifted_logits(score, some, views=4)
    assert few.logits.shape == few.rows.shape == (16,)
    assert operating.shifted_logits(score, some.at(some.labels > 1)).logits.shape == (
        0,
    )


def test_the_worst_shift_is_named():
    some = some_films(40)
    dark = Subject(
        probability=UNSCALED,
        name="dark",
        threshold=0.5,
        logits=lambda p: (65 - p.mean(axis=(1, 2), dtype=np.float64)) / 5,
    )
    chosen = [named("32 grey levels"), named("tone of the other class")]
    told = []
    report = shifts.measure(
        dark, some, chosen=chosen, progress=lambda *at: told.append(at)
    )
    assert report.unchanged.figures.auc.value == 1
    assert [result.name for result in report.results] == [s.name for s in chosen]
    assert report.worst == report.worst_auc == "tone of the other class"
    assert report.results[0].passed
    assert not report.results[1].passed
    assert not report.passed
    assert report.results[0].change.flipped.value == 0
    assert told == [(1, 2), (2, 2)]


def test_a_marker_is_found_where_it_is():
    [found] = letters.find(marked("R")).letters
    assert 0.02 * 224 < found.top < 0.12 * 224
    assert 0.04 * 224 <= found.left <= 0.08 * 224
    assert 8 <= found.height <= 20


@pytest.mark.parametrize(
    "film",
    [
        np.full((224, 224), 90, np.float32),
        np.tile(np.linspace(0, 255, 224, dtype=np.float32), (224, 1)),
        chest_phantom(224, 224, seed=5),
    ],
    ids=["even", "ramp", "chest"],
)
def test_nothing_is_found_where_there_are_no_letters(film):
    found = letters.find(film)
    assert found.letters == ()
    assert not found.mask.any()
    np.testing.assert_array_equal(letters.erase(film, found), film)
    np.testing.assert_array_equal(letters.move(film, found), film)


def test_letters_in_the_middle_are_left_alone():
    film = np.roll(marked("R"), (90, 90), axis=(0, 1))
    assert letters.find(film).letters == ()


def test_an_erased_marker_is_gone_and_the_rest_stays():
    film = marked("R", "AP")
    found = letters.find(film)
    assert len(found.letters) >= 2
    bare = letters.erase(film, found)
    assert letters.find(bare).letters == ()
    assert np.abs(bare - 60).max() < 8
    np.testing.assert_array_equal(bare[:, 112:], film[:, 112:])


def test_a_moved_marker_stands_upright_at_the_other_side():
    film = marked("R")
    [before] = letters.find(film).letters
    moved = letters.move(film, letters.find(film))
    [after] = letters.find(moved).letters
    assert abs(after.left - (224 - before.left - before.width)) <= 1
    assert after.top == before.top
    ink = film[before.top : before.top + before.height, before.left :][
        :, : before.width
    ]
    there = moved[after.top : after.top + after.height, after.left :][:, : after.width]
    assert np.corrcoef(ink.ravel(), there.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("seed", range(5))
def test_added_letters_are_there_and_nothing_else_changes(seed):
    film = np.full((224, 224), 60, np.float32)
    added = letters.add(film, np.random.default_rng(seed))
    changed = (added != film).mean()
    assert 0.001 < changed < 0.05
    assert letters.find(added).letters
    assert film.max() == 60


class TestBandOfARegisteredModel:
    SPLIT_OF = {f"{i:064x}": "validation" for i in range(24)} | {"0": "test"}

    @pytest.fixture
    def model(self, tmp_path):
        register_tiny_model(tmp_path)
        return inference.load(tmp_path, "tiny-1")

    def films_of(self, n, split="validation"):
        pixels = [
            chest_phantom(224, 224, seed=i) * 0.5 + 40 + 25 * (i % 2) for i in range(n)
        ]
        return films.of_arrays(
            np.clip(pixels, 0, 255).astype(np.uint8),
            np.arange(n) % 2,
            np.arange(n),
            splits=[split] * n,
        )

    def test_is_chosen_on_its_validation_films_as_they_are_and_shifted(self, model):
        some = self.films_of(24)
        found = operating.band_of(model, some, self.SPLIT_OF)
        assert f"after {24 * operating.VIEWS} shifts of acquisition" in found.rule
        assert "24 validation films of 24 patients" in found.rule
        assert found == operating.band_of(model, some, self.SPLIT_OF)

    @pytest.mark.parametrize(("n", "split"), [(20, "validation"), (24, "test")])
    def test_other_films_are_refused_with_their_number(self, model, n, split):
        expected = n if split == "validation" else 0
        with pytest.raises(DatasetError, match=f"{expected} of them are in this"):
            operating.band_of(model, self.films_of(n, split), self.SPLIT_OF)
