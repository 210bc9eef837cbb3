"""What a generator is worth: a frozen classifier of the user's own images, and distances between its features.

    QualityEvaluator      a generator -> named scores
    ReferenceClassifier   images -> features and logits
    metrics               features and logits -> numbers

The names load on first use, so that importing this package loads neither TensorFlow nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan.quality import metrics
    from tuner_gan.quality.classifier import ReferenceClassifier
    from tuner_gan.quality.evaluator import QualityEvaluator

__all__ = ["QualityEvaluator", "ReferenceClassifier", "metrics"]

_HOMES = {"QualityEvaluator": "evaluator", "ReferenceClassifier": "classifier"}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("tuner_gan.quality.metrics")
    if name in _HOMES:
        return getattr(importlib.import_module(f"tuner_gan.quality.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
