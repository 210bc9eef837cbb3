"""The GAN that other benchmarks compare with: DCGAN as Keras's and TensorFlow's guides write it.

It makes fakes for the discriminator and new ones for the generator, with a tape for each, on a tf.data pipeline,
without XLA (Keras's own choice for TensorFlow on a CPU).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

LATENT_DIM = 100
SIDE = 28
"""Pixels of an image."""
KERNEL = 4
SLOPE = 0.2
DROPOUT = 0.3


class TextbookGAN(keras.Model):  # type: ignore[misc]
    """A GAN with the training step of the textbooks.

    Args:
        generator: latents `[B, latent_dim]` to images in [-1, 1].
        discriminator: images to logits `[B, 1]`.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model) -> None:
        super().__init__()
        self.latent_dim = generator.input_shape[-1]
        self.generator = generator
        self.discriminator = discriminator
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.d_loss, self.g_loss = keras.metrics.Mean(name="d_loss"), keras.metrics.Mean(name="g_loss")

    def compile(self, generator_lr: float, discriminator_lr: float) -> None:
        """Adam on both sides, with DCGAN's beta1."""
        super().compile()
        self.g_optimizer = keras.optimizers.Adam(generator_lr, beta_1=0.5)
        self.d_optimizer = keras.optimizers.Adam(discriminator_lr, beta_1=0.5)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of both losses."""
        return [self.d_loss, self.g_loss]

    def call(self, latents: Any) -> Any:
        """Makes images; without this, KerasTuner cannot save the weights."""
        return self.generator(latents)

    def train_step(self, real: Any) -> dict[str, Any]:
        """A step of the discriminator, then one of the generator with fakes of its own."""
        count = tf.shape(real)[0]
        ones, zeros = tf.ones((count, 1)), tf.zeros((count, 1))
        fake = self.generator(tf.random.normal((count, self.latent_dim)), training=True)
        with tf.GradientTape() as tape:
            logits = self.discriminator(tf.concat([fake, real], 0), training=True)
            d_loss = self.cross_entropy(tf.concat([zeros, ones], 0), logits)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, variables), variables)
        latents = tf.random.normal((count, self.latent_dim))
        with tf.GradientTape() as tape:
            fake_logits = self.discriminator(self.generator(latents, training=True), training=True)
            g_loss = self.cross_entropy(ones, fake_logits)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, variables), variables)
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def dcgan(depth: int, width: int) -> TextbookGAN:
    """A DCGAN for grey images of 28 x 28, not compiled yet.

    Args:
        depth: convolutional layers of each network, >= 1; those beyond two keep the size of the map in the generator.
        width: channels of the layer nearest the image.
    """
    return TextbookGAN(_generator(depth, width), _discriminator(depth, width))


def _generator(depth: int, width: int) -> keras.Model:
    base = SIDE // 2 ** min(depth, 2)
    channels = width * 2 ** (depth - 1)
    network = keras.Sequential(name="generator")
    network.add(keras.Input((LATENT_DIM,)))
    network.add(layers.Dense(base * base * channels, use_bias=False))
    network.add(layers.BatchNormalization())
    network.add(layers.LeakyReLU(SLOPE))
    network.add(layers.Reshape((base, base, channels)))
    for layer in reversed(range(1, depth)):
        strides = 2 if layer == 1 else 1
        filters = width * 2 ** (layer - 1)
        network.add(layers.Conv2DTranspose(filters, KERNEL, strides, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.LeakyReLU(SLOPE))
    network.add(layers.Conv2DTranspose(1, KERNEL, 2, padding="same", activation="tanh"))
    return network


def _discriminator(depth: int, width: int) -> keras.Model:
    network = keras.Sequential(name="discriminator")
    network.add(keras.Input((SIDE, SIDE, 1)))
    for layer in range(depth):
        network.add(layers.Conv2D(width * 2**layer, KERNEL, 2, padding="same"))
        network.add(layers.LeakyReLU(SLOPE))
        network.add(layers.Dropout(DROPOUT))
    network.add(layers.Flatten())
    network.add(layers.Dense(1))
    return network


def pipeline(images: npt.NDArray[np.uint8], batch_size: int, *, autotune: bool) -> tf.data.Dataset:
    """Batches in [-1, 1], shuffled anew in each epoch.

    Args:
        images: uint8 `[N, H, W, C]`.
        batch_size: of every batch; what is left over at the end is dropped.
        autotune: whether tf.data tunes itself, its default: an epoch then ends late, because its iterator waits for the
            thread that tunes.
    """
    floats = images.astype(np.float32) / 127.5 - 1.0
    batches = tf.data.Dataset.from_tensor_slices(floats).shuffle(len(floats)).batch(batch_size, drop_remainder=True)
    options = tf.data.Options()
    options.autotune.enabled = autotune
    return batches.with_options(options)
