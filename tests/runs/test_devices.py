"""What a training would compute on."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from cxr.runs import devices


@pytest.fixture
def driver(monkeypatch):
    """Stands in for the NVIDIA driver's tool; answers or raises what is set."""
    answer = SimpleNamespace(stdout="", error=None)

    def run(*_, **__):
        if answer.error:
            raise answer.error
        return answer

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", run)
    return answer


def test_machine_without_a_driver_computes_on_its_processor(monkeypatch):
    monkeypatch.setattr(devices.shutil, "which", lambda _: None)
    device = devices.find()
    assert (device.kind, device.names) == ("CPU", ())
    assert device.cores >= 1
    assert device.words.endswith("(no GPU found)")
    assert device.words.startswith(f"CPU, {device.cores} core")


@pytest.mark.parametrize(
    "stdout, words", [("A100\n", "A100, CPU"), ("T4\nT4\n", "2 × T4, CPU")]
)
def test_gpus_are_named(driver, stdout, words):
    driver.stdout = stdout
    device = devices.find()
    assert device.kind == "GPU"
    assert device.words.startswith(words)


@pytest.mark.parametrize(
    "error",
    [
        subprocess.CalledProcessError(9, "nvidia-smi"),
        subprocess.TimeoutExpired("nvidia-smi", 10),
        PermissionError(),
    ],
)
def test_driver_that_does_not_answer_is_no_gpu(driver, error):
    driver.error = error
    assert devices.find().kind == "CPU"


def test_hidden_gpus_are_not_used(driver, monkeypatch):
    driver.stdout = "A100\n"
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "-1")
    assert devices.find().kind == "CPU"
