"""Searches GAN architectures with KerasTuner.

Run a search with `GANTuner` (or `tuner-gan search`), inspect it with `results.load`, and export
the best generator with `GANTuner.export` (or `tuner-gan export`).

The public names load on first use: importing this package loads neither TensorFlow nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan import datasets, results
    from tuner_gan.gan.architecture import GANArchitecture
    from tuner_gan.gan.model import GAN
    from tuner_gan.quality.evaluator import QualityEvaluator
    from tuner_gan.search.hypermodel import GANHyperModel
    from tuner_gan.search.tuner import GANTuner
    from tuner_gan.search_spaces.base import SearchSpace, check_search_space

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "GANArchitecture",
    "GANHyperModel",
    "GANTuner",
    "QualityEvaluator",
    "SearchSpace",
    "check_search_space",
    "datasets",
    "results",
]

_HOMES = {
    "GAN": "tuner_gan.gan.model",
    "GANArchitecture": "tuner_gan.gan.architecture",
    "GANHyperModel": "tuner_gan.search.hypermodel",
    "GANTuner": "tuner_gan.search.tuner",
    "QualityEvaluator": "tuner_gan.quality.evaluator",
    "SearchSpace": "tuner_gan.search_spaces.base",
    "check_search_space": "tuner_gan.search_spaces.base",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("datasets", "results"):
        return importlib.import_module(f"tuner_gan.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
