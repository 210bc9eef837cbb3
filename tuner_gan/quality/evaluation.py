"""The whole suite for any generator or set of images, whoever made them."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import DegenerateError, QualityError
from tuner_gan.images import check_generator, class_count, sample_images
from tuner_gan.plain_numbers import check_count
from tuner_gan.quality.accuracy_score import classification_accuracy_score
from tuner_gan.quality.catalogue import CAS, EVERY
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.quality.guards import FEWEST

MOST_IMAGES = 10_000
"""Of a given set, that are compared pair by pair with as many reference images."""

MIDDLE = 127
"""Of the bytes of an image; those of a generator's 0 are 127 or 128."""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        images: their number.
        against: name of the real images that they were compared with.
        scores: by name; empty for images that have none.
        floor: the same scores of held-out real images.
        flags: what is wrong with the images; see `tuner_gan.quality.guards`.
        message: why there are no scores, or None.
        quality: what they were evaluated with.
    """

    images: int
    against: str
    scores: Mapping[str, float]
    floor: Mapping[str, float]
    flags: tuple[str, ...]
    message: str | None
    quality: QualityEvaluator

    def table(self) -> pd.DataFrame:
        """One row a score: metric, value, floor, better (lower, higher or floor) and meaning."""
        rows = [
            (name, value, self.floor.get(name), EVERY[name].better, EVERY[name].meaning)
            for name, value in self.scores.items()
        ]
        columns = {"metric": "string", "value": "Float64", "floor": "Float64", "better": "string", "meaning": "string"}
        return pd.DataFrame(rows, columns=list(columns)).astype(columns)

    def to_json(self) -> dict[str, Any]:
        """Plain data: images, scores, floor, flags, message, and the card and fingerprint of what scored them."""
        return {
            "images": self.images,
            "against": self.against,
            "flags": list(self.flags),
            "message": self.message,
            "scores": dict(self.scores),
            "floor": {name: self.floor[name] for name in self.scores if name in self.floor},
            "fingerprint": self.quality.fingerprint,
            "evaluator": {name: value for name, value in self.quality.card.items() if name not in ("floor", "fit_s")},
        }


def evaluate(
    source: keras.Model | ImageDataset,
    data: DataSplits,
    *,
    against: ImageDataset | None = None,
    seed: int = 0,
    features: keras.Model | str | Path | None = None,
) -> Evaluation:
    """Gives a generator or a set of images every score, with a classifier trained on real images for the purpose.

    Images and those of `against` are shuffled first: a folder comes class by class, but the scores that compare pair by
    pair take the first images, and some errors are measured over parts of them. That takes a copy of them in memory.

    Args:
        source: a generator, float32 `[B, latent_dim]` to `[B, H, W, C]` in [-1, 1], or images, of which 10,000 at most
            are compared pair by pair. A generator that is conditional on the classes of the data, and images labelled
            with their names, or with their numbers 0..K-1 in the order of `class_names`, get the scores of labels and
            `cas`, too. RGB images without a colour, as which much software
            writes grey ones, are grey ones for grey data.
        data: real images. The classifier learns from `train`, in which copies are looked for; the images are compared
            with `reference`; `holdout` gives the floors.
        against: real images to compare with instead of `data.reference`; RGB ones as those of `source`.
        seed: of the classifiers, of the latents and of the order of images, >= 0.
        features: instead of the first classifier; see `QualityEvaluator.fit`.

    Raises:
        QualityError: images of another shape than the data, or fewer than 30; or what is no set and no generator.
        ConfigError: the seed is no integer from 0.

    Warns:
        UserWarning: the generator's images seem to be in another range than [-1, 1]; or the images are labelled with
            other classes than the data.
    """
    seed = check_count("seed", seed, least=0)
    if not isinstance(source, ImageDataset):
        check_generator(source, "an ImageDataset", "datasets.from_arrays(images) makes such a set")
    if data.image_shape[2] == 1:
        source = _without_colour(source) if isinstance(source, ImageDataset) else source
        against = None if against is None else _without_colour(against)
    for images in (source, against):
        if images is not None:
            _check(images, data.image_shape)
    if against is not None:
        together = hashlib.sha256(f"{data.fingerprint} against {against.fingerprint}".encode()).hexdigest()
        data = dataclasses.replace(data, reference=_shuffled(against, [seed, 0]), fingerprint=together)
    samples = None if not isinstance(source, ImageDataset) else min(len(source), MOST_IMAGES)
    quality = QualityEvaluator.fit(data, seed=seed, features=features, samples=samples)
    name = data.name if against is None else against.name
    count = len(source) if isinstance(source, ImageDataset) else quality.samples
    source = _with_classes(source, data.train.class_names) if isinstance(source, ImageDataset) else source
    try:
        if isinstance(source, ImageDataset):
            shuffled = _shuffled(source, [seed, 1])
            labels = shuffled.labels if quality.class_names else None
            scores = quality.evaluate(shuffled.images, labels, second=True)
        else:
            _check_range(source, data.reference.images)
            scores = quality.evaluate(source, second=True)
    except DegenerateError as error:
        return Evaluation(count, name, {}, quality.floor, (error.flag,), str(error), quality)
    if isinstance(source, ImageDataset):
        if source.labels is not None:
            scores[CAS] = classification_accuracy_score(source, data.holdout, seed=seed)
    elif class_count(source):
        scores[CAS] = quality.cas(source)
    return Evaluation(count, name, scores, quality.floor, quality.flags(scores, count), None, quality)


def _with_classes(source: ImageDataset, classes: tuple[str, ...]) -> ImageDataset:
    """Images labelled with these classes, or with their numbers, as those of generators are; others without labels."""
    if source.labels is None or not classes:
        return dataclasses.replace(source, labels=None, class_names=())
    if source.class_names in (classes, tuple(str(number) for number in range(len(classes)))):
        return dataclasses.replace(source, class_names=classes)
    warnings.warn(
        f"The labels of {source.name} are not those of the real images, so there are no scores of labels: expected "
        f"{_some(classes)} or 0..{len(classes) - 1}, but got {_some(source.class_names)}.",
        UserWarning,
        stacklevel=3,
    )
    return dataclasses.replace(source, labels=None, class_names=())


def _some(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _check_range(generator: keras.Model, real: npt.NDArray[np.uint8]) -> None:
    """Warns of a generator that has no pixel below 0, the middle of the range, where real images have."""
    if sample_images(generator).min() >= MIDDLE and real.min() < MIDDLE // 2:
        warnings.warn(
            "The generator makes nothing darker than the middle grey of [-1, 1], as one does of images in [0, 1] "
            "or [0, 255]: if so, put keras.layers.Rescaling(2, -1) or Rescaling(1 / 127.5, -1) behind it and "
            "evaluate it again.",
            UserWarning,
            stacklevel=3,
        )


def _without_colour(images: ImageDataset) -> ImageDataset:
    """RGB images as grey ones, if all channels of each pixel have one value; any others as they are."""
    pixels = images.images
    red = pixels[..., :1]
    if pixels.shape[3] == 1 or not all(np.array_equal(red, pixels[..., channel : channel + 1]) for channel in (1, 2)):
        return images
    return dataclasses.replace(images, images=np.ascontiguousarray(red))


def _shuffled(images: ImageDataset, seed: list[int]) -> ImageDataset:
    return images._take(np.random.default_rng(seed).permutation(len(images)))


def _check(images: keras.Model | ImageDataset, image_shape: tuple[int, int, int]) -> None:
    """Refuses what would only fail after the classifier is trained."""
    if isinstance(images, ImageDataset):
        if len(images) < FEWEST:
            raise QualityError(
                f"at least {FEWEST} images are needed to judge them, got {len(images)} of {images.name}: add more."
            )
        shape = images.image_shape
    else:
        shape = tuple(images.output_shape[1:])
    if shape == image_shape:
        return
    advice = []
    if len(shape) != 3:
        advice.append("evaluate a generator of images")
    else:
        if shape[2] != image_shape[2]:
            colours = "grey" if image_shape[2] == 1 else "RGB"
            is_set = isinstance(images, ImageDataset)
            advice.append(f"convert them to {colours}" if is_set else f"choose data of {shape[2]} channels")
        if shape[:2] != image_shape[:2]:
            advice.append("resize them (--image-size HxW)")
    raise QualityError(
        f"all images must have the shape of the data, {image_shape}, but {images.name} has {shape}: "
        f"{' and '.join(advice)}."
    )
