"""Generations of a run: exact restoring, damage, schedules."""

import errno
import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from cxr.errors import CxrError, JobError
from cxr.training import checkpoints
from cxr.training.checkpoints import Checkpoint, Resumed, newest, restore

EPOCH_FILES = {"model.npz", "optimizer.npz", "state.json"}


def learner(width=4):
    """A compiled model with dropout, frozen statistics and a running mean."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(width),
            layers.BatchNormalization(trainable=False),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def schedules():
    return {
        "stop": keras.callbacks.EarlyStopping(patience=4),
        "lr": keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=9.0),
    }


def fit(model, folder, epochs, callbacks=None):
    """Goes on with what is in the folder and returns where that was."""
    callbacks = callbacks or schedules()
    resumed = restore(model, folder, callbacks)
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(32, 3)), rng.normal(size=(32, 1))
    model.fit(
        inputs,
        targets,
        validation_data=(inputs, targets),
        shuffle=False,
        initial_epoch=resumed.epoch,
        epochs=epochs,
        callbacks=[
            callbacks["lr"],
            callbacks["stop"],
            Checkpoint(folder, callbacks),
            keras.callbacks.SwapEMAWeights(),
        ],
        verbose=0,
    )
    return resumed


def state_of(model):
    """Everything a run goes on with, as it is without the swap at the end of `fit`."""
    variables = [*model.variables, *model.optimizer.variables]
    return [variable.numpy() for variable in variables]


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fit(learner(), folder, 3)
    return folder


@pytest.fixture
def folder(three_epochs, tmp_path):
    shutil.copytree(three_epochs, tmp_path / "run")
    return tmp_path / "run"


def test_the_last_two_generations_are_kept_whole(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["epoch-0002", "epoch-0003"]
    for generation in folder.iterdir():
        assert {p.name for p in generation.iterdir()} == EPOCH_FILES


def test_run_that_was_cut_off_ends_where_the_whole_one_does(folder, tmp_path):
    whole = learner()
    fit(whole, tmp_path / "whole", 5)
    resumed = learner()
    assert fit(resumed, folder, 5).epoch == 3
    for ours, theirs in zip(state_of(resumed), state_of(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for name in ("model.npz", "optimizer.npz"):
        with (
            np.load(folder / "epoch-0005" / name) as ours,
            np.load(tmp_path / "whole/epoch-0005" / name) as theirs,
        ):
            for key in theirs.files:
                np.testing.assert_allclose(ours[key], theirs[key], 1e-5, 1e-6)


def test_weights_moments_means_and_rate_are_restored_exactly(folder):
    model = learner()
    restore(model, folder, schedules())
    names = [v.path for v in model.optimizer.variables]
    assert any("average" in name for name in names)
    assert any("momentum" in name for name in names)
    for file, variables in (
        ("model.npz", model.variables),
        ("optimizer.npz", model.optimizer.variables),
    ):
        with np.load(folder / "epoch-0003" / file) as arrays:
            for variable, key in zip(variables, sorted(arrays.files), strict=True):
                np.testing.assert_array_equal(variable.numpy(), arrays[key])
    assert float(model.optimizer.learning_rate) < 0.01
    assert int(model.optimizer.iterations) == 3


def test_schedules_go_on_counting_where_they_were(folder):
    resumed = schedules()
    model = learner()
    restore(model, folder, resumed)
    for callback in resumed.values():
        callback.set_model(model)
        callback.on_train_begin()
    kept = json.loads((folder / "epoch-0003/state.json").read_text())["schedules"]
    assert resumed["stop"].best == kept["stop"]["best"]
    assert resumed["stop"].wait == kept["stop"]["wait"]
    assert resumed["lr"].best == kept["lr"]["best"]


def test_patience_counts_the_epochs_before_the_cut(folder):
    state = json.loads((folder / "epoch-0003/state.json").read_text())
    state["schedules"]["stop"] |= {"best": -1.0, "wait": 2.0}
    (folder / "epoch-0003/state.json").write_text(json.dumps(state))
    fit(learner(), folder, 99)
    assert newest(folder).epoch == 5
    assert newest(folder).finished
    assert restore(learner(), folder, schedules()).finished


def test_empty_folder_leaves_the_model_as_it_is(tmp_path):
    model = learner()
    before = state_of(model)
    assert restore(model, tmp_path, schedules()) == Resumed()
    for now, then in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": half,
    "overwritten": lambda path: path.write_bytes(b"\x80 no such thing"),
}


@pytest.mark.parametrize("file", sorted(EPOCH_FILES))
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_generation_falls_back_to_the_one_before(folder, file, damage):
    DAMAGES[damage](folder / "epoch-0003" / file)
    assert restore(learner(), folder, schedules()).epoch == 2


def test_flipped_bit_in_the_weights_is_damage(folder):
    flip(folder / "epoch-0003" / "model.npz")
    assert restore(learner(), folder, schedules()).epoch == 2


@pytest.mark.parametrize("state", ["[]", "{}", '{"epoch": "x"}', "null"])
def test_state_of_another_form_is_damage(folder, state):
    (folder / "epoch-0003" / "state.json").write_text(state)
    assert newest(folder).epoch == 2


def test_nothing_is_left_when_both_are_damaged(folder):
    for generation in folder.iterdir():
        half(generation / "model.npz")
    assert newest(folder) is None
    assert restore(learner(), folder, schedules()) == Resumed()


def test_damaged_generation_is_replaced_when_its_epoch_is_done_again(folder):
    half(folder / "epoch-0003" / "model.npz")
    fit(learner(), folder, 3)
    assert newest(folder).epoch == 3


def test_unfinished_draft_is_not_a_generation(folder):
    (folder / "epoch-0003").rename(folder / ".draft-epoch-0003")
    assert newest(folder).epoch == 2


def test_generation_of_another_network_is_refused_and_changes_nothing(folder):
    model = learner(width=5)
    before = state_of(model)
    with pytest.raises(JobError, match="of another network"):
        restore(model, folder, schedules())
    for now, then in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_cut_while_writing_leaves_the_generation_before(folder, monkeypatch):
    def disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_sync", disk_full)
    with pytest.raises(CxrError, match="The disk is full"):
        fit(learner(), folder, 4)
    assert newest(folder).epoch == 3
