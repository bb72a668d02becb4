"""Several devices and 16 bits: the same training, spread and rounded."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from small_run import CONFIG, small_network, split_of

from cxr import errors
from cxr.config import ROOT
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import accelerator, learning, networks
from cxr.training.accelerator import Accelerator
from cxr.training.callbacks import load_best

# Devices are divided before TensorFlow first uses them, so in a process of its own.
TWO_DEVICES = """
import json, sys, tempfile
from dataclasses import replace
from pathlib import Path
import keras
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
from small_run import CONFIG, small_network, split_of
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import learning
from cxr.training.accelerator import Accelerator

splits = {"train": split_of(32), "validation": split_of(12, first=50)}
config = replace(CONFIG, batch_size=8, averaging=0.5, learning_rate=0.03)

def curve(device, **changes):
    folder = Path(tempfile.mkdtemp())
    for epochs in (2, 4):  # the last two epochs are those of a resumed run
        with device.scope():
            network = small_network(dropout=0.0)
        run = Run(folder)
        learning.fine_tune(
            network, splits, replace(config, epochs=epochs, **changes), run,
            clock=Clock(), device=device,
        )
    rows = run.history()
    return [[float(row[k]) for k in ("loss", "val_loss", "val_auc")] for row in rows]

both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
print(json.dumps({
    "replicas": both.num_replicas_in_sync,
    "one": curve(Accelerator()),
    "two": curve(Accelerator(strategy=both)),
    "on_gpu": curve(Accelerator(strategy=both, on_gpu=True)),
    "pairs on one": curve(Accelerator(), consistency=5.0),
    "pairs on two": curve(Accelerator(strategy=both), consistency=5.0),
}))
"""


@pytest.fixture(scope="module")
def curves():
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["two", "on_gpu"])
def test_two_devices_learn_as_one_at_the_same_batch(curves, kind):
    assert curves["replicas"] == 2
    assert len(curves["one"]) == 4
    np.testing.assert_allclose(curves[kind], curves["one"], atol=1e-2)
    # The weights do move, so equal curves say something.
    assert np.ptp([row[0] for row in curves["one"]]) > 0.003


@pytest.mark.slow
def test_two_devices_pull_pairs_together_as_one_does(curves):
    one, two, single = (
        np.array(curves[kind])[:, :2]
        for kind in ("pairs on one", "pairs on two", "one")
    )
    np.testing.assert_allclose(two, one, atol=2e-3)
    # The pairs count, so equal losses say something.
    assert abs(one[0, 0] - single[0, 0]) > 5e-3


def test_pairs_stay_together_on_two_devices(tmp_path):
    class Two(Accelerator):
        devices = 2

    splits = {"train": split_of(14), "validation": split_of(6)}
    config = replace(CONFIG, batch_size=6, consistency=1.0)
    with pytest.raises(errors.JobError, match="multiple of 4"):
        learning.fine_tune(
            small_network(), splits, config, Run(tmp_path), clock=Clock(), device=Two()
        )


def test_batch_that_can_not_be_shared_evenly_is_a_named_error(tmp_path):
    class Two(Accelerator):
        devices = 2

    splits = {"train": split_of(14), "validation": split_of(6)}
    with pytest.raises(errors.JobError, match="multiple of 2"):
        learning.fine_tune(
            small_network(),
            splits,
            replace(CONFIG, batch_size=5),
            Run(tmp_path),
            clock=Clock(),
            device=Two(),
        )


def test_processor_computes_in_32_bits(monkeypatch):
    monkeypatch.setattr(accelerator.tf.config, "list_physical_devices", lambda kind: [])
    assert accelerator.find(mixed_precision=True) == Accelerator()


class TestMixedPrecision:
    DEVICE = Accelerator(mixed_precision=True)

    def test_policy_holds_inside_and_ends(self):
        before = keras.config.dtype_policy().name
        with pytest.raises(KeyError), self.DEVICE.policy():
            assert keras.config.dtype_policy().name == "mixed_float16"
            raise KeyError
        assert keras.config.dtype_policy().name == before

    @pytest.mark.slow
    def test_run_learns_resumes_and_leaves_weights_of_32_bits(self, tmp_path):
        splits = {"train": split_of(14), "validation": split_of(6, first=50)}
        run = Run(tmp_path)
        for epochs in (2, 3):
            with self.DEVICE.policy():
                network = small_network()
            config = replace(CONFIG, epochs=epochs, schedule="cosine")
            learning.fine_tune(
                network, splits, config, run, clock=Clock(), device=self.DEVICE
            )
        assert [row["epoch"] for row in run.history()] == ["1", "2", "3"]
        serving = small_network()
        load_best(serving, run.best_weights)
        assert {w.dtype for w in serving.get_weights()} == {np.dtype(np.float32)}

    def test_outputs_of_a_network_stay_in_32_bits(self):
        with self.DEVICE.policy():
            network = networks.build("baseline-cnn")
        assert network.get_layer("block2_conv").compute_dtype == "float16"
        assert {v.dtype for v in network.output.values()} == {"float32"}
        assert network.get_layer("pooled").compute_dtype == "float32"


def test_accumulated_gradients_move_the_weights_every_second_step(tmp_path):
    splits = {"train": split_of(14), "validation": split_of(6, first=50)}
    network, run = small_network(), Run(tmp_path)
    config = replace(CONFIG, accumulate=2, epochs=2, schedule="cosine")
    learning.fine_tune(
        network, splits, config, run, clock=Clock(), device=Accelerator()
    )
    assert len(run.history()) == 2
    assert float(run.history()[-1]["loss"]) > 0
