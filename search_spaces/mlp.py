"""Fully connected GANs, as in the original paper (arXiv:1406.2661)."""

from __future__ import annotations

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

DEPTHS = (1, 4, 2)
"""Lowest, highest and default number of hidden layers."""
WIDTHS = WidthRange(64, 512, 256)


class MLPSpace(Steerable):
    """Dense layers on both sides, with searchable depth and widths.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        self.image_shape = image_shape

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, widths, latent size, normalisation and the training recipe."""
        ranges = [WIDTHS] * DEPTHS[1]
        generator_widths = sample_widths(hp, "generator", DEPTHS, ranges)
        discriminator_widths = sample_widths(hp, "discriminator", DEPTHS, ranges)
        return GANArchitecture(
            image_shape=self.image_shape,
            generator=GeneratorSpec(
                family="dense",
                latent_dim=hp.Choice("latent_dim", [32, 64, 128], default=64),
                widths=generator_widths[::-1],
                normalization=hp.Choice("generator_normalization", list(GENERATOR_NORMALIZATIONS), default="batch"),
                activation="leaky_relu",
            ),
            discriminator=DiscriminatorSpec(
                family="dense",
                widths=discriminator_widths,
                normalization=hp.Choice(
                    "discriminator_normalization", list(DISCRIMINATOR_NORMALIZATIONS), default="spectral"
                ),
            ),
            training=sample_training(hp, self.image_shape[2]),
        )
