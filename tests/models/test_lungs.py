"""The outline of two lungs, and a lung network that is only served whole."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from cxr.errors import ModelError
from cxr.evaluation.estimates import Estimate
from cxr.films import preparation
from cxr.models import cards, lungs, novelty, registry
from cxr.models.lungs import SIZE, LungCard, LungNetwork, outline
from cxr.models.runtime import openvino

ops = openvino.opset13


def share_of(*boxes):
    """A network's output: 0.9 in boxes of first and last row and column, else 0.1."""
    share = np.full((SIZE, SIZE), 0.1, np.float32)
    for top, bottom, left, right in boxes:
        share[top:bottom, left:right] = 0.9
    return share


RIGHT, LEFT = (30, 100, 20, 50), (30, 95, 75, 105)


class TestOutline:
    def test_the_lung_at_the_left_edge_of_the_film_is_the_patients_right(self):
        seen = outline(share_of(LEFT, RIGHT))
        assert seen.right[60, 30] and not seen.right[60, 90]
        assert seen.left[60, 90] and not seen.left[60, 30]
        assert seen.both.sum() == 70 * 30 + 65 * 30

    def test_only_the_two_largest_parts_count(self):
        seen = outline(share_of(RIGHT, LEFT, (0, 20, 60, 80)))
        assert not seen.both[10, 70]

    @pytest.mark.parametrize("box, side", [(RIGHT, "right"), (LEFT, "left")])
    def test_a_single_lung_is_that_of_its_half(self, box, side):
        seen = outline(share_of(box))
        other = {"right": "left", "left": "right"}[side]
        assert getattr(seen, side).any() and not getattr(seen, other).any()

    def test_specks_are_no_lung(self):
        assert not outline(share_of((10, 20, 10, 20))).both.any()

    def test_nothing_is_no_lung(self):
        assert not outline(share_of()).both.any()


def brightness_network():
    """A graph whose logit of lung is how dark a place is."""
    image = ops.parameter([-1, SIZE, SIZE, 1], np.float32, name="image")
    image.output(0).set_names({"image"})
    dark = ops.subtract(np.float32(100.0), image)
    logit = ops.divide(dark, np.float32(10.0))
    logit.output(0).set_names({"lungs"})
    pooled = ops.reduce_mean(image, np.array([1, 2]), keep_dims=False)
    pooled.output(0).set_names({"pooled"})
    return openvino.Model([logit, pooled], [image], "lungs")


def bright_gate():
    """A gate that calls bright films frontal and dark ones something else."""
    output = np.zeros((2, len(novelty.KINDS)))
    output[0, 0] = output[1, -1] = 10.0
    return novelty.Gate(
        mean=np.array([100.0]),
        spread=np.array([50.0]),
        hidden=np.array([[1.0, -1.0]]),
        hidden_bias=np.zeros(2),
        output=output,
        output_bias=np.zeros(len(novelty.KINDS)),
    )


SURE = Estimate(value=0.9, low=0.8, high=0.95)
RECORD = novelty.GateRecord(
    least_frontal=0.0,
    rule="made up",
    source="none",
    films={"alike": 2},
    false_refusals={"home": SURE},
    unlike={"home": SURE},
    refused={},
)


@pytest.fixture
def models_dir(tmp_path):
    folder = tmp_path / lungs.FOLDER
    folder.mkdir()
    openvino.save_model(brightness_network(), folder / cards.NETWORK)
    films = np.full((2, SIZE, SIZE), 60, np.uint8)
    films[1, :, 64:] = 200
    expected = 1 / (1 + np.exp(-(100 - films.astype(np.float32)) / 10))
    np.savez(folder / cards.GOLDEN, films=films, lungs=expected)
    (folder / lungs.GATE).write_bytes(bright_gate().to_bytes())
    card = LungCard(
        created="2026-01-01T00:00:00+00:00",
        size=SIZE,
        preparation=preparation.PREPARATION,
        source="made in code",
        films={"train": 2},
        patients={"train": 2},
        dice={"test": SURE},
        parameters=1,
        training={"epochs": 3},
        gate=RECORD,
        files=registry.file_records(folder),
    )
    lungs.write_card(folder, card)
    return tmp_path


class TestLoad:
    @pytest.mark.parametrize("n", [1, 3, 16, 19])
    def test_a_network_gives_each_film_its_own_outline(self, models_dir, n):
        network = lungs.load(models_dir)
        films = np.full((n, SIZE, SIZE, 1), 150, np.float32)
        films[n // 2] = 50
        outputs = network(films)
        share = outputs.share
        bright = [said.frontal > 0 for said in network.likeness(outputs.pooled)]
        assert bright == [i != n // 2 for i in range(n)]
        assert share.shape == (n, SIZE, SIZE) and share.dtype == np.float32
        np.testing.assert_allclose(share[n // 2], 1 / (1 + np.exp(-5)), atol=1e-5)
        others = np.delete(share, n // 2, axis=0)
        np.testing.assert_allclose(others, 1 / (1 + np.exp(5)), atol=1e-5)

    def test_its_input_is_the_film_as_every_network_sees_it(self, models_dir):
        film = np.random.default_rng(0).uniform(0, 255, (300, 200)).astype(np.float32)
        prepared = lungs.load(models_dir).prepare(film)
        np.testing.assert_array_equal(prepared, preparation.network_input(film, SIZE))

    def test_none_is_said_plainly(self, tmp_path):
        with pytest.raises(ModelError) as raised:
            lungs.load(tmp_path)
        assert raised.value.code == "no-lungs"

    @pytest.mark.parametrize(
        "name", [cards.NETWORK, cards.NETWORK_WEIGHTS, cards.GOLDEN, lungs.GATE]
    )
    def test_a_changed_file_is_not_served(self, models_dir, name):
        path = models_dir / lungs.FOLDER / name
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(ModelError, match="changed"):
            lungs.load(models_dir)

    @pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense"])
    def test_a_damaged_card_is_not_served(self, models_dir, text):
        (models_dir / lungs.FOLDER / cards.CARD).write_text(text)
        with pytest.raises(ModelError, match="card"):
            lungs.load(models_dir)

    def test_other_outlines_than_the_golden_ones_are_not_served(self, models_dir):
        folder = models_dir / lungs.FOLDER
        with np.load(folder / cards.GOLDEN) as golden:
            films, expected = golden["films"], golden["lungs"]
        np.savez(folder / cards.GOLDEN, films=films, lungs=expected + 0.05)
        files = registry.file_records(folder)
        lungs.write_card(folder, replace(lungs.read_card(models_dir), files=files))
        with pytest.raises(ModelError) as raised:
            lungs.load(models_dir)
        assert raised.value.code == "golden-score"

    def test_the_card_names_the_hash_of_each_file(self, models_dir):
        card = lungs.read_card(models_dir)
        for name, record in card.files.items():
            content = (models_dir / lungs.FOLDER / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == record.sha256
        assert json.loads((models_dir / lungs.FOLDER / cards.CARD).read_text())

    def test_a_file_that_is_no_network_is_named(self, models_dir):
        card = lungs.read_card(models_dir)
        with pytest.raises(ModelError, match="can't be read"):
            LungNetwork(b"<net/>", b"", card, bright_gate())
