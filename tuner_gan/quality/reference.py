"""What generated images are compared with: the features of real ones, and every score against them."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan import files
from tuner_gan.errors import QualityError
from tuner_gan.quality import metrics
from tuner_gan.quality.catalogue import LABELLED, METRICS
from tuner_gan.quality.labels import Labels

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

SPLITS = 10
"""Parts that the standard deviation of the classifier score is taken over, as in arXiv:1606.03498."""


class Outputs(NamedTuple):
    """What a classifier makes of a set of images.

    Attributes:
        features: float32 `[n, d]` of as many images as the pairwise scores compare, the first ones.
        moments: mean and covariance over the features of all of them.
        logits: float32 `[N, K]` of all of them; None without classes.
        labels: int64 `[N]`, the classes that all of them are said to be of; None for images without labels.
    """

    features: Floats
    moments: metrics.Moments
    logits: Floats | None
    labels: Labels | None = None


class ClassScore(NamedTuple):
    """What the generated images of one class are worth.

    Attributes:
        images: their number.
        fcd: relative Frechet distance to the real images of the class; None where either has fewer than two, or the
            real ones are all alike to the classifier.
        label_accuracy: share that the classifier takes for the class, in [0, 1]; None without such a classifier, or
            without images.
    """

    images: int
    fcd: float | None
    label_accuracy: float | None


class Reference:
    """Features of real images that neither classifier nor GAN was trained on, and of those that they were.

    Attributes:
        features: of the reference images, float32 `[N, d]`.
        train: of the whole training set, float32 `[T, d]`, for the scores that look for copies.
        class_counts: what the classifier says of the reference images, int64 `[K]`; None without classes.
        samples: generated images, and reference images at most, that are compared pair by pair.
        labels: the classes of the reference images, int64 `[N]`; None without.
    """

    def __init__(
        self,
        features: Floats,
        train: Floats,
        class_counts: Counts | None,
        samples: int,
        labels: Labels | None = None,
    ) -> None:
        self.features = features
        self.train = train
        self.class_counts = class_counts
        self.samples = samples
        self.labels = labels

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scores that `evaluate` gives."""
        left_out = {name for name, metric in METRICS.items() if metric.needs_classes and self.class_counts is None}
        if not self._is_extrapolated(self.samples):
            left_out.add("fcd_infinity")
        return tuple(name for name in METRICS if name not in left_out)

    @property
    def cheap_names(self) -> tuple[str, ...]:
        """Names of the scores that `score` gives."""
        return tuple(name for name in self.names if METRICS[name].cheap)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the scores that images with labels get besides."""
        if self.labels is None:
            return ()
        return tuple(name for name in LABELLED if self.class_counts is not None or not LABELLED[name].needs_classes)

    @functools.cached_property
    def _moments(self) -> metrics.Moments:
        return metrics.Moments.of(self.features)

    @property
    def _compared(self) -> Floats:
        return self.features[: self.samples]

    def score(self, outputs: Outputs) -> dict[str, float]:
        """The scores that are cheap enough for every rung; a number for each of `cheap_names`, and of `label_names`."""
        scores = {
            **self._frechet(outputs),
            "kid": metrics.kernel_distance(self._compared, outputs.features),
            "mind": metrics.monge_distance(self._compared, outputs.features),
            "coverage": metrics.coverage(self._compared, outputs.features),
            **self._classes(outputs),
        }
        return {name: scores[name] for name in self.cheap_names} | self._labelled(outputs)

    def evaluate(self, outputs: Outputs) -> dict[str, float]:
        """Every score: a number for each of `names`; too few images have no `fcd_infinity`.

        Images with labels get those of `label_names`, too; `class_fcd` needs a class with two images on both sides.

        Classes are balanced against what the classifier says of the reference images, so that its own errors cancel,
        with half a count added to every class. For the memorisation score the unseen images are the reference. For
        the Vendi score images whose features are all 0 are alike, and unlike any other.
        """
        real, fake = self._compared, outputs.features
        neighbours = metrics.compare_neighbours(real, fake)
        scores = {
            **self._frechet(outputs),
            "kid": metrics.kernel_distance(real, fake),
            "kid_se": metrics.kernel_distance_blocks(real, fake).standard_error,
            "mind": metrics.monge_distance(real, fake),
            "precision": neighbours.precision,
            "recall": neighbours.recall,
            "density": neighbours.density,
            "coverage": neighbours.coverage,
            "vendi": metrics.vendi_score(_directed(fake)),
            "nn_accuracy": neighbours.accuracy,
            "nn_real": neighbours.real,
            "nn_fake": neighbours.fake,
            "authenticity": metrics.authenticity(self.train, fake),
            "memorisation": metrics.memorisation(self.train, real, fake),
            **self._classes(outputs),
        }
        if self._is_extrapolated(len(fake)):
            scores["fcd_infinity"] = metrics.frechet_distance_infinity(self.features, fake) / self._variance
        if outputs.logits is not None and self.class_counts is not None:
            splits = min(SPLITS, len(outputs.logits) // 2)
            parts = metrics.classifier_score(outputs.logits, splits)
            scores["classifier_score_std"] = parts[1] if isinstance(parts, tuple) else 0.0
            scores["modified_classifier_score"] = metrics.modified_classifier_score(outputs.logits)
        return {name: float(scores[name]) for name in self.names if name in scores} | self._labelled(outputs)

    def class_score(self, outputs: Outputs, label: int) -> ClassScore:
        """Scores the images of one class: its labels among `outputs.labels`, against those among `labels`."""
        if outputs.labels is None or self.labels is None:
            raise QualityError("scores of classes need generated and reference images with labels.")
        chosen = outputs.labels == label
        real, fake = self.features[self.labels == label], outputs.features[chosen[: len(outputs.features)]]
        varies = len(real) >= 2 and bool((real != real[0]).any())
        count = int(np.count_nonzero(chosen))
        accuracy = None
        if count and outputs.logits is not None and self.class_counts is not None:
            accuracy = float(np.mean(outputs.logits[chosen].argmax(axis=1) == label))
        distance = metrics.relative_frechet_distance(real, fake) if varies and len(fake) >= 2 else None
        return ClassScore(count, distance, accuracy)

    def _labelled(self, outputs: Outputs) -> dict[str, float]:
        """The scores of images with labels: the mean over all images, and the mean over classes.

        References:
            Miyato and Koyama 2018, arXiv:1802.05637, section 4.1: intra FID.
        """
        if outputs.labels is None or self.labels is None:
            return {}
        scores: dict[str, float] = {}
        if "label_accuracy" in self.label_names and outputs.logits is not None:
            scores["label_accuracy"] = float(np.mean(outputs.logits.argmax(axis=1) == outputs.labels))
        each = [self.class_score(outputs, int(label)).fcd for label in np.unique(self.labels)]
        known = [distance for distance in each if distance is not None]
        if known:
            scores["class_fcd"] = float(np.mean(known))
        return scores

    def _is_extrapolated(self, samples: int) -> bool:
        """Below that, covariances are singular, and the distance does not fall with 1/N yet."""
        return samples >= int(self.features.shape[1]) + 3

    @property
    def _variance(self) -> float:
        return float(np.trace(self._moments.covariance()))

    def _frechet(self, outputs: Outputs) -> dict[str, float]:
        real, fake = self._moments, outputs.moments
        distance = metrics.frechet_distance_from_stats(real.mean, real.covariance(), fake.mean, fake.covariance())
        error = metrics.frechet_standard_error(self.features, outputs.features)
        return {
            "fcd": distance / self._variance,
            # The bootstrap sees the features that are kept; the error shrinks with the root of their number.
            "fcd_se": error * math.sqrt(len(outputs.features) / fake.count),
        }

    def _classes(self, outputs: Outputs) -> dict[str, float]:
        if outputs.logits is None or self.class_counts is None:
            return {}
        predicted = outputs.logits.argmax(axis=1)
        return {
            "classifier_score": metrics.classifier_score(outputs.logits),
            "class_kl": metrics.class_kl(predicted, self.class_counts + 0.5),
            "modes": metrics.mode_count(predicted, len(self.class_counts)),
        }

    def save(self, folder: Path) -> None:
        """Writes the features to `folder`."""
        counts = np.zeros(0, np.int64) if self.class_counts is None else self.class_counts
        labels = np.zeros(0, np.int64) if self.labels is None else self.labels
        with files.replacing(folder / files.REFERENCE) as path:
            np.savez(path, features=self.features, train=self.train, class_counts=counts, labels=labels)

    @classmethod
    def load(cls, folder: Path, samples: int) -> Reference:
        """Reads what `save` wrote.

        Raises:
            OSError, ValueError, KeyError: the file is missing or damaged.
        """
        # A file of an earlier version has no labels.
        features, train, counts, labels = read_arrays(
            folder / files.REFERENCE, "features", "train", "class_counts", "labels", optional=("labels",)
        )
        return cls(features, train, counts if len(counts) else None, samples, labels if len(labels) else None)


def _directed(features: Floats) -> Floats:
    """Features with a direction for every image: those of zeros, as a ReLU may leave them, share one of their own."""
    without = ~features.any(axis=1, keepdims=True)
    return np.concatenate([features, without.astype(np.float32)], axis=1) if without.any() else features


def read_arrays(path: Path, *names: str, optional: Collection[str] = ()) -> list[npt.NDArray[Any]]:
    """Reads the named arrays of an .npz archive; a missing one that is optional is empty.

    Raises:
        OSError, ValueError, KeyError: the file is missing or damaged, or an array is.
    """
    try:
        # A file of our own: NumPy leaves one that it opened open when the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in optional if name not in arrays]
            return [np.zeros(0, np.int64) if name in missing else arrays[name] for name in names]
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error
