"""Differentiable augmentation: what the discriminator sees of real and generated images alike.

With few images a discriminator learns them by heart. It cannot if it never sees one twice; and a generator that is
judged through the same changes does not learn to make them. After DiffAugment (Zhao et al. 2020, arXiv:2006.10738),
with its sizes. Images are float32 [N, H, W, C] in about [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

TRANSLATION = 0.125
"""Share of a side that images are moved by, at most."""
CUTOUT = 0.5
"""Side of the square that is cut out, as a share of the image's."""


def augment(images: Any, names: Sequence[str], share: Any, seed: keras.random.SeedGenerator) -> Any:
    """Changes each image at random, differently for each.

    Args:
        images: float32 [N, H, W, C].
        names: of the augmentations, in this order: `"color"`, `"translation"`, `"cutout"`.
        share: probability in [0, 1] that an image gets each of them, a number or a scalar tensor.
        seed: where random numbers come from.

    Returns:
        float32 [N, H, W, C], through which gradients by `images` can be taken.
    """
    for name in names:
        chosen = keras.random.uniform((ops.shape(images)[0], 1), seed=seed) < share
        images = AUGMENTATIONS[name](images, ops.cast(chosen, "float32"), seed)
    return images


def color(images: Any, chosen: Any, seed: keras.random.SeedGenerator) -> Any:
    """Brightness by -0.5 to 0.5, saturation by a factor of 0 to 2, contrast by one of 0.5 to 1.5."""
    chosen = ops.reshape(chosen, (-1, 1, 1, 1))
    amounts = keras.random.uniform((3, ops.shape(images)[0], 1, 1, 1), minval=-0.5, maxval=0.5, seed=seed) * chosen
    images = images + amounts[0]
    if images.shape[-1] > 1:
        grey = ops.mean(images, axis=-1, keepdims=True)
        images = grey + (images - grey) * (1.0 + 2.0 * amounts[1])
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (1.0 + amounts[2])


def translation(images: Any, chosen: Any, seed: keras.random.SeedGenerator) -> Any:
    """Moves an image by whole pixels, an eighth of its side at most; what becomes free is 0, grey."""
    rows, columns = (_shift_matrix(images, side, chosen, seed) for side in images.shape[1:3])
    return ops.einsum("nij,njkc,nlk->nilc", rows, images, columns)


def _shift_matrix(images: Any, side: int, chosen: Any, seed: keras.random.SeedGenerator) -> Any:
    """Matrices float32 [N, side, side] that pick the pixel a shift away, or none beyond the edge.

    Their products are as fast forth as back; gathering pixels is slow to derive.
    """
    most = round(side * TRANSLATION)
    shifts = keras.random.randint((ops.shape(images)[0], 1), -most, most + 1, seed=seed)
    shifts = shifts * ops.cast(chosen, "int32")
    source = ops.expand_dims(ops.arange(side, dtype="int32"), 0) + shifts
    picked = ops.equal(ops.expand_dims(source, -1), ops.arange(side, dtype="int32"))
    return ops.cast(picked, "float32")


def cutout(images: Any, chosen: Any, seed: keras.random.SeedGenerator) -> Any:
    """Sets a square of half the image's side to 0, grey; it may lie partly outside."""
    inside = [_interval(images, side, seed) for side in images.shape[1:3]]
    hole = ops.expand_dims(inside[0], 2) * ops.expand_dims(inside[1], 1) * ops.expand_dims(chosen, 1)
    return images * (1.0 - ops.expand_dims(hole, -1))


def _interval(images: Any, side: int, seed: keras.random.SeedGenerator) -> Any:
    """Float32 [N, side], 1 within an interval of half the side whose middle is anywhere."""
    size = round(side * CUTOUT)
    start = keras.random.randint((ops.shape(images)[0], 1), 0, side + 1 - size % 2, seed=seed) - size // 2
    pixels = ops.expand_dims(ops.arange(side, dtype="int32"), 0)
    return ops.cast((pixels >= start) & (pixels < start + size), "float32")


AUGMENTATIONS: dict[str, Callable[[Any, Any, keras.random.SeedGenerator], Any]] = {
    augmentation.__name__: augmentation for augmentation in (color, translation, cutout)
}
"""What `TrainingSpec.augmentation` can name."""
