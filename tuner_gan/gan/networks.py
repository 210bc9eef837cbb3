"""Specs to functional Keras models, of built-in layers only, so that they load without tuner_gan."""

from __future__ import annotations

import keras
from keras import layers

from tuner_gan.gan.architecture import DiscriminatorSpec, GeneratorSpec

LEAKY_SLOPE = 0.2
"""Slope of LeakyReLU below zero, as in DCGAN (arXiv:1511.06434)."""


def build_generator(spec: GeneratorSpec, image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds a generator.

    Args:
        spec: its layers.
        image_shape: height, width and channels of the images it makes, exactly.

    Returns:
        A functional model from float32 latents [N, latent_dim] to float32 images [N, H, W, C] in [-1, 1].
    """
    latents = keras.Input((spec.latent_dim,), name="latents")
    images = (
        _dense_images(spec, latents, image_shape)
        if spec.family == "dense"
        else _conv_images(spec, latents, image_shape)
    )
    # float32 under any precision policy: tanh saturates early in half precision.
    images = layers.Activation("tanh", dtype="float32", name="images")(images)
    return keras.Model(latents, images, name="generator")


def _dense_images(spec: GeneratorSpec, x: keras.KerasTensor, image_shape: tuple[int, int, int]) -> keras.KerasTensor:
    height, width, channels = image_shape
    for units in spec.widths:
        x = layers.Dense(units, use_bias=spec.normalization == "none")(x)
        x = _activate(spec, _normalize(spec, x))
    x = layers.Dense(height * width * channels)(x)
    return layers.Reshape(image_shape)(x)


def _conv_images(spec: GeneratorSpec, x: keras.KerasTensor, image_shape: tuple[int, int, int]) -> keras.KerasTensor:
    height, width, channels = image_shape
    scale = 2 ** len(spec.widths)
    # Rounded up and cropped at the end, so that any side works, not only multiples of the scale.
    base_height, base_width = -(-height // scale), -(-width // scale)
    bias = spec.normalization == "none"
    x = layers.Dense(base_height * base_width * spec.widths[0], use_bias=bias)(x)
    x = layers.Reshape((base_height, base_width, spec.widths[0]))(x)
    x = _activate(spec, _normalize(spec, x))
    for filters in spec.widths[1:]:
        x = layers.Conv2DTranspose(filters, spec.kernel_size, strides=2, padding="same", use_bias=bias)(x)
        x = _activate(spec, _normalize(spec, x))
    x = layers.Conv2DTranspose(channels, spec.kernel_size, strides=2, padding="same")(x)
    excess_height, excess_width = base_height * scale - height, base_width * scale - width
    if excess_height or excess_width:
        x = layers.Cropping2D(
            (
                (excess_height // 2, excess_height - excess_height // 2),
                (excess_width // 2, excess_width - excess_width // 2),
            )
        )(x)
    return x


def _normalize(spec: GeneratorSpec | DiscriminatorSpec, x: keras.KerasTensor) -> keras.KerasTensor:
    if spec.normalization == "batch":
        # Keras's momentum of 0.99 lags behind a generator that is trained for a few hundred steps.
        return layers.BatchNormalization(momentum=0.9)(x)
    if spec.normalization == "layer":
        return layers.LayerNormalization()(x)
    return x


def _activate(spec: GeneratorSpec, x: keras.KerasTensor) -> keras.KerasTensor:
    if spec.activation == "relu":
        return layers.ReLU()(x)
    return layers.LeakyReLU(LEAKY_SLOPE)(x)


def build_discriminator(spec: DiscriminatorSpec, image_shape: tuple[int, int, int]) -> keras.Model:
    """Builds a discriminator.

    Args:
        spec: its layers.
        image_shape: height, width and channels of the images it judges.

    Returns:
        A functional model from float32 images [N, H, W, C] in [-1, 1] to float32 logits [N, 1], positive for real.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten()(images) if spec.family == "dense" else images
    for width in spec.widths:
        strides = 2 if spec.downsampling == "stride" else 1
        layer = (
            layers.Dense(width)
            if spec.family == "dense"
            else layers.Conv2D(width, spec.kernel_size, strides=strides, padding="same")
        )
        x = _spectral(spec, layer)(x)
        x = layers.LeakyReLU(LEAKY_SLOPE)(_normalize(spec, x))
        if spec.family == "conv" and spec.downsampling == "max_pool":
            # "same" keeps a map of one pixel alive, so that depth never exceeds the image.
            x = layers.MaxPooling2D(2, padding="same")(x)
    if spec.family == "conv":
        x = layers.Flatten()(x)
    logits = _spectral(spec, layers.Dense(1, dtype="float32"))(x)
    return keras.Model(images, logits, name="discriminator")


def _spectral(spec: DiscriminatorSpec, layer: layers.Layer) -> layers.Layer:
    return layers.SpectralNormalization(layer) if spec.normalization == "spectral" else layer
