"""Activations whose derivative is flat, and known to be so."""

from __future__ import annotations

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
        # No `tf.custom_gradient`: TensorFlow keeps the graph that one was traced in until the process ends.
        ones = tf.ones_like(inputs)
        slopes = tf.raw_ops.LeakyReluGrad(gradients=ones, features=inputs, alpha=float(self.negative_slope))
        return inputs * tf.stop_gradient(slopes)
