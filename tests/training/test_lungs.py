"""The training of the lung network, on made-up films with known lungs."""

import shutil

import cv2
import numpy as np
import pytest
from synthetic_films import as_png

from cxr.errors import DatasetError
from cxr.models import lungs as served
from cxr.models.lungs import SIZE
from cxr.training import gate, lungs, outlined
from cxr.training.lungs import dice
from cxr.training.outlined import DrawnFilms, OutlinedFilms, changed


def film_and_lungs(seed):
    """A bright film with two dark ellipses, and the ellipses."""
    rng = np.random.default_rng(seed)
    film = np.full((160, 160), 190.0) + rng.normal(0, 6, (160, 160))
    mask = np.zeros((160, 160), np.uint8)
    for column in (50, 110):
        centre = (column + int(rng.integers(-6, 7)), 80 + int(rng.integers(-6, 7)))
        cv2.ellipse(mask, centre, (22, 48), 0, 0, 360, 255, -1)
    film[mask > 0] -= 110
    return np.clip(film, 0, 255), mask


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("lungs")
    (root / "masks").mkdir()
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        (root / "films" / name).mkdir(parents=True)
        for i in range(30):
            number = i + 100 * label
            film, mask = film_and_lungs(number)
            stem = f"IM-{number:04d}-0001" if not label else f"person{number}_virus_1"
            (root / "films" / name / f"{stem}.png").write_bytes(as_png(film))
            if i % 6:
                cv2.imwrite(str(root / "masks" / f"{stem}.png"), mask)
    return root


class TestReadOutlined:
    def test_films_without_drawn_lungs_are_left_out(self, data):
        parts = outlined.read_outlined(data / "films", data / "masks")
        assert sum(len(part.names) for part in parts.values()) == 50
        for part in parts.values():
            assert part.films.shape == part.masks.shape == (len(part.names), SIZE, SIZE)
            assert set(np.unique(part.masks)) == {0, 1}
            inside = part.films[part.masks > 0].mean()
            assert inside + 60 < part.films[part.masks == 0].mean()

    def test_field_case_a_a_name_that_is_no_text(self, data, tmp_path):
        root = tmp_path / "lungs"
        shutil.copytree(data, root)
        for folder, name in (
            ("films/NORMAL", "IM-0001-0001"),
            ("masks", "IM-0001-0001"),
        ):
            path = root / folder / f"{name}.png"
            path.rename(path.with_name("film\udcff.png"))
        parts = outlined.read_outlined(root / "films", root / "masks")
        names = {name for part in parts.values() for name in part.names}
        assert "NORMAL/film\udcff.png" in names and len(names) == 50

    @pytest.mark.parametrize("content", [b"", b"text"])
    def test_a_mask_that_is_no_picture_is_a_named_error(self, tmp_path, content):
        (tmp_path / "mask.png").write_bytes(content)
        with pytest.raises(DatasetError, match="no picture of drawn lungs"):
            outlined._drawn(tmp_path / "mask.png")

    def test_no_patient_is_in_two_splits(self, data):
        parts = outlined.read_outlined(data / "films", data / "masks")
        patients = [set(part.patients) for part in parts.values()]
        assert len(set.union(*patients)) == sum(map(len, patients))

    def test_none_at_all_is_a_named_error(self, data, tmp_path):
        with pytest.raises(DatasetError, match="drawn lungs"):
            outlined.read_outlined(data / "films", tmp_path)


class TestChanged:
    def test_lungs_move_with_their_film(self):
        film, mask = film_and_lungs(1)
        film = cv2.resize(film, (SIZE, SIZE)).astype(np.uint8)
        mask = cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) // 255
        for seed in range(30):
            moved, lungs_there = changed(film, mask, np.random.default_rng(seed))
            assert moved.dtype == np.float32 and moved.shape == (SIZE, SIZE)
            assert 0 <= moved.min() and moved.max() <= 255
            darker = moved[lungs_there > 0].mean() < moved[lungs_there == 0].max()
            assert darker and lungs_there.sum() > 200

    def test_the_same_draw_gives_the_same_film(self):
        film, mask = np.zeros((SIZE, SIZE), np.uint8), np.ones((SIZE, SIZE), np.uint8)
        one = changed(film, mask, np.random.default_rng(5))
        other = changed(film, mask, np.random.default_rng(5))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


class TestDrawnFilms:
    @pytest.fixture
    def part(self):
        films = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones(
            (1, SIZE, SIZE), np.uint8
        )
        names = tuple(f"f{i}" for i in range(40))
        return OutlinedFilms(names=names, patients=names, films=films, masks=films % 2)

    def test_an_epoch_can_be_drawn_again(self, part):
        first, second = (DrawnFilms(part, seed=3, calm_from=9) for _ in range(2))
        assert len(first) == 2
        first.begin(4)
        second.begin(4)
        np.testing.assert_array_equal(first[1][0], second[1][0])
        second.begin(5)
        assert not np.array_equal(first[1][0], second[1][0])

    def test_a_batch_has_films_and_lungs(self, part):
        films, masks = DrawnFilms(part, seed=0, calm_from=9)[0]
        assert films.shape == masks.shape == (16, SIZE, SIZE, 1)


def test_dice_is_that_of_sets():
    rng = np.random.default_rng(2)
    one, other = rng.random((2, 5, 8, 8)) > 0.5
    other[4] = one[4] = False
    naive = [
        2 * len(a & b) / max(1, len(a) + len(b))
        for a, b in (
            (set(np.flatnonzero(x)), set(np.flatnonzero(y)))
            for x, y in zip(one, other, strict=True)
        )
    ]
    np.testing.assert_allclose(dice(one, other), naive)


@pytest.mark.slow
def test_a_training_installs_a_network_that_finds_lungs(data, tmp_path, monkeypatch):
    monkeypatch.setattr(lungs, "FILTERS", (6, 8, 12))
    monkeypatch.setattr(gate, "DRAWS", 60)
    monkeypatch.setattr(gate, "TEST_DRAWS", 40)
    models_dir = tmp_path / "models"
    models_dir.mkdir()
    card = lungs.train(
        data / "films",
        data / "masks",
        tmp_path / "run",
        models_dir,
        epochs=12,
        seed=2,
    )
    assert card.dice["test"].low <= card.dice["test"].value <= card.dice["test"].high
    network = served.load(models_dir)
    film, mask = film_and_lungs(999)
    outputs = network(network.prepare(film.astype(np.float32))[np.newaxis])
    seen = served.outline(outputs.share[0])
    drawn = cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) > 0
    assert dice(drawn[np.newaxis], seen.both[np.newaxis])[0] > 0.8
