"""What a training step takes: batches of images, with labels or without, and how others are refused."""

from __future__ import annotations

import itertools
import types
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tuner_gan.errors import ConfigError
from tuner_gan.image_labels import check_class_indices

MOST_VALUE = 2.0
"""Of float images in [-1, 1] at most: bicubic and Lanczos resizing overshoot. Larger ones are in another range."""
USELESS = {
    **dict.fromkeys(
        ("validation_data", "validation_split"),
        "a GAN has no loss of images that it is not trained on: score those that it generates, with QualityEvaluator",
    ),
    **dict.fromkeys(
        ("class_weight", "sample_weight"),
        "every image counts alike in the losses of a GAN: repeat those that are to count more",
    ),
}
"""Arguments of Keras's `fit` that a GAN has no use for, and why."""


def unpack(data: Any, image_shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """Takes a batch apart.

    Args:
        data: as `GAN.train_step` takes it.
        image_shape: height, width and channels of the images.
        classes: of a conditional GAN; 0 for any other.

    Returns:
        `images`, float32 [N, H, W, C]; with classes `labels`, int32 [N]; and `latents`, where they are given.

    Raises:
        ConfigError: something is missing or too much, or is of another shape or dtype.
    """
    batch = _by_name(data)
    expected = ["images", "labels"] if classes else ["images"]
    if sorted(batch.keys() - {"latents"}) != expected:
        raise ConfigError(
            f"A batch must be {' and '.join(expected)}, because this GAN has {classes or 'no'} classes, "
            f"but got {' and '.join(sorted(batch)) or 'nothing'}."
        )
    batch["images"] = to_signed(batch["images"])
    found = tf.TensorShape(batch["images"].shape)
    if not found.is_compatible_with((None, *image_shape)):
        raise ConfigError(f"images must be of shape [N, {', '.join(map(str, image_shape))}], but got {found}.")
    if classes:
        batch["labels"] = _as_indices(batch["labels"], classes)
    return batch


def _by_name(data: Any) -> dict[str, Any]:
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise useless("sample_weight")
    given = {"labels": labels, **(images if isinstance(images, dict) else {"images": images})}
    return {name: value for name, value in given.items() if value is not None}


def to_signed(images: Any) -> Any:
    """Maps uint8 images to float32 in [-1, 1]; float images only become float32.

    Raises:
        ConfigError: they are neither.
    """
    dtype = keras.backend.standardize_dtype(images.dtype)
    if dtype != "uint8" and not keras.backend.is_float_dtype(dtype):
        raise ConfigError(f"images must be uint8, or float in [-1, 1], but got {dtype}.")
    signed = ops.cast(images, "float32")
    return signed / 127.5 - 1.0 if dtype == "uint8" else signed


def _as_indices(labels: Any, classes: int) -> Any:
    found, dtype = tf.TensorShape(labels.shape), keras.backend.standardize_dtype(labels.dtype)
    if not (keras.backend.is_int_dtype(dtype) and any(found.is_compatible_with(one) for one in ((None,), (None, 1)))):
        raise ConfigError(f"labels must be integers [N] in 0..{classes - 1}, but got {dtype} {found}.")
    return ops.reshape(ops.cast(labels, "int32"), (-1,))


def split(batch: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """Cuts every array of a batch into as many equal parts.

    Raises:
        ConfigError: there are no equal parts.
    """
    if parts == 1:
        return [batch]
    count = batch["images"].shape[0]
    if count is not None:
        _check_count(count, parts)
    pieces = {name: ops.split(value, parts) for name, value in batch.items()}
    return [{name: piece[index] for name, piece in pieces.items()} for index in range(parts)]


def _check_count(count: int, parts: int, replicas: int = 1) -> None:
    if count % (parts * replicas):
        each = of_each(replicas)
        raise ConfigError(f"A batch must be a multiple of critic_steps={parts} images{each}, but got {count}.")


def of_each(replicas: int) -> str:
    """Says in a message that a number of images is for each replica, where there are several."""
    return f" for each of {replicas} replicas" if replicas > 1 else ""


def peek(batches: Any) -> tuple[Any, Any]:
    """Looks at the first batch of a data set or a generator.

    Returns:
        That batch, or None where there is none, or one of a kind that Keras refuses; and all batches, that one among
        them: a generator gives none a second time.
    """
    if isinstance(batches, tf.data.Dataset):
        return next(iter(batches.take(1)), None), batches
    first = None
    if isinstance(batches, types.GeneratorType):
        first = next(batches, None)
        begun = [] if first is None else [first]
        batches = (batch for batch in itertools.chain(begun, batches))  # Keras takes no other iterators
    elif isinstance(batches, keras.utils.PyDataset) and batches.num_batches != 0:
        first = batches[0]
    return first if isinstance(first, tuple | dict) else None, batches


def check_first(data: Any, image_shape: tuple[int, int, int], classes: int, parts: int, replicas: int = 1) -> None:
    """Refuses the first batch of a data set: what a step finds out while it is traced or runs is told at length.

    Args:
        data, image_shape, classes: as of `unpack`; data with values.
        parts: that it is to be split into by each replica.
        replicas: that it is to be shared out among.

    Raises:
        ConfigError: as `unpack` and `check_range` do; or it cannot be split, or labels are not in 0..classes-1.
    """
    batch = unpack(data, image_shape, classes)
    _check_count(len(batch["images"]), parts, replicas)
    if classes:
        check_class_indices(np.asarray(batch["labels"]), len(batch["images"]), classes)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(_by_name(data)["images"].dtype)):
        check_range(batch["images"])


def fill_up(batches: tf.data.Dataset, multiple: int) -> tf.data.Dataset:
    """Repeats the first images of a batch that is no multiple of so many, as the last of a data set may be none.

    It is not left out, because Keras warns of data sets that cannot tell how many batches they have.
    """
    if multiple == 1 or _by_name(batches.element_spec)["images"].shape[0] is not None:  # all are like the first
        return batches

    def filled(*data: Any) -> dict[str, Any]:
        batch = _by_name(data)
        count = tf.shape(batch["images"])[0]
        rows = tf.range(-(-count // multiple) * multiple) % count
        return {name: tf.gather(value, rows) for name, value in batch.items()}

    return batches.map(filled)


def check_range(images: Any) -> None:
    """Refuses float images in another range than [-1, 1], as far as can be seen of some of them.

    Args:
        images: values, float32 [N, H, W, C]; those of uint8 images are always in range.

    Raises:
        ConfigError: some are far outside of it, or no numbers.

    Warns:
        UserWarning: none is negative, as if they lay in [0, 1].
    """
    least, most = float(ops.min(images)), float(ops.max(images))
    if not -MOST_VALUE <= least <= most <= MOST_VALUE:
        raise ConfigError(
            f"Float images must lie in [-1, 1], but got values from {least:g} to {most:g}: pass uint8 ones, "
            "or images / 127.5 - 1 if they lie in [0, 255]."
        )
    if least >= 0 and most > 0:
        warnings.warn(
            f"Float images are taken to lie in [-1, 1], but the first {len(images)} have no negative value: if they "
            "lie in [0, 1], pass 2 * images - 1.",
            UserWarning,
            stacklevel=4,  # the caller of fit
        )


def useless(name: str) -> ConfigError:
    """Returns the error for an argument in `USELESS`."""
    return ConfigError(f"{name} must be left out, because {USELESS[name]}.")
