"""Search spaces: which generators, discriminators and training recipes a search may try."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan.search_spaces.base import SearchSpace, check_search_space
    from tuner_gan.search_spaces.dcgan import DCGANSpace
    from tuner_gan.search_spaces.mlp import MLPSpace
    from tuner_gan.search_spaces.presets import preset
    from tuner_gan.search_spaces.steering import Steerable, SteeredSpace

__all__ = [
    "SPACES",
    "DCGANSpace",
    "MLPSpace",
    "SearchSpace",
    "Steerable",
    "SteeredSpace",
    "check_search_space",
    "make_space",
    "preset",
]

SPACES = ("dcgan", "mlp")
"""Names that `search_space=` and `--space` take."""

_HOMES = {
    "DCGANSpace": "dcgan",
    "MLPSpace": "mlp",
    "SearchSpace": "base",
    "Steerable": "steering",
    "SteeredSpace": "steering",
    "check_search_space": "base",
    "preset": "presets",
}


def make_space(name: str, image_shape: tuple[int, int, int]) -> SearchSpace:
    """Builds a search space by its name.

    Raises:
        ConfigError: there is no space of that name; the message lists those there are.
    """
    from tuner_gan.errors import ConfigError, closest

    if name == "dcgan":
        from tuner_gan.search_spaces.dcgan import DCGANSpace

        return DCGANSpace(image_shape)
    if name == "mlp":
        from tuner_gan.search_spaces.mlp import MLPSpace

        return MLPSpace(image_shape)
    raise ConfigError(f"Unknown search space {name!r}{closest(name, SPACES)}: choose one of {', '.join(SPACES)}.")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"tuner_gan.search_spaces.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
