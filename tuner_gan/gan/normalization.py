"""Batch normalisation that trains faster."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="tuner_gan")
class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Keras's BatchNormalization, which can be one operator of TensorFlow on maps [N, H, W, C] while training.

    Attributes:
        is_fused: whether it is. To be set before the layer is traced: XLA merges Keras's operators by itself, and
            would take this one's variance as a difference of means, which loses digits.

    References:
        Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    is_fused: bool = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Maps a tensor to one of its shape."""
        is_plain = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        if not (self.is_fused and training and self.trainable and is_plain) or self.renorm or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        x = tf.cast(inputs, tf.float32)  # whatever the policy, like Keras
        channels = x.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels),
            offset=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        # The operator gives the variance of what the batch was drawn from, and Keras averages that of the batch.
        count = tf.cast(tf.size(x) // channels, tf.float32)
        variance = tf.stop_gradient(variance * (count - 1.0) / count)
        for average, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + of_batch * (1.0 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)
