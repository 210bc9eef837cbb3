"""Specs to functional Keras models."""

from __future__ import annotations

import math

import keras
from keras import layers

from tuner_gan.gan.architecture import DiscriminatorSpec, GeneratorSpec
from tuner_gan.gan.blocks import find_block
from tuner_gan.gan.parts import Parts
from tuner_gan.layout import channels_last

CLASS_DIM = 32
"""Length of a class's embedding beside the latents."""
CLASS_STD = 0.3
"""Standard deviation that it starts with, where the latents have 1. From Keras's own start, a tenth of that, short
trainings hardly learn the classes; from 1 they learn one image of each."""
MOST_ATTENDED = 16 * 16
"""Pixels of the largest map that self-attention is put on: its cost grows with their square."""


@channels_last()
def build_generator(
    spec: GeneratorSpec, image_shape: tuple[int, int, int], classes: int = 0, *, for_training: bool = False
) -> keras.Model:
    """Builds a generator.

    Args:
        spec: its layers.
        image_shape: height, width and channels of the images it makes, exactly.
        classes: of a conditional generator; 0 for none.
        for_training: whether some layers are tuner_gan's own, which train faster and map alike; otherwise all are
            Keras's, so that the model loads without tuner_gan. The weights fit both.

    Returns:
        A functional model from float32 latents [N, latent_dim] to float32 images [N, H, W, C] in [-1, 1]; a conditional
        one takes two inputs, `latents` and int32 `labels` [N].

    Raises:
        ConfigError: the family is unknown.
    """
    latents = keras.Input((spec.latent_dim,), name="latents")
    inputs, x, parts = latents, latents, Parts(spec, for_training=for_training)
    if classes:
        labels = keras.Input((), dtype="int32", name="labels")
        inputs = [latents, labels]
        if spec.class_input == "concatenation":
            embedding = layers.Embedding(classes, CLASS_DIM, keras.initializers.RandomNormal(stddev=CLASS_STD))
            x = layers.Concatenate()([x, embedding(labels)])
        else:
            parts = Parts(spec, labels, classes, for_training=for_training)
    images = (
        _dense_images(spec, parts, x, image_shape)
        if spec.family == "dense"
        else _conv_images(spec, parts, x, image_shape)
        if spec.family == "conv"
        else _block_images(spec, parts, x, image_shape)
    )
    # float32 under any precision policy: tanh saturates early in half precision.
    images = layers.Activation("tanh", dtype="float32", name="images")(images)
    return keras.Model(inputs, images, name="generator")


def _dense_images(
    spec: GeneratorSpec, parts: Parts, x: keras.KerasTensor, image_shape: tuple[int, int, int]
) -> keras.KerasTensor:
    for units in spec.widths:
        x = parts.dense(x, units, use_bias=spec.normalization == "none")
        x = parts.activate(parts.normalize(x))
    return layers.Reshape(image_shape)(parts.dense(x, math.prod(image_shape)))


