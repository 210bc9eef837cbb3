"""Convolutional GANs after DCGAN (Radford et al. 2016, arXiv:1511.06434)."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.built_in import BuiltInSpace
from tuner_gan.search_spaces.widths import WidthRange, halvings, sample_widths


class DCGANSpace(BuiltInSpace):
    """Strided convolutions against transposed ones, or against repeated pixels, with a width for each layer.

    Depth counts the halvings (or doublings) of the map and adapts to the image: from as many as keep the
    smallest map within 16 pixels, to as many as leave 2 of them.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
    """

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples depth, widths, layers and the training recipe."""
        depths = halvings(self.image_shape)
        ranges = [_width_range(layer, self.image_shape[2] == 1) for layer in range(depths[1])]
        widths = {side: sample_widths(hp, side, depths, ranges) for side in ("generator", "discriminator")}
        return self.sample_rest(hp, "conv", widths)


def _width_range(layer: int, grey: bool) -> WidthRange:
    """Widths double away from the image, as in DCGAN, up to a bound that a laptop still trains."""
    lowest, highest, default = (8, 64, 32) if grey else (32, 128, 64)
    bound = 128 if grey else 256
    factor = 2**layer
    return WidthRange(min(lowest * factor, bound // 4), min(highest * factor, bound), min(default * factor, bound))
