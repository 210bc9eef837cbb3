"""What the tests of evaluators share: data, projects, and a stand-in for a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits
from tuner_gan.quality import QualityEvaluator

Array = npt.NDArray[Any]

SEED = 3
"""Of the classifiers; a second opinion then has 4."""


def refuse_to_train(*args: Any, **kwargs: Any) -> Any:
    """Stands in for `ReferenceClassifier.fit` where nothing is to be trained."""
    raise AssertionError("trained again")


def real_digits() -> DataSplits:
    """1,797 digits of 8 x 8 with labels: 1,078 to train with, 360 reference, 359 holdout."""
    return datasets.load("digits").split(seed=0)


def fitted_project(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixture: a project folder with a classifier."""
    directory = tmp_path_factory.mktemp("project")
    QualityEvaluator.fit(digits, directory, seed=SEED)
    return directory


def few_digits(count: int = 60, labelled: bool = True) -> DataSplits:
    """A fifth of them is the reference, and another the holdout."""
    source = datasets.load("digits")
    assert source.labels is not None
    labels = source.labels[:count] if labelled else None
    return datasets.from_arrays(source.images[:count], labels).split(seed=0)


class Replay:
    """Stands in for a generator: gives prepared images and keeps what it was called with."""

    def __init__(self, images: Array, latent_dim: int = 16) -> None:
        self.output = images.astype(np.float32) / 127.5 - 1
        self.inputs = [keras.Input((latent_dim,))]
        self.latents: list[Array] = []
        self.training: set[bool | None] = set()

    def __call__(self, latents: Any, training: bool | None = None) -> Any:
        start = sum(len(x) for x in self.latents)
        self.latents.append(np.array(latents))
        self.training.add(training)
        return keras.ops.convert_to_tensor(self.output[np.arange(start, start + len(latents)) % len(self.output)])


def extractor_model(seed: int = 1, width: int = 12) -> keras.Model:
    """A network from digits to features, with weights from a seed."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(width, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=seed)),
        ]
    )


def generator_model(level: float | None = None) -> keras.Model:
    """A generator of 8 x 8 images: noise from its latents, or every pixel of one level, which may be NaN."""
    layers, initializers = keras.layers, keras.initializers
    kernel = initializers.RandomNormal(seed=1) if level is None else "zeros"
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(64, kernel_initializer=kernel, bias_initializer=initializers.Constant(level or 0.0)),
            layers.Reshape((8, 8, 1)),
        ]
    )
