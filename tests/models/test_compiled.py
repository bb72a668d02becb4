"""A graph, one film on all processors or many side by side."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.models import cards
from cxr.models.compiled import MANY, CompiledGraph, processors

OUTPUTS = ("logit", "pooled")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    folder = models_dir / "tiny-1"
    return [
        (folder / name).read_bytes() for name in (cards.NETWORK, cards.NETWORK_WEIGHTS)
    ]


@pytest.fixture(params=[0, 1, 3], ids=["all threads", "one thread", "three threads"])
def graph(request, files):
    return CompiledGraph(*files, threads=request.param)


def inputs_of(n):
    rng = np.random.default_rng(n)
    return rng.uniform(0, 255, (n, 224, 224, 1)).astype(np.float32)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("n", [1, 2, MANY - 1, MANY, 2 * MANY + 3])
def test_each_film_has_its_outputs_in_order(graph, n, beside):
    inputs = inputs_of(n)
    found = graph(inputs, OUTPUTS, beside=beside)
    apart = [graph(inputs[i : i + 1], OUTPUTS) for i in range(n)]
    for name in OUTPUTS:
        expected = np.concatenate([one[name] for one in apart])
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, atol=1e-5, rtol=0)


def test_one_film_alone_takes_no_second_compilation(graph):
    for _ in range(3):
        graph(inputs_of(MANY - 1), OUTPUTS)
    assert graph._streams is None
    graph(inputs_of(1), OUTPUTS, beside=True)
    assert graph._streams is not None


def test_more_threads_than_streams_wait_for_each_other(graph):
    inputs = inputs_of(5)
    expected = graph(inputs, OUTPUTS)["logit"]
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(
            lambda _: graph(inputs, OUTPUTS, beside=True)["logit"], range(40)
        )
        for found in answers:
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_an_input_that_does_not_fit_leaves_the_others_their_turn(graph):
    with pytest.raises(RuntimeError):
        graph(np.zeros((1, 9, 9, 1), np.float32), OUTPUTS, beside=True)
    for _ in range(3):
        assert graph(inputs_of(4), OUTPUTS, beside=True)["logit"].shape == (4, 1)


def test_the_processors_of_this_process_are_counted():
    assert processors() >= 1
