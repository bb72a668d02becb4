"""Where a network is trained: all GPUs of this machine, or its processor."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """What computes.

    Attributes:
        on_gpu: whether it is one or more GPUs.
        strategy: that spreads each batch over several devices, None for one.
        mixed_precision: whether it computes in 16 bits.
    """

    on_gpu: bool = False
    strategy: tf.distribute.Strategy | None = None
    mixed_precision: bool = False

    @property
    def devices(self) -> int:
        """How many devices share a batch."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def scope(self) -> Any:
        """Returns the context in which networks are built and compiled."""
        return self.strategy.scope() if self.strategy else nullcontext()

    @contextmanager
    def policy(self) -> Iterator[None]:
        """Builds networks inside for the precision in which they are trained."""
        before = keras.config.dtype_policy()
        if self.mixed_precision:
            keras.config.set_dtype_policy("mixed_float16")
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


def find(*, mixed_precision: bool) -> Accelerator:
    """Returns all GPUs of this machine as one, or its processor if it has none.

    GPU memory is taken as it is needed, so that another program can use the rest.

    Args:
        mixed_precision: whether GPUs may compute in 16 bits; a processor never does,
            it would be slower.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return Accelerator(
        on_gpu=bool(gpus),
        strategy=tf.distribute.MirroredStrategy() if len(gpus) > 1 else None,
        mixed_precision=mixed_precision and bool(gpus),
    )
