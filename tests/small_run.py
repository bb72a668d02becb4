"""A training run in small: a network of a few hundred weights and phantom films."""

import keras
import numpy as np
from keras import layers
from synthetic_films import chest_phantom

from cxr.datasets.folders import LabelledFilm
from cxr.runs.config import TrainConfig
from cxr.training.batches import PreparedSplit

SIZE = 32
CONFIG = TrainConfig(
    data="films",
    architecture="small",
    batch_size=4,
    head_views=1,
    head_epochs=3,
    unfreeze_from=4,
    epochs=4,
    learning_rate=0.01,
    schedule="plateau",
    warm_up=3,
    patience=5,
    averaging=0.9,
)


def split_of(n, first=0, size=SIZE):
    """A third normal; films with pneumonia have an opacity."""
    labels = np.array([int(i % 3 > 0) for i in range(n)], np.float32)
    pixels = [
        chest_phantom(size, size, seed=first + i, opacity=label)
        for i, label in enumerate(labels)
    ]
    films = tuple(
        LabelledFilm(path=None, name=f"{i}", label=int(label), patient_id=f"{i}")
        for i, label in enumerate(labels)
    )
    # In the shared array they lie in another order, after a film of no split.
    shared = np.stack([np.zeros((size, size)), *pixels[::-1]]).astype(np.uint8)
    return PreparedSplit(
        films=films, pixels=shared, rows=np.arange(n, 0, -1), labels=labels
    )


def small_network(size=SIZE, name="small", dropout=0.2):
    """A network of `networks.build`'s form with one block below and one above."""
    keras.utils.set_random_seed(7)
    image = keras.Input((size, size, 1), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    x = layers.Conv2D(3, 3, strides=size // 16, name="stem_conv")(x)
    x = layers.Conv2D(4, 3, strides=2, name="block4a_expand_conv")(x)
    x = layers.BatchNormalization(name="block4a_bn")(x)
    x = layers.ReLU(name="block4a_relu")(x)
    feature_map = layers.Activation("linear", name="feature_map", dtype="float32")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(feature_map)
    kept = layers.Dropout(dropout, name="dropout")(pooled)
    logit = layers.Dense(1, name="logit", dtype="float32")(kept)
    outputs = {"feature_map": feature_map, "logit": logit}
    return keras.Model(image, outputs, name=name)
