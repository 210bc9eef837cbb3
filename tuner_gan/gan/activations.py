"""Activations whose derivative is flat, and known to be so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="tuner_gan")
class FlatLeakyReLU(layers.LeakyReLU):  # type: ignore[misc]
    """Keras's LeakyReLU, whose second derivative is none instead of computed zeros.

    A penalty on a discriminator's gradient differentiates it twice. TensorFlow hands zeros on from each LeakyReLU, and
    sends them back through all the layers before it, which takes a tenth of a training step.
    """

    def call(self, inputs: Any) -> Any:
        """Maps a tensor to one of its shape."""
        return _leaky_relu(inputs, self.negative_slope)


def _leaky_relu(x: Any, slope: float) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def forth(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def back(by_y: Any, x: Any) -> tuple[Any, Callable[[Any], tuple[Any, None]]]:
            by_x = tf.raw_ops.LeakyReluGrad(gradients=by_y, features=x, alpha=slope)
            return by_x, lambda by_by_x: (back(by_by_x, x), None)

        return tf.nn.leaky_relu(x, slope), lambda by_y: back(by_y, x)

    return forth(x)
