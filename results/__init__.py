"""Reads a project folder: ranked tables of the trials, their training curves, what mattered.

`load(folder)` gives a `SearchResults`. Importing this package loads neither pandas nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan.results.comparison import compare
    from tuner_gan.results.search_results import SearchResults, load

__all__ = ["SearchResults", "compare", "load"]

MODULES = {"compare": "comparison", "SearchResults": "search_results", "load": "search_results"}
"""Where each of them is."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"tuner_gan.results.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
