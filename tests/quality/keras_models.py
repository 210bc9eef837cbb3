"""Small Keras models and images for the tests of feature extractors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]


def small_model(shape: Shape = (8, 8, 3), *more: keras.Layer, seed: int = 0, name: str | None = None) -> keras.Model:
    """Scaling and a convolution, whose maps are the output unless `more` layers follow."""
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed=seed)),
            *more,
        ],
        name=name,
    )


def plain_model(*parts: keras.Layer, shape: Shape = (8, 8, 3)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts])


def random_images(shape: tuple[int, int, int], count: int = 10) -> Array:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


def by_hand(model: keras.Model, images: Array) -> Array:
    return np.asarray(model(images.astype(np.float32), training=False))


def truncate(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
