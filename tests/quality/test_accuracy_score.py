"""CAS: what a classifier that saw generated images only knows of real ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluators import SEED, real_digits
from short_trainings import short_trainings

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import QualityError
from tuner_gan.quality import ReferenceClassifier
from tuner_gan.quality.accuracy_score import classification_accuracy_score

_short = pytest.fixture(short_trainings, scope="module", autouse=True)
digits = pytest.fixture(real_digits, scope="module")


def test_it_is_the_accuracy_on_the_real_images(digits: DataSplits) -> None:
    score = classification_accuracy_score(digits.train, digits.holdout, seed=SEED)
    classifier = ReferenceClassifier.fit(digits.train, digits.holdout, seed=SEED)
    logits = classifier.predict(digits.holdout.images)[1]
    assert digits.holdout.labels is not None
    assert score == pytest.approx(np.mean(logits.argmax(axis=1) == digits.holdout.labels))
    assert score > 0.9


def test_good_images_with_wrong_labels_teach_nothing(digits: DataSplits) -> None:
    assert digits.train.labels is not None
    labels = np.random.default_rng(0).permutation(digits.train.labels)
    mislabelled = dataclasses.replace(digits.train, labels=labels)
    assert classification_accuracy_score(mislabelled, digits.holdout, seed=SEED) < 0.35


def _unlabelled(data: ImageDataset) -> ImageDataset:
    return dataclasses.replace(data, labels=None, class_names=())


def test_both_need_labels_of_the_same_classes(digits: DataSplits) -> None:
    assert digits.train.labels is not None
    others = dataclasses.replace(digits.train, class_names=tuple("abcdefghij"))
    alone = dataclasses.replace(digits.train, labels=np.zeros(len(digits.train), np.int64), class_names=("0",))
    for fake, real in (
        (_unlabelled(digits.train), digits.holdout),
        (digits.train, _unlabelled(digits.holdout)),
        (_unlabelled(digits.train), _unlabelled(digits.holdout)),
        (others, digits.holdout),
        (alone, alone),
    ):
        with pytest.raises(QualityError, match="labelled with the same two or more classes, got"):
            classification_accuracy_score(fake, real)


def test_images_of_another_shape_are_refused(digits: DataSplits) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 10, 1), dtype=np.uint8)
    larger = datasets.from_arrays(images, np.arange(60) % 10)
    with pytest.raises(QualityError, match="must have the same image shape"):
        classification_accuracy_score(larger, digits.holdout)
