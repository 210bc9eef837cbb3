"""What a generator is worth: a frozen classifier of the user's own images, and distances between its features.

    QualityEvaluator              a generator or images -> named scores and flags
    ReferenceClassifier           images -> features and logits
    FeatureExtractor, pretrained  any Keras model, or one with ImageNet weights, in its place
    evaluate                      all of it in one call, for any generator or images
    classification_accuracy_score generated images with labels -> what a classifier learns from them
    metrics                       features and logits -> numbers

The names load on first use, so that importing this package does not load TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan.quality import metrics
    from tuner_gan.quality.accuracy_score import classification_accuracy_score
    from tuner_gan.quality.applications import pretrained
    from tuner_gan.quality.classifier import ReferenceClassifier
    from tuner_gan.quality.evaluation import evaluate
    from tuner_gan.quality.evaluator import QualityEvaluator
    from tuner_gan.quality.extractor import FeatureExtractor

__all__ = [
    "FeatureExtractor",
    "QualityEvaluator",
    "ReferenceClassifier",
    "classification_accuracy_score",
    "evaluate",
    "metrics",
    "pretrained",
]

_HOMES = {
    "FeatureExtractor": "extractor",
    "QualityEvaluator": "evaluator",
    "ReferenceClassifier": "classifier",
    "classification_accuracy_score": "accuracy_score",
    "evaluate": "evaluation",
    "pretrained": "applications",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("tuner_gan.quality.metrics")
    if name in _HOMES:
        return getattr(importlib.import_module(f"tuner_gan.quality.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
