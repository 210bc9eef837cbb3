"""Convolutional GANs after DCGAN (Radford et al. 2016, arXiv:1511.06434)."""

from __future__ import annotations

import math

import keras_tuner

from tuner_gan.gan.architecture import (
    DISCRIMINATOR_NORMALIZATIONS,
    GENERATOR_NORMALIZATIONS,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
)
from tuner_gan.search_spaces.steering import Steerable
from tuner_gan.search_spaces.training import sample_training
from tuner_gan.search_spaces.widths import WidthRange, sample_widths

LARGEST_BASE = 16
"""Pixels of the map that the dense layer makes, at most: a larger one needs most of the weights."""


class DCGANSpace(Steerable):
    """Strided convolutions against transposed ones, with searchable depth and widths.

    Depth counts the halvings (or doublings) of the map and adapts to the image: from as many as keep the
    smallest map within 16 pixels, to as many as leave 2 of them.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        self.image_shape = image_shape

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, widths, latent size, normalisation and the training recipe."""
        grey = self.image_shape[2] == 1
        latent_dims = [32, 64, 128] if grey else [64, 128, 256]
        depths = _depths(max(self.image_shape[:2]))
        ranges = [_width_range(layer, grey) for layer in range(depths[1])]
        generator_widths = sample_widths(hp, "generator", depths, ranges)
        discriminator_widths = sample_widths(hp, "discriminator", depths, ranges)
        return GANArchitecture(
            image_shape=self.image_shape,
            generator=GeneratorSpec(
                family="conv",
                latent_dim=hp.Choice("latent_dim", latent_dims, default=latent_dims[1]),
                widths=generator_widths[::-1],
                normalization=hp.Choice("generator_normalization", list(GENERATOR_NORMALIZATIONS), default="batch"),
            ),
            discriminator=DiscriminatorSpec(
                family="conv",
                widths=discriminator_widths,
                normalization=hp.Choice(
                    "discriminator_normalization", list(DISCRIMINATOR_NORMALIZATIONS), default="spectral"
                ),
            ),
            training=sample_training(hp, self.image_shape[2]),
        )


def _depths(side: int) -> tuple[int, int, int]:
    """Returns lowest, highest and default depth for an image of `side` pixels: 1, 4 and 2 for 28."""
    lowest = max(1, math.ceil(math.log2(side / LARGEST_BASE)))
    # A side of 28 halves four times to 2 pixels when rounded up.
    highest = math.ceil(math.log2(side)) - 1
    return lowest, highest, max(lowest, math.floor(math.log2(side / 4)))


def _width_range(layer: int, grey: bool) -> WidthRange:
    """Widths double away from the image, as in DCGAN, up to a bound that a laptop still trains."""
    lowest, highest, default = (8, 64, 32) if grey else (32, 128, 64)
    bound = 128 if grey else 256
    factor = 2**layer
    return WidthRange(min(lowest * factor, bound // 4), min(highest * factor, bound), min(default * factor, bound))
