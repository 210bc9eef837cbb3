"""GANs of residual blocks, of SNDCGAN's pairs of convolutions, or of your own blocks."""

from __future__ import annotations

from collections.abc import Sequence

import keras_tuner

from tuner_gan.errors import ConfigError, is_list_of
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces.built_in import BuiltInSpace
from tuner_gan.search_spaces.widths import WidthRange, halvings, sample_width_rule

GREY_WIDTHS, COLOR_WIDTHS = WidthRange(8, 32, 16), WidthRange(16, 64, 32)


class ResNetSpace(BuiltInSpace):
    """Deep blocks on both sides, with or without a shortcut and self-attention.

    Depth counts blocks, each of which halves (or doubles) the map, and adapts to the image as in `DCGANSpace`.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN; 0 for none.
        blocks: names of blocks to choose from, the default first: `"resnet"`, `"sndcgan"` or your own
            `tuner_gan.gan.blocks.Block`.

    Raises:
        ConfigError: no block is named, or `"dense"` or `"conv"`, which are none.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], classes: int = 0, blocks: Sequence[str] = ("resnet", "sndcgan")
    ) -> None:
        if not is_list_of(blocks, str) or not blocks or {"dense", "conv"} & set(blocks):
            raise ConfigError(
                f"blocks must be a list of at least one block's name, such as ['resnet'], but got {blocks!r}."
            )
        super().__init__(image_shape, classes)
        self.blocks = tuple(blocks)

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples blocks, depth, width and its rule, layers and the training recipe."""
        block = hp.Choice("block", list(self.blocks), default=self.blocks[0])
        width = GREY_WIDTHS if self.image_shape[2] == 1 else COLOR_WIDTHS
        depths = halvings(self.image_shape)
        widths = {side: sample_width_rule(hp, side, depths, width) for side in ("generator", "discriminator")}
        return self.sample_rest(hp, block, widths)
