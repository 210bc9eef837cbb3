"""Convolutional GANs whose widths follow a rule."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.built_in import BuiltInSpace
from tuner_gan.search_spaces.widths import WidthRange, halvings, sample_width_rule

GREY_WIDTHS, COLOR_WIDTHS = WidthRange(8, 64, 32), WidthRange(32, 128, 64)


class ProgressiveSpace(BuiltInSpace):
    """As `DCGANSpace`, but one width a side: the others are equal to it, or double away from the image.

    Fewer hyperparameters than a width for each layer, so a search of few trials gets further.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
    """

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, width and its rule, layers and the training recipe."""
        width = GREY_WIDTHS if self.image_shape[2] == 1 else COLOR_WIDTHS
        depths = halvings(self.image_shape)
        widths = {side: sample_width_rule(hp, side, depths, width) for side in ("generator", "discriminator")}
        return self.sample_rest(hp, "conv", widths)
