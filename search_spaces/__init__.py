"""Search spaces: which generators, discriminators and training recipes a search may try."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner_gan.search_spaces.base import SearchSpace, check_search_space
    from tuner_gan.search_spaces.dcgan import DCGANSpace
    from tuner_gan.search_spaces.mlp import MLPSpace
    from tuner_gan.search_spaces.presets import preset
    from tuner_gan.search_spaces.progressive import ProgressiveSpace
    from tuner_gan.search_spaces.resnet import ResNetSpace
    from tuner_gan.search_spaces.steering import Steerable, SteeredSpace

__all__ = [
    "SPACES",
    "DCGANSpace",
    "MLPSpace",
    "ProgressiveSpace",
    "ResNetSpace",
    "SearchSpace",
    "Steerable",
    "SteeredSpace",
    "check_search_space",
    "make_space",
    "preset",
]

_CLASSES = {"dcgan": "DCGANSpace", "mlp": "MLPSpace", "progressive": "ProgressiveSpace", "resnet": "ResNetSpace"}
SPACES = tuple(_CLASSES)
"""Names that `search_space=` and `--space` take."""

_HOMES = {
    **{class_name: module for module, class_name in _CLASSES.items()},
    "SearchSpace": "base",
    "Steerable": "steering",
    "SteeredSpace": "steering",
    "check_search_space": "base",
    "preset": "presets",
}


def make_space(name: str, image_shape: tuple[int, int, int], classes: int = 0) -> SearchSpace:
    """Builds a search space by its name.

    Args:
        name: one of `SPACES`.
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.

    Raises:
        ConfigError: there is no space of that name; the message lists those there are.
    """
    from tuner_gan.errors import unknown

    if name not in _CLASSES:
        raise unknown("search space", name, SPACES)
    space: SearchSpace = __getattr__(_CLASSES[name])(image_shape, classes)
    return space


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"tuner_gan.search_spaces.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
