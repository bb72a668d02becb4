"""The films of a split as a network gets them: draws, balance, validation."""

from dataclasses import replace

import numpy as np
import pytest
from small_run import CONFIG, SIZE, split_of

from cxr.films import changes, preparation
from cxr.training import batches
from cxr.training import draws as training_draws
from cxr.training.batches import AugmentedFilms
from cxr.training.draws import draw_plain
from cxr.training.weights import film_weights


@pytest.fixture(scope="module")
def splits():
    return {"train": split_of(14), "validation": split_of(6, first=50)}


class TestAugmentedFilms:
    def test_same_seed_epoch_and_index_give_the_same_batch(self, splits):
        first, second = (AugmentedFilms(splits["train"], CONFIG) for _ in range(2))
        first.epoch = second.epoch = 3
        second[0]
        for ours, theirs in zip(first[1], second[1], strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("change", ["seed", "epoch", "index"])
    def test_another_one_gives_another_batch(self, splits, change):
        config = replace(CONFIG, seed=1) if change == "seed" else CONFIG
        films = AugmentedFilms(splits["train"], config)
        films.epoch = int(change == "epoch")
        other = films[int(change == "index")][0]
        assert np.abs(other - AugmentedFilms(splits["train"], CONFIG)[0][0]).mean() > 1

    def test_batch_has_inputs_labels_and_weights(self, splits, monkeypatch):
        inputs, labels, weights = AugmentedFilms(splits["train"], CONFIG)[0]
        assert inputs.shape == (4, SIZE, SIZE, 1)
        assert inputs.dtype == np.float32
        assert 0 <= inputs.min() <= inputs.max() <= 255
        assert labels.shape == (4, 1)
        balanced = film_weights(splits["train"].labels, [""] * 14)
        expected = {float(k): balanced[splits["train"].labels == k][0] for k in (0, 1)}
        for label, weight in zip(labels[:, 0], weights, strict=True):
            assert weight == expected[float(label)]

    def test_epoch_has_each_film_once_with_its_own_label(self, splits, monkeypatch):
        monkeypatch.setattr(
            batches, "augmented", lambda split, i, *_, **__: split.film(i)
        )
        train = splits["train"]
        films = AugmentedFilms(train, CONFIG)
        assert len(films) == 14 // 4
        found = []
        for index in range(len(films)):
            for film, label in zip(*films[index][:2], strict=True):
                same = (train.own_pixels() == film[..., 0]).all(axis=(1, 2))
                (which,) = np.flatnonzero(same)
                assert train.labels[which] == label[0]
                found.append(which)
        assert len(set(found)) == len(found) == 12

    @pytest.mark.parametrize(
        ("augmentation_of", "epoch", "style"),
        [("style", 1, "style"), ("style", 2, "harder"), ("plain", 2, "plain")],
    )
    def test_films_get_harder_from_the_epoch_that_was_asked_for(
        self, splits, monkeypatch, augmentation_of, epoch, style
    ):
        asked = []
        monkeypatch.setattr(
            batches,
            "augmented",
            lambda split, i, rng, style, **_: asked.append(style) or split.film(i),
        )
        config = replace(CONFIG, augmentation=augmentation_of, epochs=3, harder_from=2)
        films = AugmentedFilms(splits["train"], config)
        films.epoch = epoch
        films[0]
        assert set(asked) == {style}

    def test_a_picture_that_shows_nothing_counts_as_normal(self, splits, monkeypatch):
        train, emptied, empty = splits["train"], [], changes.empty
        monkeypatch.setattr(batches, "EMPTY_SHARE", 1)
        monkeypatch.setattr(changes, "empty", lambda *a: emptied.append(1) or empty(*a))
        films = AugmentedFilms(train, replace(CONFIG, epochs=3, harder_from=2))
        for films.epoch, n in ((1, 0), (2, 12)):
            labels = np.concatenate([films[index][1] for index in range(3)])
            assert labels.any() == (n == 0)
            assert len(emptied) == n

    def test_about_the_stated_share_shows_nothing(self, splits, monkeypatch):
        asked = []
        monkeypatch.setattr(
            batches,
            "augmented",
            lambda split, i, *_, is_empty: asked.append(is_empty) or split.film(i),
        )
        config = replace(CONFIG, epochs=200, harder_from=1)
        films = AugmentedFilms(splits["train"], config)
        for films.epoch in range(1, 150):
            for index in range(3):
                films[index]
        assert np.mean(asked) == pytest.approx(batches.EMPTY_SHARE, abs=0.02)

    def test_fewer_films_than_a_batch_are_one_batch(self, splits):
        films = AugmentedFilms(splits["train"], replace(CONFIG, batch_size=64))
        assert len(films) == 1
        assert len(films[0][0]) == 14

    def test_tone_is_borrowed_from_training_films_alone(self, splits, monkeypatch):
        asked = []
        draw = training_draws.draw

        def spy(rng, *, n_references):
            asked.append(n_references)
            return draw(rng, n_references=n_references)

        monkeypatch.setattr(batches, "draw", spy)
        AugmentedFilms(splits["train"], CONFIG)[0]
        assert set(asked) == {14}

    def test_plain_style_borrows_no_tone_and_writes_no_marker(self, splits):
        draws = draw_plain(np.random.default_rng(0))
        assert (draws.reference, draws.markers, draws.patches) == (None, (), ())
        plain = AugmentedFilms(splits["train"], replace(CONFIG, augmentation="plain"))
        styled = AugmentedFilms(splits["train"], CONFIG)
        assert np.abs(plain[0][0] - styled[0][0]).mean() > 1
        with pytest.raises(ValueError, match="received augmentation='none'"):
            AugmentedFilms(splits["train"], replace(CONFIG, augmentation="none"))[0]

    def test_frozen_part_comes_after_the_changes(self, splits):
        films = AugmentedFilms(splits["train"], CONFIG, lambda x: x.mean(axis=(1, 2)))
        plain = AugmentedFilms(splits["train"], CONFIG)
        np.testing.assert_array_equal(films[0][0], plain[0][0].mean(axis=(1, 2)))


class TestPairs:
    CONFIG = replace(CONFIG, consistency=2.0, epochs=3, harder_from=2)

    def test_have_half_the_films_each_drawn_twice_in_turn(self, splits, monkeypatch):
        asked = []
        monkeypatch.setattr(
            batches,
            "augmented",
            lambda split, i, *_, **__: asked.append(int(i)) or split.film(i),
        )
        films = AugmentedFilms(splits["train"], self.CONFIG)
        assert len(films) == 14 // 2
        for index in range(len(films)):
            inputs, targets, weights = films[index]
            assert len(inputs) == len(weights) == 4
            np.testing.assert_array_equal(targets[::2], targets[1::2])
            np.testing.assert_array_equal(weights[::2], weights[1::2])
        assert asked[::2] == asked[1::2]
        assert sorted(asked[::2]) == list(range(14))

    def test_are_drawn_differently(self, splits):
        inputs, targets, _ = AugmentedFilms(splits["train"], self.CONFIG)[0]
        assert np.abs(inputs[::2] - inputs[1::2]).mean() > 1
        assert targets[:, 1].all()

    def test_name_the_pictures_that_show_nothing(self, splits, monkeypatch):
        monkeypatch.setattr(batches, "EMPTY_SHARE", 0.5)
        films = AugmentedFilms(splits["train"], self.CONFIG)
        films.epoch = 2
        targets = np.concatenate([films[index][1] for index in range(7)])
        assert 0 < targets[:, 1].mean() < 1
        assert not targets[targets[:, 1] == 0, 0].any()

    def test_fill_a_batch_where_films_are_few(self, splits):
        films = AugmentedFilms(splits["train"], replace(self.CONFIG, batch_size=64))
        assert [len(part) for part in films[0]] == [64] * 3

    def test_an_odd_batch_has_whole_pairs(self, splits):
        films = AugmentedFilms(splits["train"], replace(self.CONFIG, batch_size=5))
        assert [len(part) for part in films[0]] == [4] * 3


class TestStyledValidation:
    def test_films_weigh_by_their_places(self):
        split = split_of(6)
        films = [
            replace(f, place="there" if i < 3 else "")
            for i, f in enumerate(split.films)
        ]
        split = replace(split, films=tuple(films))
        labels, weights = batches.styled_validation(split, CONFIG)[1:]
        expected = film_weights(labels, split.places * 2)
        np.testing.assert_array_equal(weights, expected)
        trained = AugmentedFilms(split, CONFIG).weights
        np.testing.assert_array_equal(trained, expected[:6])

    def test_has_each_film_as_it_is_and_once_restyled(self, splits):
        inputs, labels, weights = batches.styled_validation(
            splits["validation"], CONFIG
        )
        assert inputs.shape == (12, SIZE, SIZE, 1)
        np.testing.assert_array_equal(labels[:6, 0], splits["validation"].labels)
        np.testing.assert_array_equal(labels[6:], labels[:6])
        np.testing.assert_array_equal(weights, film_weights(labels, [""] * 12))
        blurred = preparation.low_pass(splits["validation"].film(0))
        np.testing.assert_array_equal(inputs[0, ..., 0], blurred)
        assert np.abs(inputs[6:] - inputs[:6]).mean() > 1

    def test_of_a_large_split_a_part_is_taken_always_the_same(self, monkeypatch):
        monkeypatch.setattr(batches, "MOST_VALIDATION_FILMS", 5)
        first, second = (
            batches.styled_validation(split_of(9), CONFIG)[0] for _ in range(2)
        )
        assert len(first) == 10
        np.testing.assert_array_equal(first, second)

    def test_is_the_same_whatever_the_augmentation(self, splits):
        ours, theirs = (
            batches.styled_validation(
                splits["validation"], replace(CONFIG, augmentation=style)
            )[0]
            for style in ("style", "plain")
        )
        np.testing.assert_array_equal(ours, theirs)

    def test_is_the_same_in_every_epoch_and_run(self, splits):
        first, second = (
            batches.styled_validation(splits["validation"], CONFIG)[0] for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)
