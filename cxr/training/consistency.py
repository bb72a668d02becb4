"""Two draws of one film are pulled together: the loss and its measure.

What a network answers should not hang on how a film was acquired. Where a batch has
each film twice, differently changed, the difference of the two probabilities is added
to the loss (Laine and Aila 2017, arXiv 1610.02242).
"""

from typing import Any

import keras
from keras import ops


class PairedLoss(keras.losses.Loss):
    """Cross-entropy of a logit, and of a pair how far its probabilities are apart.

    For film `i` of the pair `i, j`: `cross-entropy(y_i, z_i) + strength * (p_i -
    p_j)^2`, so in the mean over a batch the squared difference counts by the weight of
    its film. A picture that shows nothing is part of no pair.

    Labels are `(b, 2)`: the label, and 1 where the picture shows a film. Rows `2k` and
    `2k + 1` are a pair. Labels `(b, 1)` have no pairs: validation.
    """

    def __init__(self, strength: float) -> None:
        """Keeps the weight of the squared difference."""
        super().__init__()
        self.strength = strength

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each picture, shape `(b,)`."""
        losses = keras.losses.binary_crossentropy(
            y_true[:, :1], y_pred, from_logits=True
        )
        if y_true.shape[-1] == 1:
            return losses
        pairs = ops.reshape(ops.sigmoid(y_pred), (-1, 2))
        both = ops.prod(ops.reshape(y_true[:, 1], (-1, 2)), axis=1)
        apart = both * ops.square(pairs[:, 0] - pairs[:, 1])
        return losses + self.strength * ops.repeat(apart, 2)


class LabelAUC(keras.metrics.AUC):
    """The area under the ROC curve by the first column of labels."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        super().update_state(y_true[:, :1], y_pred, sample_weight)
