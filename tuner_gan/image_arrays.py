"""Which arrays of images are accepted, and how they become uint8 of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from PIL import Image

Images = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

MIN_SIDE, MAX_SIDE = 8, 256
"""Smallest and largest height and width of an image, in pixels."""

_ROUNDING = 1e-6
"""How far a float may lie outside its range: what float32 arithmetic leaves behind."""
_BLOCK = 1024
"""Images converted at a time, so that float64 copies stay small."""


def as_images(values: npt.ArrayLike, what: str) -> Array:
    """Returns `values` as numbers of shape [N, H, W, C] with C of 1 or 3; values and sizes are not yet checked.

    Args:
        values: [N, H, W] or [N, H, W, C] of bool, int or float.
        what: how messages call them, such as "test images".

    Raises:
        DatasetError: no numbers, another rank, or another number of channels.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DatasetError(f"The {what} must all have one shape, but they differ: resize them first.") from error
    if array.dtype == object and array.ndim == 0:
        raise DatasetError(
            f"The {what} must be one numeric array, got a {type(values).__name__}: np.concatenate(list("
            "dataset.as_numpy_iterator())) makes one of a tf.data.Dataset of batches of images."
        )
    if array.dtype.kind not in "buif":
        raise DatasetError(
            f"The {what} must be numbers (uint8 from 0 to 255, or floats), got dtype {array.dtype}: "
            "stack them into one numeric array."
        )
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise DatasetError(
            f"The {what} must have shape [N, H, W] or [N, H, W, C], got {array.shape}: reshape them to one of these."
        )
    channels = array.shape[3]
    if channels not in (1, 3):
        if array.shape[1] in (1, 3):
            advice = "channels come last, so transpose them with images.transpose(0, 2, 3, 1)"
        elif channels == 4:
            advice = "drop the alpha channel with images[..., :3]"
        else:
            advice = "pass 1 or 3 channels"
        raise DatasetError(f"The {what} must have 1 or 3 channels in shape [N, H, W, C], got {array.shape}: {advice}.")
    return array


def check_side_lengths(height: int, width: int, what: str) -> None:
    """Raises DatasetError unless both are from 8 to 256."""
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise DatasetError(
            f"The {what} must be from {MIN_SIDE}x{MIN_SIDE} to {MAX_SIDE}x{MAX_SIDE} pixels, "
            f"got {height}x{width} (height x width): pass image_size (--image-size HxW) to resize them."
        )


def check_image_size(image_size: Any) -> tuple[int, int]:
    """Returns `image_size` as (height, width) in pixels.

    Raises:
        ConfigError: it is no pair of whole numbers from 8 to 256.
    """
    if (
        isinstance(image_size, Sequence)
        and len(image_size) == 2
        and all(isinstance(side, int | np.integer) and MIN_SIDE <= side <= MAX_SIDE for side in image_size)
    ):
        return int(image_size[0]), int(image_size[1])
    raise ConfigError(
        f"image_size must be (height, width), two whole numbers from {MIN_SIDE} to {MAX_SIDE}, got {image_size!r}."
    )


def make_room(count: int, shape: tuple[int, ...]) -> Images:
    """Returns uint8 [count, H, W, C] that is yet to be filled, `shape` being (H, W, C).

    Raises:
        DatasetError: it does not fit into the memory.
    """
    try:
        return np.empty((count, *shape), np.uint8)
    except MemoryError as error:
        size = count * math.prod(shape) / 2**30
        raise DatasetError(
            f"{count:,} images of {'x'.join(map(str, shape))} take {size:,.1f} GiB, more than the memory has room "
            "for: pass a smaller image_size (--image-size HxW), or fewer images."
        ) from error


def to_uint8(arrays: Sequence[Array]) -> list[Images]:
    """Converts numbers to uint8 by rounding.

    Integers must lie in 0..255; False and True become 0 and 255. The range of floats is found over
    all arrays together, so that training and test images are scaled alike: with a negative value it
    is [-1, 1], else up to 1 it is [0, 1], else [0, 255].

    Args:
        arrays: none of them empty.

    Raises:
        DatasetError: NaN, infinity, or values outside of these ranges.
    """
    floats = [array for array in arrays if array.dtype.kind == "f"]
    scale, shift = _float_scale(floats) if floats else (1.0, 0.0)
    return [_convert(array, scale, shift) for array in arrays]


def _float_scale(arrays: Sequence[Array]) -> tuple[float, float]:
    """Returns (scale, shift) so that value * scale + shift is in [0, 255]."""
    lows = [float(array.min()) for array in arrays]
    highs = [float(array.max()) for array in arrays]
    if not np.isfinite([*lows, *highs]).all():
        raise DatasetError("The images hold NaN or infinite values: replace them, or leave those images out.")
    low, high = min(lows), max(highs)
    one = 1 + _ROUNDING
    if low < -_ROUNDING:
        valid = low >= -one and high <= one
        scale, shift = 127.5, 127.5
    elif high <= one:
        valid = True
        scale, shift = 255.0, 0.0
    else:
        valid = high <= 255 + _ROUNDING and min(highs) > one
        scale, shift = 1.0, 0.0
    if not valid:
        mixed = len(arrays) > 1 and min(highs) <= one < max(highs)
        raise DatasetError(
            f"Float images must lie in [0, 1], [-1, 1] or [0, 255], got values from {low:g} to {high:g}"
            f"{', with training and test images in different ranges' if mixed else ''}: rescale them."
        )
    return scale, shift


def _convert(array: Array, scale: float, shift: float) -> Images:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return np.multiply(array, np.uint8(255), dtype=np.uint8)
    if array.dtype.kind in "ui":
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise DatasetError(
                f"Integer images must lie in 0..255, got values from {low} to {high}: rescale them to 0..255."
            )
        return array.astype(np.uint8)
    images = make_room(len(array), array.shape[1:])
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK].astype(np.float64)
        images[start : start + _BLOCK] = np.clip(np.rint(block * scale + shift), 0, 255)
    return images


def fit(image: Image.Image, image_size: tuple[int, int]) -> Image.Image:
    """Crops the centre of `image` to the aspect ratio of `image_size` (height, width), and resizes it.

    Bicubic with antialiasing, because aliased resizing shifts Frechet distances.

    References:
        Parmar, Zhang and Zhu 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", arXiv:2104.11222.
    """
    from PIL import Image, ImageOps

    height, width = image_size
    return ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC)


def resize(images: Images, image_size: tuple[int, int]) -> Images:
    """Returns uint8 [N, height, width, C]: each image through `fit`, or `images` itself when it has that size."""
    from PIL import Image

    count, height, width, channels = images.shape
    if (height, width) == image_size:
        return images
    resized = make_room(count, (*image_size, channels))
    for index, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        resized[index] = np.asarray(fit(picture, image_size)).reshape(*image_size, channels)
    return resized
