"""Networks that are never trained again: what the reference classifier and the extractors of users share."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tuner_gan import files
from tuner_gan.errors import ProjectError, QualityError

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

PIXELS_A_BATCH = 2**18
"""Bounds the memory of inference for large images."""


class FrozenNetwork(abc.ABC):
    """A Keras model from uint8 images of one shape to one output or several, with all preprocessing in it.

    Attributes:
        model: the Keras model.
        image_shape: (height, width, channels) of the images it takes.
        fingerprint: SHA-256 (hexadecimal) of all that decides its outputs.
    """

    def __init__(self, model: keras.Model, fingerprint: str, batch: int) -> None:
        self.model = model
        self.fingerprint = fingerprint
        self.image_shape: tuple[int, int, int] = tuple(model.input_shape[1:])
        self._batch = batch
        # One signature of a fixed shape: traced once, whatever the number of images.
        self._forward = tf.function(
            lambda images: self.model(images, training=False),
            input_signature=[tf.TensorSpec((batch, *self.image_shape), tf.uint8)],
            jit_compile=False,
        )

    def _run(self, images: Images) -> list[Floats]:
        """Float32 `[N, ...]` for each output of the model.

        Raises:
            QualityError: images of another dtype or shape.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            height, width, channels = self.image_shape
            is_uint8 = images.dtype == np.uint8
            advice = "" if is_uint8 else ": datasets.from_arrays(images).images makes uint8 ones of others"
            raise QualityError(
                f"images must be uint8 of shape [N, {height}, {width}, {channels}], "
                f"got {images.dtype} of shape {list(images.shape)}{advice}."
            )
        results = [np.empty((len(images), *output.shape[1:]), np.float32) for output in self.model.outputs]
        for start in range(0, len(images), self._batch):
            batch = images[start : start + self._batch]
            padding = np.zeros((self._batch - len(batch), *self.image_shape), np.uint8)
            outputs = self._forward(tf.constant(np.concatenate([batch, padding])))
            for result, output in zip(results, tf.nest.flatten(outputs), strict=True):
                result[start : start + len(batch)] = output.numpy()[: len(batch)]
        return results

    @abc.abstractmethod
    def card(self) -> dict[str, Any]:
        """What `save` writes to the card."""

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Writes the model and then its card, so that a card is never there without its model.

        Args:
            folder: created when missing.
            extra: further entries for the card.

        Raises:
            ProjectError: the folder cannot be written.
        """
        folder = Path(folder)
        files.create_folder(folder)
        with files.replacing(folder / files.CLASSIFIER_MODEL) as path:
            self.model.save(path)
        files.write_json(folder / files.CARD, {**self.card(), **(extra or {})})


def load_model(path: Path) -> keras.Model:
    """Loads a model in safe mode, without what only training needs."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_frozen(folder: Path) -> tuple[keras.Model, dict[str, Any]]:
    """Reads the model and the card that `FrozenNetwork.save` wrote.

    Raises:
        ProjectError: a file is missing or damaged.
    """
    card = read_card(folder)
    path = folder / files.CLASSIFIER_MODEL
    if not path.is_file():
        raise damaged(folder, f"{path.name} is missing")
    try:
        return load_model(path), card
    except Exception as error:  # zipfile, json, h5py and keras raise a dozen kinds for a damaged file
        raise damaged(folder, f"{path.name} cannot be loaded") from error


def inference_batch(image_shape: tuple[int, int, int]) -> int:
    """Images to put through a network at once: 250 small ones, fewer large ones."""
    return max(4, min(250, PIXELS_A_BATCH // (image_shape[0] * image_shape[1])))


def damaged(folder: Path, reason: str) -> ProjectError:
    """The error for a classifier folder that cannot be used."""
    return ProjectError(f"{folder} is damaged: {reason}; delete the folder to train it again.")


def read_card(folder: Path) -> dict[str, Any]:
    """Reads the card of a classifier folder.

    Raises:
        ProjectError: it is missing, damaged or of a newer schema.
    """
    path = folder / files.CARD
    if not path.is_file():
        raise damaged(folder, f"{path.name} is missing")
    try:
        return files.read_json(path)
    except ProjectError as error:
        if "newer tuner_gan" in str(error):
            raise
        raise damaged(folder, f"{path.name} cannot be read") from error
