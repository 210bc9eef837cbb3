"""Short trainings of reference classifiers, none of them twice, for tests that are about something else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tuner_gan.datasets import ImageDataset
from tuner_gan.quality import ReferenceClassifier
from tuner_gan.quality import classifier as classifier_module

STEPS = (200, 200)
"""Enough for nine of ten digits."""

_trained: dict[tuple[str, str, int, tuple[int, int]], ReferenceClassifier] = {}


@contextlib.contextmanager
def trained_once(steps: tuple[int, int] = STEPS) -> Iterator[None]:
    """Makes trainings short, and gives the same classifier again for the same data and seed, as training would."""
    train = ReferenceClassifier.fit

    def fit(data: ImageDataset, holdout: ImageDataset, *, seed: int = 0) -> ReferenceClassifier:
        key = data.fingerprint, holdout.fingerprint, seed, steps
        if key not in _trained:
            _trained[key] = train(data, holdout, seed=seed)
        return _trained[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_module, "STEPS", steps)
        patch.setattr(ReferenceClassifier, "fit", fit)
        yield


def short_trainings() -> Iterator[None]:
    """A fixture: every classifier of a module is trained for a short time, once."""
    with trained_once():
        yield
