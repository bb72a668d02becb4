"""The frozen part by OpenVINO gives what Keras gives."""

import keras
import numpy as np
import pytest
from keras import layers

from cxr.training import frozen
from cxr.training.frozen import FrozenFeatures


@pytest.fixture(scope="module")
def model():
    """Every kind of layer that the lower blocks of an EfficientNet have."""
    keras.utils.set_random_seed(3)
    image = keras.Input((24, 24, 1))
    x = layers.Concatenate()([image] * 3)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Normalization(mean=[0.4] * 3, variance=[0.04] * 3)(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("swish")(x)
    shortcut = x
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    x = layers.Dropout(0.5)(layers.Multiply()([x, gate]))
    network = keras.Model(image, layers.Add()([x, shortcut]))
    network(inputs(16), training=True)
    return network


def inputs(n):
    return np.random.default_rng(n).uniform(0, 255, (n, 24, 24, 1)).astype("f4")


@pytest.mark.parametrize("n", [1, frozen.BATCH, frozen.BATCH + 1, 70])
def test_features_are_those_of_keras_for_any_number_of_films(model, n):
    features = FrozenFeatures(model)(inputs(n))
    assert features.dtype == np.float32
    assert features.shape == (n, 12, 12, 8)
    np.testing.assert_allclose(
        features, model.predict(inputs(n), verbose=0), rtol=1e-4, atol=1e-5
    )


def test_answers_stay_apart_from_later_calls(model):
    features = FrozenFeatures(model)
    first = features(inputs(3))
    kept = first.copy()
    features(inputs(5)[:3])
    np.testing.assert_array_equal(first, kept)


def test_later_changes_of_the_weights_do_not_reach_it(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    features = FrozenFeatures(copy)
    before = features(inputs(2))
    copy.set_weights([w * 0 for w in copy.get_weights()])
    np.testing.assert_array_equal(features(inputs(2)), before)


def test_converted_model_keeps_the_names_of_its_outputs():
    image = keras.Input((8, 8, 1), name="image")
    outputs = {"first": layers.Flatten()(image), "second": layers.ReLU()(image)}
    graph = frozen.convert(keras.Model(image, outputs))
    assert {name for output in graph.outputs for name in output.names} == {
        "first",
        "second",
    }