def _base(
    spec: GeneratorSpec, parts: Parts, x: keras.KerasTensor, image_shape: tuple[int, int, int]
) -> keras.KerasTensor:
    """A first map that as many doublings as there are widths make at least as large as the image."""
    scale = 2 ** len(spec.widths)
    # Rounded up and cropped at the end, so that any side works, not only multiples of the scale.
    height, width = (-(-side // scale) for side in image_shape[:2])
    x = parts.dense(x, height * width * spec.widths[0], use_bias=spec.normalization == "none")
    return layers.Reshape((height, width, spec.widths[0]))(x)


def _crop(x: keras.KerasTensor, image_shape: tuple[int, int, int]) -> keras.KerasTensor:
    excess = [have - want for have, want in zip(x.shape[1:3], image_shape[:2], strict=True)]
    return layers.Cropping2D([(one // 2, one - one // 2) for one in excess])(x) if any(excess) else x


def _conv_images(
    spec: GeneratorSpec, parts: Parts, x: keras.KerasTensor, image_shape: tuple[int, int, int]
) -> keras.KerasTensor:
    x = _base(spec, parts, x, image_shape)
    for filters in spec.widths[1:]:
        x = parts.activate(parts.normalize(x))
        x = _double(spec, parts, x, filters, bias=spec.normalization == "none")
    x = parts.activate(parts.normalize(x))
    return _crop(_double(spec, parts, x, image_shape[2]), image_shape)


def _double(
    spec: GeneratorSpec, parts: Parts, x: keras.KerasTensor, filters: int, *, bias: bool = True
) -> keras.KerasTensor:
    if spec.upsampling == "nearest":
        return parts.convolve(layers.UpSampling2D()(x), filters, spec.kernel_size, use_bias=bias)
    return parts.convolve_up(x, filters, spec.kernel_size, use_bias=bias)


def _block_images(
    spec: GeneratorSpec, parts: Parts, x: keras.KerasTensor, image_shape: tuple[int, int, int]
) -> keras.KerasTensor:
    block = find_block(spec.family)
    x = _base(spec, parts, x, image_shape)
    last = len(spec.widths) - 1
    for index, filters in enumerate(spec.widths):
        x = parts.activate(parts.normalize(x))
        pixels = x.shape[1] * x.shape[2]
        if spec.attention and pixels <= MOST_ATTENDED and (index == last or 4 * pixels > MOST_ATTENDED):
            x = parts.attend(x)
        x = block.up(x, filters, parts)
    x = parts.activate(parts.normalize(x))
    return _crop(parts.convolve(x, image_shape[2], 3), image_shape)


@channels_last()
def build_discriminator(
    spec: DiscriminatorSpec, image_shape: tuple[int, int, int], classes: int = 0, *, for_training: bool = False
) -> keras.Model:
    """Builds a discriminator.

    Args:
        spec: its layers.
        image_shape: height, width and channels of the images it judges.
        classes: of a conditional discriminator; 0 for none.
        for_training: as for `build_generator`.

    Returns:
        A functional model from float32 images [N, H, W, C] in [-1, 1] to float32 logits [N, 1], positive for real. A
        conditional one takes two inputs, `images` and int32 `labels` [N], if it projects them, or gives logits
        [N, 1 + classes], those of the classes last, if it tells them apart.

    Raises:
        ConfigError: the family is unknown.
    """
    images = keras.Input(image_shape, name="images")
    parts = Parts(spec, for_training=for_training)
    x = (
        _dense_features(spec, parts, images)
        if spec.family == "dense"
        else _conv_features(spec, parts, images)
        if spec.family == "conv"
        else _block_features(spec, parts, images)
    )
    if classes and spec.class_output == "projection":
        labels = keras.Input((), dtype="int32", name="labels")
        x = layers.Activation("linear", dtype="float32")(x)
        # An embedding, as a dense layer of one-hot labels: Keras's SpectralNormalization stops an Embedding's gradient.
        one_hot = layers.CategoryEncoding(num_tokens=classes, output_mode="one_hot", dtype="float32")(labels)
        embedding = parts.dense(one_hot, x.shape[-1], use_bias=False, dtype="float32")
        judged = [parts.dense(x, 1, dtype="float32"), layers.Dot(1, dtype="float32")([x, embedding])]
        logits = layers.Add(dtype="float32")(judged)
        return keras.Model([images, labels], logits, name="discriminator")
    logits = parts.dense(x, 1 + classes, dtype="float32")
    return keras.Model(images, logits, name="discriminator")


def _dense_features(spec: DiscriminatorSpec, parts: Parts, x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Flatten()(x)
    for units in spec.widths:
        x = parts.drop(parts.activate(parts.normalize(parts.dense(x, units))))
    return x


def _conv_features(spec: DiscriminatorSpec, parts: Parts, x: keras.KerasTensor) -> keras.KerasTensor:
    strides = 2 if spec.downsampling == "stride" else 1
    for filters in spec.widths:
        x = parts.activate(parts.normalize(parts.convolve(x, filters, spec.kernel_size, strides)))
        if spec.downsampling == "max_pool":
            # "same" keeps a map of one pixel alive, so that depth never exceeds the image.
            x = layers.MaxPooling2D(2, padding="same")(x)
        x = parts.drop(x)
    return layers.Flatten()(x)


def _block_features(spec: DiscriminatorSpec, parts: Parts, x: keras.KerasTensor) -> keras.KerasTensor:
    block = find_block(spec.family)
    attends = spec.attention
    for filters in spec.widths:
        x = parts.drop(parts.activate(parts.normalize(block.down(x, filters, parts))))
        if attends and x.shape[1] * x.shape[2] <= MOST_ATTENDED:
            x, attends = parts.attend(x), False
    return layers.Flatten()(x)
