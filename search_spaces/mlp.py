"""Fully connected GANs, as in the original paper (arXiv:1406.2661)."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.built_in import BuiltInSpace
from tuner_gan.search_spaces.widths import WidthRange, sample_widths

DEPTHS = (1, 4, 2)
"""Lowest, highest and default number of hidden layers."""
WIDTHS = WidthRange(64, 512, 256)
LATENT_DIMS = (32, 64, 128)


class MLPSpace(BuiltInSpace):
    """Dense layers on both sides, with searchable depth and widths.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
    """

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, widths, layers and the training recipe."""
        ranges = [WIDTHS] * DEPTHS[1]
        widths = {side: sample_widths(hp, side, DEPTHS, ranges) for side in ("generator", "discriminator")}
        return self.sample_rest(hp, "dense", widths, latent_dims=LATENT_DIMS, activation="leaky_relu")
