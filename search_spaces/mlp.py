"""Fully connected GANs, as in the original paper (arXiv:1406.2661)."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.rest import sample_rest
from tuner_gan.search_spaces.steering import Steerable
from tuner_gan.search_spaces.widths import WidthRange, sample_widths

DEPTHS = (1, 4, 2)
"""Lowest, highest and default number of hidden layers."""
WIDTHS = WidthRange(64, 512, 256)
LATENT_DIMS = (32, 64, 128)


class MLPSpace(Steerable):
    """Dense layers on both sides, with searchable depth and widths.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int = 0) -> None:
        self.image_shape = image_shape
        self.classes = classes

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, widths, layers and the training recipe."""
        ranges = [WIDTHS] * DEPTHS[1]
        widths = {side: sample_widths(hp, side, DEPTHS, ranges) for side in ("generator", "discriminator")}
        return sample_rest(
            hp,
            self.image_shape,
            "dense",
            widths,
            classes=self.classes,
            latent_dims=LATENT_DIMS,
            activation="leaky_relu",
        )
