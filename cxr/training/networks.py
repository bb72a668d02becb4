"""Networks as flat functional graphs: the baseline CNN and the EfficientNet family.

Every network takes `(n, size, size, 1)` in `[0, 255]` and has two named outputs:
`feature_map`, the last convolution's output of shape `(n, h, w, channels)`, and `logit`
of shape `(n, 1)`, a linear layer on its average over all positions. So the class
activation map of a film, which for this head equals Grad-CAM, is one dot product
(Zhou et al. 2016, arXiv 1512.04150). Scaling to the backbone's own range is part of
the network: dividing by 255 outside it starves an EfficientNet.
"""

import math
from pathlib import Path

import keras
from keras import layers

from cxr.errors import ModelError
from cxr.runs import architectures
from cxr.runs.architectures import BASELINE

BASELINE_FILTERS = (24, 48, 96, 160, 224)
STDDEV = (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


def build(
    architecture: str,
    *,
    backbone_weights: str = "imagenet",
    dropout: float = 0.3,
    imagenet_scale: bool = False,
) -> keras.Model:
    """Returns an untrained classifier with the outputs `feature_map` and `logit`.

    Args:
        architecture: one of `architectures.ARCHITECTURES`.
        backbone_weights: `imagenet` (Keras downloads them), `none`, or the path of a
            `.weights.h5` file of this backbone. The baseline CNN has no backbone and
            ignores it.
        dropout: share of the pooled features dropped in training, in `[0, 1)`.
        imagenet_scale: whether an EfficientNet B0 to B7 without weights scales films
            as Keras builds it for its ImageNet weights, so that weights which began
            there fit.

    Raises:
        ValueError: no such architecture.
        ModelError: the weights can't be had or do not fit.
    """
    size = architectures.find(architecture).size
    image = keras.Input((size, size, 1), name="image")
    if architecture == BASELINE:
        feature_map = _baseline_features(image)
    else:
        feature_map = _backbone_features(architecture, image, backbone_weights)
    feature_map = layers.Activation("linear", name="feature_map", dtype="float32")(
        feature_map
    )
    pooled = layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(feature_map)
    kept = layers.Dropout(dropout, name="dropout")(pooled)
    logit = layers.Dense(1, name="logit", dtype="float32")(kept)
    outputs = {"feature_map": feature_map, "logit": logit}
    network = keras.Model(image, outputs, name=architecture)
    if imagenet_scale and backbone_weights == "none" and _is_scaled(architecture):
        return keras.models.clone_model(network, call_function=_call_and_scale)
    return network


def _is_scaled(architecture: str) -> bool:
    builder = architectures.find(architecture).builder
    return bool(builder) and "V2" not in builder


def _call_and_scale(
    layer: keras.Layer, *args: object, **options: object
) -> keras.KerasTensor:
    # Keras adds this scaling for weights that it calls imagenet, and only for those.
    called = layer(*args, **options)
    if not isinstance(layer, layers.Normalization):
        return called
    return layers.Rescaling([1 / math.sqrt(std) for std in STDDEV])(called)


def serving(network: keras.Model) -> keras.Model:
    """Returns the network as it is exported.

    Outputs: `logit` `(n, 1)`; `activation_map` `(n, h, w)`, each position's share of
    the logit, so that its mean plus the head's bias is the logit; `pooled`
    `(n, channels)`, the features that the head saw.
    """
    feature_map = network.output["feature_map"]
    head = network.get_layer("logit")
    project = layers.Conv2D(1, 1, use_bias=False, name="head_as_convolution")
    activation_map = layers.Reshape(feature_map.shape[1:3], name="activation_map")(
        project(feature_map)
    )
    project.set_weights([head.get_weights()[0][None, None]])
    outputs = {
        "logit": network.output["logit"],
        "activation_map": activation_map,
        "pooled": network.get_layer("pooled").output,
    }
    return keras.Model(network.input, outputs, name=f"{network.name}-serving")


def divide(network: keras.Model, block: int) -> tuple[keras.Model | None, keras.Model]:
    """Returns the part that stays frozen and the part that learns, sharing weights.

    The second one takes the first one's output to the logit. For the baseline CNN, and
    for block 1, the first is None and the second everything, batch normalisation too.

    In an EfficientNet the blocks from `block` (2 to 7, in the V2 family to 6) up learn,
    and the head. Batch normalisation does not: frozen, it is in inference mode in
    Keras, and ImageNet's statistics are not moved by a batch of films.

    Raises:
        ValueError: no such block.
    """
    if network.name == BASELINE or block == 1:
        for layer in network.layers:
            layer.trainable = True
        return None, keras.Model(network.input, network.output["logit"])
    start = f"block{block}a_expand_conv"
    if start not in {layer.name for layer in network.layers}:
        raise ValueError(
            f"expected a block of {network.name} from 1, received {block=}"
        )
    cut = network.get_layer(start).input
    upper = keras.Model(cut, network.output["logit"], name=f"{network.name}-upper")
    for layer in network.layers:
        layer.trainable = False
    for layer in upper.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    return keras.Model(network.input, cut, name=f"{network.name}-lower"), upper


def _baseline_features(image: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    for number, filters in enumerate(BASELINE_FILTERS, start=1):
        x = layers.Conv2D(
            filters,
            3,
            strides=2 if number == 1 else 1,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"block{number}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=0.95, name=f"block{number}_bn")(x)
        x = layers.ReLU(name=f"block{number}_relu")(x)
        if number < len(BASELINE_FILTERS):
            x = layers.MaxPooling2D(name=f"block{number}_pool")(x)
    return x


def _backbone_features(
    architecture: str, image: keras.KerasTensor, weights: str
) -> keras.KerasTensor:
    if weights not in ("imagenet", "none"):
        _require_weights_file(Path(weights))
    three_channels = layers.Concatenate(name="three_channels")([image] * 3)
    builder = getattr(keras.applications, architectures.find(architecture).builder)
    try:
        backbone = builder(
            include_top=False,
            weights=None if weights == "none" else weights,
            input_tensor=three_channels,
        )
    except Exception as error:  # Keras raises just that when a download fails.
        raise ModelError(
            f"The backbone weights {weights!r} could not be loaded for {architecture}. "
            "Without a network connection give the path of a local weights file, or "
            "none to train from scratch."
        ) from error
    return backbone.output


def _require_weights_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"There are no backbone weights at {path}.")
    # Keras adds a scaling layer to EfficientNet B0 to B7 for the weights that it calls
    # imagenet, and none for the same file given by its path: the scale would be wrong.
    if not path.name.endswith(".weights.h5"):
        raise ModelError(
            f"{path.name} is not a .weights.h5 file. A file of Keras' own "
            "(efficientnetb0_notop.h5) belongs into the folder models of Keras' home, "
            "by default ~/.keras/models; then ask for imagenet."
        )
