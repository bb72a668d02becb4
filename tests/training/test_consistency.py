"""Two draws of one film pulled together: the loss, its gradient, and its measure."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from small_run import CONFIG, small_network, split_of

from cxr.runs.config import TrainConfig
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import batches, learning
from cxr.training.accelerator import Accelerator
from cxr.training.callbacks import load_best
from cxr.training.consistency import LabelAUC, PairedLoss

SPLITS = {"train": split_of(14), "validation": split_of(6, first=50)}
PAIRED = replace(CONFIG, consistency=2.0)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def cross_entropy(labels, logits):
    return np.logaddexp(0, -np.where(labels == 1, 1, -1) * logits)


class TestLoss:
    LOGITS = np.array([[2.0], [-1.0], [0.3], [0.1], [-2.0], [4.0]], np.float32)
    LABELS = np.array([1, 1, 0, 0, 0, 1], np.float32)
    SHOWN = np.array([1, 1, 1, 1, 0, 1], np.float32)  # the fifth shows nothing
    WEIGHTS = np.array([0.5, 0.5, 2, 2, 1, 1], np.float32)

    def test_is_the_cross_entropy_and_the_squared_difference_of_pairs(self):
        targets = np.column_stack([self.LABELS, self.SHOWN])
        loss = float(PairedLoss(2.0)(targets, self.LOGITS, self.WEIGHTS))
        z = self.LOGITS[:, 0]
        expected = (self.WEIGHTS * cross_entropy(self.LABELS, z)).mean()
        apart = [(sigmoid(z[i]) - sigmoid(z[i + 1])) ** 2 for i in (0, 2, 4)]
        # By the weight of the film; the third pair is no pair.
        pulled = 2.0 * (0.5 * apart[0] + 2 * apart[1]) / 3
        assert loss == pytest.approx(expected + pulled, rel=1e-5)

    def test_without_pairs_is_that_of_keras(self):
        labels = self.LABELS[:, np.newaxis]
        theirs = keras.losses.BinaryCrossentropy(from_logits=True)
        expected = float(theirs(labels, self.LOGITS, self.WEIGHTS))
        for strength in (0.0, 2.0):
            ours = float(PairedLoss(strength)(labels, self.LOGITS, self.WEIGHTS))
            assert ours == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("columns", [1, 2])
    def test_measure_is_the_area_by_the_label(self, columns):
        targets = np.column_stack([self.LABELS, self.SHOWN])[:, :columns]
        measure = LabelAUC(from_logits=True)
        measure.update_state(targets, self.LOGITS)
        ill, well = (self.LOGITS[self.LABELS == c, 0] for c in (1, 0))
        expected = np.mean([a > b for a in ill for b in well])
        assert float(measure.result()) == pytest.approx(expected, abs=0.01)


def fine_tune(folder, config, device=None):
    network, run = small_network(dropout=0.0), Run(folder)
    keras.utils.set_random_seed(config.seed)
    learning.fine_tune(
        network, SPLITS, config, run, clock=Clock(), device=device or Accelerator()
    )
    load_best(network, run.best_weights)
    return network, run


def gap(network):
    """The mean squared difference of two draws of the training films."""
    config = replace(PAIRED, seed=5)
    films = batches.AugmentedFilms(SPLITS["train"], config)
    pictures = np.concatenate([films[index][0] for index in range(len(films))])
    p = sigmoid(network(pictures, training=False)["logit"].numpy()[:, 0])
    return np.mean((p[::2] - p[1::2]) ** 2)


class TestRun:
    def test_pulls_two_draws_together(self, tmp_path):
        config = replace(PAIRED, learning_rate=0.05, averaging=0.0, epochs=3)
        near, _ = fine_tune(tmp_path / "near", replace(config, consistency=50.0))
        far, _ = fine_tune(tmp_path / "far", replace(config, consistency=1e-6))
        assert gap(near) < 0.5 * gap(far)

    def test_that_was_cut_off_ends_as_the_whole_one(self, tmp_path):
        config = replace(PAIRED, accumulate=2, epochs=3)
        whole, run = fine_tune(tmp_path / "whole", config)
        fine_tune(tmp_path / "cut", replace(config, epochs=2))
        resumed, rest = fine_tune(tmp_path / "cut", config)
        assert [r["epoch"] for r in rest.history()] == ["1", "2", "3"]
        for ours, theirs in zip(rest.history(), run.history(), strict=True):
            assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-4)
        for now, then in zip(resumed.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-5)

    def test_validation_loss_has_no_pairs_in_it(self, tmp_path):
        network, run = fine_tune(tmp_path, replace(PAIRED, epochs=2))
        inputs, labels, weights = batches.styled_validation(
            SPLITS["validation"], PAIRED
        )
        logits = network(inputs, training=False)["logit"].numpy()[:, 0]
        loss = (weights * cross_entropy(labels[:, 0], logits)).mean()
        best = min(float(row["val_loss"]) for row in run.history())
        assert loss == pytest.approx(best, abs=1e-4)

    def test_head_learns_from_single_draws(self, tmp_path):
        heads = []
        for config in (CONFIG, PAIRED):
            network = small_network()
            keras.utils.set_random_seed(1)
            run = Run(tmp_path / str(config.consistency))
            learning.train_head(network, SPLITS, config, run, Clock())
            heads.append(network.get_layer("logit").get_weights()[0])
        np.testing.assert_allclose(heads[0], heads[1], atol=1e-6)

    def test_batch_normalisation_learns_from_the_first_block_on(self, tmp_path):
        network, _ = fine_tune(tmp_path, replace(PAIRED, unfreeze_from=1, epochs=1))
        start = small_network().get_layer("block4a_bn").get_weights()
        for now, then in zip(
            network.get_layer("block4a_bn").get_weights(), start, strict=True
        ):
            assert not np.array_equal(now, then)


@pytest.mark.parametrize("value", [-0.1, np.inf, np.nan])
def test_strength_out_of_range_is_named(value):
    with pytest.raises(ValueError, match="expected consistency from 0"):
        TrainConfig(data="films", consistency=value)
