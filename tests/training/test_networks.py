"""Networks: outputs by name, scaling inside, class activation map, frozen blocks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from synthetic_films import chest_phantom

from cxr.errors import ModelError
from cxr.films import preparation
from cxr.runs import architectures
from cxr.training import networks
from cxr.training.frozen import FrozenFeatures

BUILT = [architectures.BASELINE, architectures.DEFAULT]


@pytest.fixture(scope="module")
def built():
    """The baseline and EfficientNetB0 from random weights, with statistics of films."""
    keras.utils.set_random_seed(1)
    found = {a: networks.build(a, backbone_weights="none") for a in BUILT}
    for network in found.values():
        # As built, batch normalisation does nothing, and each squeeze-and-excitation
        # halves the signal: after sixteen blocks no film could be told from another.
        for layer in network.layers:
            if layer.name.endswith("_se_expand"):
                kernel, bias = layer.get_weights()
                layer.set_weights([kernel, bias + 3])
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = 0.0
        network(films(4), training=True)
    return found


@pytest.fixture(params=BUILT)
def network(request, built):
    return built[request.param]


@pytest.fixture(scope="module")
def trained(built):
    """What each network says about the films."""
    return {name: run(network) for name, network in built.items()}


@pytest.fixture(scope="module")
def served(built):
    """What each network says about them as it is exported."""
    return {name: run(networks.serving(network)) for name, network in built.items()}


def run(network, inputs=None):
    # Called and not `predict`: for a few films compiling takes longest.
    outputs = network(films() if inputs is None else inputs, training=False)
    return {name: value.numpy() for name, value in outputs.items()}


def films(n=2):
    pixels = [chest_phantom(224, 224, seed=i, opacity=i % 2) for i in range(n)]
    return np.stack([preparation.network_input(p) for p in pixels])


class TestBuild:
    def test_outputs_are_named_and_shaped(self, network, trained):
        outputs = trained[network.name]
        channels = network.get_layer("logit").kernel.shape[0]
        assert {k: v.shape for k, v in outputs.items()} == {
            "feature_map": (2, 7, 7, channels),
            "logit": (2, 1),
        }
        assert {v.dtype for v in outputs.values()} == {np.dtype(np.float32)}

    def test_name_is_the_architecture_and_input_one_grey_channel(self, built):
        for name, network in built.items():
            assert network.name == name
            assert network.input_shape == (None, 224, 224, 1)

    def test_graph_is_flat(self, network):
        assert not any(isinstance(layer, keras.Model) for layer in network.layers)

    def test_scaling_is_inside_and_done_once(self, network):
        scales = [x for x in network.layers if isinstance(x, layers.Rescaling)]
        assert len(scales) == 1
        expected = {
            architectures.BASELINE: (1 / 127.5, -1),
            architectures.DEFAULT: (1 / 255, 0),
        }
        found = (scales[0].scale, scales[0].offset)
        assert found == pytest.approx(expected[network.name])

    def test_second_division_by_255_would_blind_it(self, network):
        one = films(1)
        seen, starved, black = run(network, np.concatenate([one, one / 255, one * 0]))[
            "feature_map"
        ]
        assert np.abs(starved - black).mean() < 0.05 * np.abs(seen - black).mean()

    def test_logit_is_linear_on_the_average_of_the_feature_map(self, network, trained):
        outputs = trained[network.name]
        kernel, bias = network.get_layer("logit").get_weights()
        logit = outputs["feature_map"].mean(axis=(1, 2)) @ kernel + bias
        np.testing.assert_allclose(outputs["logit"], logit, atol=1e-4)

    def test_seed_decides_the_first_weights(self):
        first, second, third = (_first_kernel(seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, third)

    def test_unknown_architecture_is_named(self):
        with pytest.raises(ValueError, match="received architecture='resnet'"):
            networks.build("resnet")


def _first_kernel(seed):
    keras.utils.set_random_seed(seed)
    return (
        networks.build(architectures.BASELINE).get_layer("block1_conv").get_weights()[0]
    )


class TestBackboneWeights:
    def test_come_from_a_file(self, built, tmp_path):
        one = built[architectures.DEFAULT]
        path = tmp_path / "backbone.weights.h5"
        top = one.get_layer("top_activation").output
        keras.Model(one.input, top).save_weights(path)
        other = networks.build(architectures.DEFAULT, backbone_weights=str(path))
        differing = set()
        for ours, theirs in zip(other.layers, one.layers, strict=True):
            pairs = zip(ours.get_weights(), theirs.get_weights(), strict=True)
            if not all(np.array_equal(*pair) for pair in pairs):
                differing.add(ours.name)
        assert differing == {"logit"}

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(ModelError, match="no backbone weights at"):
            networks.build(architectures.DEFAULT, backbone_weights=str(tmp_path / "x"))

    def test_file_of_keras_own_is_sent_where_its_scale_is_known(self, tmp_path):
        own = tmp_path / "efficientnetb0_notop.h5"
        own.write_bytes(b"")
        with pytest.raises(ModelError, match=r"ask for imagenet"):
            networks.build(architectures.DEFAULT, backbone_weights=str(own))

    def test_file_of_another_network_is_a_named_error(self, built, tmp_path):
        path = tmp_path / "wrong.weights.h5"
        built[architectures.BASELINE].save_weights(path)
        with pytest.raises(ModelError, match="could not be loaded"):
            networks.build(architectures.DEFAULT, backbone_weights=str(path))

    def test_download_that_fails_says_what_to_do(self, monkeypatch):
        def offline(**_):
            raise Exception("URL fetch failure")  # what Keras raises

        monkeypatch.setattr(keras.applications, "EfficientNetB0", offline)
        with pytest.raises(ModelError, match="Without a network connection"):
            networks.build(architectures.DEFAULT)


class TestServing:
    def test_mean_of_the_activation_map_and_bias_is_the_logit(self, network, served):
        outputs = served[network.name]
        bias = network.get_layer("logit").get_weights()[1]
        assert outputs["activation_map"].shape == (2, 7, 7)
        np.testing.assert_allclose(
            outputs["activation_map"].mean(axis=(1, 2)) + bias,
            outputs["logit"][:, 0],
            atol=1e-4,
        )

    def test_scores_and_features_are_the_networks(self, network, served, trained):
        ours, theirs = served[network.name], trained[network.name]
        np.testing.assert_allclose(ours["logit"], theirs["logit"], atol=1e-5)
        np.testing.assert_allclose(
            ours["pooled"], theirs["feature_map"].mean(axis=(1, 2)), atol=1e-4
        )

    def test_activation_map_is_grad_cam(self, network, served, trained):
        upper = keras.Model(network.output["feature_map"], network.output["logit"])
        features = tf.constant(trained[network.name]["feature_map"])
        with tf.GradientTape() as tape:
            tape.watch(features)
            logit = upper(features, training=False)
        importance = tf.reduce_mean(tape.gradient(logit, features), axis=(1, 2))
        grad_cam = np.einsum("nhwc,nc->nhw", features, importance)
        activation_map = served[network.name]["activation_map"]
        np.testing.assert_allclose(activation_map, 49 * grad_cam, rtol=1e-3, atol=1e-4)


class TestDivide:
    @pytest.mark.parametrize("block", [2, 7])
    def test_lower_and_upper_make_the_whole(self, built, trained, block):
        lower, upper = networks.divide(built[architectures.DEFAULT], block)
        joined = upper(lower(films(), training=False), training=False)
        whole = trained[architectures.DEFAULT]["logit"]
        np.testing.assert_allclose(joined, whole, atol=1e-5)

    def test_lower_part_gives_the_same_features_outside_keras(self, built):
        lower, _ = networks.divide(built[architectures.DEFAULT], 3)
        features = FrozenFeatures(lower)(films())
        np.testing.assert_allclose(
            features, lower(films(), training=False), rtol=1e-3, atol=1e-3
        )

    def test_blocks_from_the_one_asked_for_learn(self, built):
        network = built[architectures.DEFAULT]
        lower, upper = networks.divide(network, 6)
        learning = {v.path.split("/")[0] for v in upper.trainable_variables}
        assert {name[:6] for name in learning if name.startswith("block")} == {
            "block6",
            "block7",
        }
        assert {"top_conv", "logit"} <= learning
        assert not lower.trainable_variables
        assert "block6a_expand_conv" in learning

    def test_a_later_choice_replaces_the_earlier(self, built):
        network = built[architectures.DEFAULT]
        counts = []
        for block in (6, 2, 6):
            _, upper = networks.divide(network, block)
            counts.append(len(upper.trainable_variables))
        assert counts[0] == counts[2] < counts[1]

    def test_batch_normalisation_is_frozen_and_its_statistics_stay(self, built):
        network = built[architectures.DEFAULT]
        saved = network.get_weights()
        _, upper = networks.divide(network, 7)
        normalisations = [
            x for x in upper.layers if isinstance(x, layers.BatchNormalization)
        ]
        assert len(normalisations) >= 4
        assert not any(x.trainable_variables for x in normalisations)
        before = [x.get_weights() for x in normalisations]
        kernel = network.get_layer("top_conv").get_weights()[0]
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        upper.compile("adam", loss, run_eagerly=True)
        inputs = np.random.default_rng(0).normal(3, 9, (4, *upper.input_shape[1:]))
        upper.fit(inputs, np.array([[0.0], [1], [0], [1]]), verbose=0)
        for layer, values in zip(normalisations, before, strict=True):
            for now, then in zip(layer.get_weights(), values, strict=True):
                np.testing.assert_array_equal(now, then)
        # What the learner learned is in the whole network.
        assert not np.array_equal(
            network.get_layer("top_conv").get_weights()[0], kernel
        )
        network.set_weights(saved)

    def test_from_the_first_block_everything_learns(self, built, trained):
        network = built[architectures.DEFAULT]
        networks.divide(network, 7)
        lower, whole = networks.divide(network, 1)
        assert lower is None
        normalisation = network.get_layer("top_bn")
        assert len(normalisation.trainable_variables) == 2
        assert len(whole.trainable_variables) == len(network.trainable_variables) > 200
        logits = whole(films(), training=False)
        expected = trained[architectures.DEFAULT]["logit"]
        np.testing.assert_allclose(logits, expected, atol=1e-5)

    def test_baseline_learns_as_a_whole(self, built, trained):
        network = built[architectures.BASELINE]
        lower, upper = networks.divide(network, 4)
        assert lower is None
        assert len(upper.trainable_variables) == len(network.trainable_variables)
        np.testing.assert_allclose(
            upper(films(), training=False),
            trained[architectures.BASELINE]["logit"],
            atol=1e-5,
        )

    @pytest.mark.parametrize("block", [0, -1, 8])
    def test_block_that_is_not_there_is_named(self, built, block):
        with pytest.raises(ValueError, match=f"received block={block}"):
            networks.divide(built[architectures.DEFAULT], block)


def test_a_graph_without_weights_can_scale_as_keras_does_for_imagenet(
    tmp_path, monkeypatch
):
    """Keras adds a scaling for the weights that it fetches, and only for those."""
    from keras.src.utils import file_utils

    name = architectures.DEFAULT
    plain = keras.applications.EfficientNetB0(include_top=False, weights=None)
    weights = tmp_path / "fetched.weights.h5"
    plain.save_weights(weights)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(weights))
    fetched = networks.build(name, backbone_weights="imagenet")
    ours = networks.build(name, backbone_weights="none", imagenet_scale=True)
    ours.set_weights(fetched.get_weights())
    films = np.random.default_rng(1).uniform(0, 255, (2, 224, 224, 1)).astype("float32")
    outputs = [n(films)["feature_map"].numpy() for n in (fetched, ours)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    without = networks.build(name, backbone_weights="none")
    without.set_weights(fetched.get_weights())
    assert not np.allclose(without(films)["feature_map"].numpy(), outputs[0])
