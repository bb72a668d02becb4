"""A disk that is really full: at a checkpoint, at the export, at the registration.

A small file system in memory stands in for the disk; mounting one needs the rights of
an administrator and Linux.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_run import CONFIG, small_network, split_of
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr import disk
from cxr.config import ROOT
from cxr.datasets import prepared
from cxr.datasets.folders import LabelledFilm, with_hashes
from cxr.errors import CxrError
from cxr.models import registry
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import learning, publication, train
from cxr.training.accelerator import Accelerator
from cxr.training.callbacks import load_best
from cxr.training.checkpoints import Checkpoint, newest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only an administrator of a Linux machine can mount a small file system",
)


@pytest.fixture
def small_disk(tmp_path):
    """Gives a folder of its own small size, and takes it away again."""
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder, *, leave):
    """Fills a disk up to so many bytes with one file, which is returned."""
    path = folder / "filler"
    free = disk.free(folder) - leave
    path.write_bytes(bytes(max(0, free)))
    return path


SPLITS = {"train": split_of(14), "validation": split_of(6, first=50)}


def fine_tune(folder):
    network, run = small_network(), Run(folder)
    keras.utils.set_random_seed(CONFIG.seed)
    learning.fine_tune(
        network, SPLITS, CONFIG, run, clock=Clock(), device=Accelerator()
    )
    return run


@pytest.mark.slow
def test_checkpoint_is_not_written_and_the_run_goes_on_later(
    small_disk, tmp_path, monkeypatch
):
    folder, write = small_disk("2m"), Checkpoint.on_epoch_end

    def full_at_the_third(self, epoch, logs=None):
        if epoch == 2:
            fill(folder, leave=4096)
        write(self, epoch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "on_epoch_end", full_at_the_third)
        with pytest.raises(CxrError, match="The disk is full: 0.0 MB") as caught:
            fine_tune(folder / "run")
    assert caught.value.code == disk.FULL
    run = Run(folder / "run")
    assert newest(run.checkpoints).epoch == 2
    load_best(small_network(), run.best_weights)
    (folder / "filler").unlink()
    fine_tune(folder / "run")
    whole = fine_tune(tmp_path / "whole")
    ours, theirs = run.history(), whole.history()
    assert [row["epoch"] for row in ours] == ["1", "2", "3", "4"]
    np.testing.assert_allclose(
        [float(row["val_loss"]) for row in ours],
        [float(row["val_loss"]) for row in theirs],
        rtol=1e-4,
    )


@pytest.fixture
def trained(tmp_path):
    """What a publication needs: a network and its splits of prepared films."""
    films = []
    for i in range(48):
        label = int(i % 3 > 0)
        path = tmp_path / f"{i}.png"
        path.write_bytes(as_png(chest_phantom(224, 224, seed=i, opacity=label)))
        films.append(
            LabelledFilm(path=path, name=f"{i}", label=label, patient_id=f"{i}")
        )
    run, clock = Run(tmp_path / "run"), Clock()
    run.history_file.write_text("phase,epoch\n")
    config = CONFIG.__class__(data="films", architecture="baseline-cnn")
    splits = train.prepare(
        with_hashes(films), "f" * 64, config, run, tmp_path / "cache", clock
    )
    network = small_network(224, name="baseline-cnn")
    return network, {
        "config": {"target_sensitivity": 0.9, "assured_sensitivity": 0.1},
        "splits": splits,
        "fingerprint": "f" * 64,
        "history": run.history_file,
        "seconds": 1.0,
    }


@pytest.mark.filterwarnings("ignore::cxr.evaluation.estimates.UndefinedMetricWarning")
@pytest.mark.parametrize("leave", [0, 4096, 12_000, 40_000])
def test_model_is_not_registered_in_part_and_the_earlier_one_serves(
    small_disk, trained, leave
):
    network, arguments = trained
    models = small_disk("12m") / "models"
    earlier = register_tiny_model(models)
    filler = fill(models.parent, leave=leave)
    with pytest.raises(CxrError, match="The disk is full") as caught:
        publication.publish(network, **arguments, models_dir=models)
    assert caught.value.code == disk.FULL
    assert registry.active_id(models) == earlier.model_id
    assert registry.verify(models, earlier) == []
    there = {path.name for path in models.iterdir()}
    assert there == {"tiny-1", "lungs", "active.json"}
    filler.unlink()
    model_id = publication.publish(network, **arguments, models_dir=models)
    assert registry.verify(models, registry.read_card(models, model_id)) == []


def test_films_are_not_prepared_in_part(small_disk, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(as_png(chest_phantom(230, 230)))
    films = with_hashes([LabelledFilm(path=path, name="a", label=0, patient_id="a")])
    cache = small_disk("1m") / "cache"

    def prepare():
        return prepared.prepare(films, fingerprint="f", size=224, cache_dir=cache)

    filler = fill(cache.parent, leave=20_000)
    with pytest.raises(CxrError, match="The disk is full"):
        prepare()
    assert not prepared.is_there(cache, "f", 224)
    filler.unlink()
    assert prepare().pixels.shape == (1, 224, 224)


@pytest.mark.slow
def test_whole_run_ends_with_the_name_of_the_cause(small_disk, tmp_path):
    for i in range(24):
        folder = tmp_path / "films" / ("NORMAL" if i % 3 == 0 else "PNEUMONIA")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = chest_phantom(224, 224, seed=i, opacity=float(i % 3 > 0))
        (folder / f"{i}.png").write_bytes(as_png(pixels))
    place = small_disk("1m")
    # In a process of its own: HDF5 can't close a file that it could not write.
    command = ["train", "--data", str(tmp_path / "films"), "--run", str(place / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "cxr", *command, "--architecture", "baseline-cnn"],
        cwd=ROOT,
        env=os.environ
        | {"CXR_MODELS_DIR": str(tmp_path / "m"), "CXR_CACHE_DIR": str(tmp_path / "c")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert "The disk is full" in done.stderr
    assert "[disk-full]" in done.stderr
