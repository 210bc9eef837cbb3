"""Depths that fit an image, and widths of layers that exist only when the network is deep enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras_tuner

LARGEST_BASE = 16
"""Pixels of the map that the dense layer makes, at most: a larger one needs most of the weights."""
WIDEST = 8
"""Times the width nearest the image that a pyramid widens to, at most, as in DCGAN."""


@dataclass(frozen=True)
class WidthRange:
    """Units or channels of one layer: an inclusive range, sampled on a log scale, and its default."""

    lowest: int
    highest: int
    default: int


def sample_widths(
    hp: keras_tuner.HyperParameters, side: str, depths: tuple[int, int, int], ranges: Sequence[WidthRange]
) -> tuple[int, ...]:
    """Samples the depth of one side and a width for each layer that this depth has.

    Declares `SIDE_depth`, `SIDE_width` for the layer nearest the image, and `SIDE_width_2`, `SIDE_width_3` and so on
    away from it. The width of a layer that is absent does not exist for that trial.

    Args:
        hp: where to declare them.
        side: `"generator"` or `"discriminator"`.
        depths: lowest, highest and default number of hidden layers.
        ranges: one for each layer up to the highest depth, the one nearest the image first.

    Returns:
        Widths, the one nearest the image first, as many as the depth.
    """
    lowest, highest, default = depths
    depth = hp.Int(f"{side}_depth", lowest, highest, default=default)
    widths = []
    for layer, width in enumerate(ranges[:highest], start=1):
        name = f"{side}_width" if layer == 1 else f"{side}_width_{layer}"
        deep_enough = list(range(max(layer, lowest), highest + 1))
        # A layer that every depth has is unconditional.
        conditions = {} if layer <= lowest else {"parent_name": f"{side}_depth", "parent_values": deep_enough}
        value = hp.Int(name, width.lowest, width.highest, sampling="log", default=width.default, **conditions)
        if layer <= depth:
            widths.append(value)
    return tuple(widths)


def sample_width_rule(
    hp: keras_tuner.HyperParameters, side: str, depths: tuple[int, int, int], width: WidthRange
) -> tuple[int, ...]:
    """Samples the depth of one side, one width and how the others follow from it.

    Declares `SIDE_depth`, `SIDE_width` for the layer nearest the image, and `SIDE_width_rule`: `"pyramid"`, where each
    layer is twice as wide as the one nearer the image, up to eight times, or `"constant"`.

    Args:
        hp: where to declare them.
        side: `"generator"` or `"discriminator"`.
        depths: lowest, highest and default number of layers.
        width: of the layer nearest the image.

    Returns:
        Widths, the one nearest the image first, as many as the depth.
    """
    lowest, highest, default = depths
    depth = hp.Int(f"{side}_depth", lowest, highest, default=default)
    base = hp.Int(f"{side}_width", width.lowest, width.highest, sampling="log", default=width.default)
    rule = hp.Choice(f"{side}_width_rule", ["pyramid", "constant"], default="pyramid")
    return tuple(base * (min(2**layer, WIDEST) if rule == "pyramid" else 1) for layer in range(depth))


def halvings(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns lowest, highest and default number of times that a map is halved: 1, 4 and 3 for 28 pixels.

    The default leaves 4 x 4 pixels or a little less, where DCGAN starts (Radford et al. 2016, arXiv:1511.06434).
    """
    side = max(image_shape[:2])
    lowest = max(1, math.ceil(math.log2(side / LARGEST_BASE)))
    # A side of 28 halves four times to 2 pixels when rounded up.
    highest = math.ceil(math.log2(side)) - 1
    return lowest, highest, max(lowest, math.ceil(math.log2(side / 4)))
