"""The layers that a network repeats, as its spec wants them."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from tuner_gan.gan.activations import FlatLeakyReLU
from tuner_gan.gan.architecture import DiscriminatorSpec, GeneratorSpec
from tuner_gan.gan.convolutions import MOST_CHANNELS, ImageConv2D, ImageConv2DTranspose
from tuner_gan.gan.normalization import FusedBatchNormalization

LEAKY_SLOPE = 0.2
"""Slope of LeakyReLU below zero, as in DCGAN (arXiv:1511.06434)."""
MOST_GROUPS = 8
CHANNELS_A_GROUP = 4
"""Groups of GroupNormalization at most, and channels of one at least (arXiv:1803.08494 finds 2 to 32 alike)."""


class Parts:
    """Makes the layers of one network.

    Args:
        spec: of the generator or of the discriminator.
        labels: classes, int32 [N], that every normalisation is scaled and shifted by; None for none.
        classes: their number.
        for_training: whether to make layers that train faster than Keras's own, which are saved and exported.
    """

    def __init__(
        self,
        spec: GeneratorSpec | DiscriminatorSpec,
        labels: keras.KerasTensor | None = None,
        classes: int = 0,
        *,
        for_training: bool = False,
    ) -> None:
        self.spec = spec
        self._for_training = for_training
        self._labels = labels
        self._classes = classes

    def normalize(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Normalises features [N, ..., C] as the spec says, or returns them."""
        learned = self._labels is None  # else the class gives scale and shift
        affine = {"center": learned, "scale": learned}
        channels = x.shape[-1]
        normalization = self.spec.normalization
        if normalization == "batch":
            # Keras's momentum of 0.99 lags behind a generator that is trained for a few hundred steps.
            is_fused = self._for_training and isinstance(self.spec, GeneratorSpec)  # a penalty differentiates the other
            kind = FusedBatchNormalization if is_fused else layers.BatchNormalization
            x = kind(momentum=0.9, **affine)(x)
        elif normalization == "layer":
            x = layers.LayerNormalization(**affine)(x)
        elif normalization == "group":
            x = layers.GroupNormalization(_groups(channels), **affine)(x)
        elif normalization == "instance":
            x = layers.GroupNormalization(channels, **affine)(x)
        else:
            return x
        return x if learned else self._scale_and_shift(x)

    def _scale_and_shift(self, x: keras.KerasTensor) -> keras.KerasTensor:
        shape = (1,) * (len(x.shape) - 2) + (x.shape[-1],)
        scale, shift = (
            layers.Reshape(shape)(layers.Embedding(self._classes, x.shape[-1], initial)(self._labels))
            for initial in ("ones", "zeros")
        )
        return layers.Add()([layers.Multiply()([x, scale]), shift])

    def activate(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Applies the spec's activation."""
        if self.spec.activation == "leaky_relu":
            is_flat = self._for_training and isinstance(self.spec, DiscriminatorSpec)
            return (FlatLeakyReLU if is_flat else layers.LeakyReLU)(LEAKY_SLOPE)(x)
        if self.spec.activation == "relu":
            return layers.ReLU()(x)
        return layers.Activation(self.spec.activation)(x)

    def constrain(self, layer: layers.Layer) -> layers.Layer:
        """Wraps a layer with weights in spectral normalisation where the spec wants it; otherwise it stays as it is."""
        if self.spec.normalization != "spectral":
            return layer
        # Under any policy, for it divides the weights themselves at each look, and would leave them rounded; the layer
        # that it wraps computes in its own precision.
        return layers.SpectralNormalization(layer, dtype="float32")

    def dense(self, x: keras.KerasTensor, units: int, **settings: Any) -> keras.KerasTensor:
        """A dense layer on features [N, C]."""
        return self.constrain(layers.Dense(units, **settings))(x)

    def convolve(
        self, x: keras.KerasTensor, filters: int, kernel_size: int, strides: int = 1, **settings: Any
    ) -> keras.KerasTensor:
        """A convolution on a map [N, H, W, C]; a stride of 2 halves the map, rounded up."""
        # From an image only where it halves: at full resolution a product is no faster, and its patches take memory.
        is_of_image = (filters if strides == 1 else x.shape[-1]) <= MOST_CHANNELS
        kind = ImageConv2D if self._for_training and is_of_image else layers.Conv2D
        return self.constrain(kind(filters, kernel_size, strides, padding="same", **settings))(x)

    def convolve_up(self, x: keras.KerasTensor, filters: int, kernel_size: int, **settings: Any) -> keras.KerasTensor:
        """A transposed convolution that doubles a map [N, H, W, C]."""
        is_of_image = filters <= MOST_CHANNELS
        kind = ImageConv2DTranspose if self._for_training and is_of_image else layers.Conv2DTranspose
        return self.constrain(kind(filters, kernel_size, strides=2, padding="same", **settings))(x)

    def drop(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Drops features in training, where the spec wants it."""
        dropout = getattr(self.spec, "dropout", 0.0)
        return layers.Dropout(dropout)(x) if dropout else x

    def attend(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Self-attention over a map [N, H, W, C], which it leaves as it is before training.

        References:
            SAGAN, Zhang et al. 2019, arXiv:1805.08318, section 3.
        """
        height, width, channels = x.shape[1:]
        narrow, wide = max(1, channels // 8), max(1, channels // 2)
        query, key, value = (
            layers.Reshape((height * width, size))(self.convolve(x, size, 1)) for size in (narrow, narrow, wide)
        )
        seen = layers.Reshape((height, width, wide))(layers.Attention()([query, value, key]))
        # Weights of zero, in place of SAGAN's factor that starts at zero; they have no spectral norm to divide by.
        return layers.Add()([x, layers.Conv2D(channels, 1, kernel_initializer="zeros")(seen)])


def _groups(channels: int) -> int:
    most = max(1, min(MOST_GROUPS, channels // CHANNELS_A_GROUP))
    return next(groups for groups in range(most, 0, -1) if math.gcd(groups, channels) == groups)
