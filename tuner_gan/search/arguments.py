"""Refuses what a tuner cannot search with, before it does anything."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import ConfigError
from tuner_gan.image_labels import check_class_indices
from tuner_gan.plain_numbers import plain
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search_spaces.base import SearchSpace, declare


def check_pair(hypermodel: GANHyperModel, quality: QualityEvaluator) -> None:
    """Refuses a hypermodel that builds no GANs, or none that the evaluator can score.

    Raises:
        ConfigError: it is another object, or quality is for images of another shape or for other classes.
    """
    if not isinstance(hypermodel, GANHyperModel):
        raise ConfigError(f"hypermodel must be a GANHyperModel, but got {hypermodel!r}.")
    if hypermodel.image_shape != tuple(quality.image_shape):
        raise ConfigError(
            f"hypermodel and quality must be for the same images, but got shapes {hypermodel.image_shape} and "
            f"{tuple(quality.image_shape)}."
        )
    if hypermodel.classes and hypermodel.classes != len(quality.class_names):
        known = f"knows {len(quality.class_names)}" if quality.class_names else "was made of images without labels"
        raise ConfigError(
            f"hypermodel and quality must be for the same classes, but hypermodel has {hypermodel.classes} and quality "
            f"{known}."
        )


def check_oracle(oracle: keras_tuner.Oracle, quality: QualityEvaluator, space: SearchSpace) -> None:
    """Refuses an oracle that seeks something else than what the evaluator scores, or is to try trials again.

    Raises:
        ConfigError: its objective or direction is another, it has retries, it allows no hyperparameters but its own and
            the search space has others, or it is no oracle.
    """
    if not isinstance(oracle, keras_tuner.Oracle):
        raise ConfigError(f"oracle must be a name or a keras_tuner.Oracle, but got {oracle!r}.")
    objective = oracle.objective
    name, direction = getattr(objective, "name", None), getattr(objective, "direction", None)
    # "default_objective" is KerasTuner's name for an oracle without one: it minimises what a trial returns.
    if direction != quality.direction or name not in (quality.objective, "default_objective"):
        raise ConfigError(
            f"The oracle must have the objective {quality.objective!r} with direction {quality.direction!r}, but it "
            f"has {name!r} with {direction!r}: pass objective=keras_tuner.Objective({quality.objective!r}, "
            f"{quality.direction!r})."
        )
    if oracle.max_retries_per_trial:
        raise ConfigError(
            f"max_retries_per_trial of the oracle must be 0, but got {oracle.max_retries_per_trial}: a trial that has "
            "failed is not trained again."
        )
    if not oracle.allow_new_entries:
        own = oracle.get_space()
        others = [parameter.name for parameter in declare(space, own.copy()).space[len(own.space) :]]
        if others:
            raise ConfigError(
                f"The oracle has allow_new_entries=False, but its hyperparameters lack {', '.join(others)} of the "
                "search space: declare all of them there, or fix and narrow them in the search space instead."
            )


def check_worker(worker: str, overwrite: bool) -> None:
    """Refuses a worker's name that cannot be that of a file, and a worker that would delete what others do.

    Raises:
        ConfigError: either is so.
    """
    is_name = isinstance(worker, str) and re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*", worker)
    if overwrite or not is_name:
        reason = "overwrite would delete what others do" if overwrite else "it must be letters, digits, -, . and _"
        raise ConfigError(f"worker={worker!r} cannot be: {reason}.")


def check_seconds(name: str, value: Any) -> float | None:
    """Returns a positive number, or None; refuses anything else.

    Raises:
        ConfigError: the message names the argument.
    """
    number = plain(value)
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if number is not None and not (is_number and number > 0 and math.isfinite(number)):
        raise ConfigError(f"{name} must be a positive number of seconds or None, but got {value!r}.")
    seconds: float | None = number
    return seconds


def check_images(images: Any, shape: Sequence[int]) -> None:
    """Refuses training images that are not uint8 [N, *shape].

    Raises:
        ConfigError: they are something else.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape or len(images) == 0:
        got = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        is_data = isinstance(images, DataSplits)
        advice = "pass its train" if is_data else "datasets.from_arrays(images).images makes such of others"
        raise ConfigError(f"Expected training images uint8 [N, {', '.join(map(str, shape))}], but got {got}: {advice}.")


def check_callbacks(callbacks: Any) -> None:
    """Refuses callbacks of which no execution could have its own copies.

    Raises:
        ConfigError: one is no callback of Keras, or cannot be copied.
    """
    try:
        copies = copy.deepcopy(list(callbacks))
    except Exception as error:
        raise ConfigError(
            "callbacks must be a list of Keras callbacks that copy.deepcopy can copy for each execution, but got "
            f"{callbacks!r}: {error}."
        ) from error
    for callback in copies:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(f"callbacks must be Keras callbacks, but one of them is {callback!r}.")


def find_labels(
    x: ImageDataset | np.ndarray, y: np.ndarray | None, hypermodel: GANHyperModel, quality: QualityEvaluator
) -> np.ndarray | None:
    """Returns the labels of training images, integers [N], where the GANs are conditional; None otherwise.

    Raises:
        ConfigError: they are missing or do not fit, or there are some and must not be.
    """
    classes = hypermodel.classes
    if y is not None and (isinstance(x, ImageDataset) or not classes):
        reason = "x has labels of its own" if isinstance(x, ImageDataset) else "the GANs have no classes"
        raise ConfigError(f"y must be None, because {reason}, but got {type(y).__name__}.")
    if not classes:
        return None
    if isinstance(x, ImageDataset):
        if x.labels is None or x.class_names != quality.class_names:
            raise ConfigError(
                f"Expected training images labelled with the {classes} classes that quality knows, but got "
                f"{f'{len(x.class_names)} others' if x.class_names else 'none'}: pass a split of the same data."
            )
        return x.labels
    if y is None:
        raise ConfigError("Expected labels of the training images, y, because the GANs are conditional.")
    return check_class_indices(y, len(x), classes)
