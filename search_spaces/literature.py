"""Recipes of the literature as points of a search space, which a search tries before it draws any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from tuner_gan.search_spaces.base import Value, allows, fill_point, nearest

NARROW: Mapping[str, Value] = {
    "generator_width": 16,
    "generator_width_2": 32,
    "generator_width_3": 64,
    "discriminator_width": 16,
    "discriminator_width_2": 32,
    "discriminator_width_3": 64,
}
"""Networks that learn most in a minute on a CPU."""
LITERATURE: tuple[Mapping[str, Value], ...] = (
    # R1 without normalisation (Mescheder et al. 2018, arXiv:1801.04406). A high learning rate pays with it: a lower
    # one, or a weaker penalty, was worse on digits.
    {
        **NARROW,
        "loss": "non_saturating",
        "penalty": "r1",
        "penalty_gamma": 1.0,
        "discriminator_normalization": "none",
        "generator_lr": 3e-3,
    },
    # The relativistic loss with R1 and R2 (R3GAN, Huang et al. 2024, arXiv:2501.05441), which wants a lower rate.
    {
        **NARROW,
        "loss": "relativistic",
        "penalty": "r1_r2",
        "penalty_gamma": 1.0,
        "discriminator_normalization": "none",
        "generator_lr": 1e-3,
    },
    # Layer normalisation, which Gulrajani et al. 2017 (arXiv:1704.00028) advise for discriminators, and dropout in them
    # (Odena et al. 2017, arXiv:1610.09585), without a penalty.
    {
        **NARROW,
        "loss": "non_saturating",
        "discriminator_normalization": "layer",
        "discriminator_dropout": 0.25,
        "generator_lr": 1e-3,
    },
    # Spectral normalisation with the hinge loss (SAGAN, Zhang et al. 2019, arXiv:1805.08318).
    {**NARROW, "loss": "hinge", "discriminator_normalization": "spectral", "generator_lr": 1e-3},
    # The defaults of the spaces: spectral normalisation (Miyato et al. 2018, arXiv:1802.05957), wider networks.
    {},
)
"""Recipes worth trying before anything is drawn: values of hyperparameters, where a space has them."""


def literature(hp: keras_tuner.HyperParameters) -> list[dict[str, Any]]:
    """Returns `LITERATURE` as points of a space: what one leaves out, or the space does not allow, has its default.

    A value between two steps of a space moves to the nearest.

    Args:
        hp: all hyperparameters of the space, as `declare` gives them.
    """
    known = {parameter.name: parameter for parameter in hp.space}
    points: list[dict[str, Any]] = []
    for recipe in LITERATURE:
        fitting = {
            name: nearest(known[name], value)
            for name, value in recipe.items()
            if name in known and allows(known[name], value)
        }
        values = fill_point(hp, fitting)
        if values not in points:
            points.append(values)
    return points
