"""Convolutional GANs whose widths follow a rule."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.sides import latent_choices, sample_discriminator, sample_generator
from tuner_gan.search_spaces.steering import Steerable
from tuner_gan.search_spaces.training import sample_training
from tuner_gan.search_spaces.widths import WidthRange, halvings, sample_width_rule

GREY_WIDTHS, COLOR_WIDTHS = WidthRange(8, 64, 32), WidthRange(32, 128, 64)


class ProgressiveSpace(Steerable):
    """As `DCGANSpace`, but one width a side: the others are equal to it, or double away from the image.

    Fewer hyperparameters than a width for each layer, so a search of few trials gets further.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int = 0) -> None:
        self.image_shape = image_shape
        self.classes = classes

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, width and its rule, layers and the training recipe."""
        channels = self.image_shape[2]
        width = GREY_WIDTHS if channels == 1 else COLOR_WIDTHS
        depths = halvings(self.image_shape)
        widths = {side: sample_width_rule(hp, side, depths, width) for side in ("generator", "discriminator")}
        generator = sample_generator(hp, "conv", widths["generator"], latent_choices(channels), classes=self.classes)
        discriminator = sample_discriminator(hp, "conv", widths["discriminator"], classes=self.classes)
        return GANArchitecture(self.image_shape, generator, discriminator, sample_training(hp, channels), self.classes)
