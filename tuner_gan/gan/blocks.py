"""What deep networks repeat: residual blocks, pairs of convolutions, or your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import keras
from keras import layers

from tuner_gan.errors import ConfigError, closest
from tuner_gan.gan.parts import Parts

_BLOCKS: dict[str, type[Block]] = {}


class Block(ABC):
    """One doubling of a generator's map, and one halving of a discriminator's.

    Subclass it and give it a name; `family="my_block"` in a `GeneratorSpec` or `DiscriminatorSpec`, and
    `ResNetSpace(image_shape, blocks=["my_block"])`, then use it. An architecture stores the name only: whoever reads it
    back must have imported the class.

    Between blocks the network normalises and activates (and drops out, in the discriminator), so a block gets what is
    activated, or the images, and gives what is not.

    Example:
        >>> class Plain(Block):
        ...     name = "plain"
        ...     def up(self, x, width, parts):
        ...         return parts.convolve(layers.UpSampling2D()(x), width, 3)
        ...     def down(self, x, width, parts):
        ...         return parts.convolve(x, width, 3, strides=2)
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Makes the block known by its name.

        Raises:
            ConfigError: it has no name of its own, or one that is taken.
        """
        name = cls.__dict__.get("name")
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{cls.__name__}.name must be the name that specs call the block by, but got {name!r}.")
        known = _BLOCKS.get(name)
        # A notebook's cell defines the same class anew each time that it is run.
        if name in ("dense", "conv") or (known is not None and known.__qualname__ != cls.__qualname__):
            raise ConfigError(f"{cls.__name__}.name must be a name of its own, but {name!r} is taken.")
        _BLOCKS[name] = cls

    @abstractmethod
    def up(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """Doubles a map: [N, H, W, C] to [N, 2 H, 2 W, width], with the generator's `parts`."""

    @abstractmethod
    def down(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """Halves a map: [N, H, W, C] to [N, ceil(H / 2), ceil(W / 2), width], with the discriminator's `parts`."""


class ResNetBlock(Block):
    """Two 3 x 3 convolutions beside a shortcut.

    References:
        SNGAN, Miyato et al. 2018, arXiv:1802.05957, appendix B.4.
    """

    name = "resnet"

    def up(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """Repeats pixels first."""
        x = layers.UpSampling2D()(x)
        inner = parts.activate(parts.normalize(parts.convolve(x, width, 3)))
        return layers.Add()([parts.convolve(x, width, 1), parts.convolve(inner, width, 3)])

    def down(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """Averages four pixels at the end, and before the shortcut's convolution, where that is cheaper."""
        inner = parts.activate(parts.normalize(parts.convolve(x, width, 3)))
        inner = layers.AveragePooling2D(2, padding="same")(parts.convolve(inner, width, 3))
        shortcut = parts.convolve(layers.AveragePooling2D(2, padding="same")(x), width, 1)
        return layers.Add()([shortcut, inner])


class SNDCGANBlock(Block):
    """A transposed 4 x 4 convolution up; a 3 x 3 and a strided 4 x 4 one down, without a shortcut.

    References:
        SNGAN, Miyato et al. 2018, arXiv:1802.05957, appendix B.4, table 3; Kurach et al. 2019, arXiv:1807.04720.
    """

    name = "sndcgan"

    def up(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """One transposed convolution of stride 2."""
        return parts.convolve_up(x, width, 4)

    def down(self, x: keras.KerasTensor, width: int, parts: Parts) -> keras.KerasTensor:
        """Looks at full resolution before it halves the map."""
        inner = parts.activate(parts.normalize(parts.convolve(x, width, 3)))
        return parts.convolve(inner, width, 4, strides=2)


def find_block(name: str) -> Block:
    """Returns a new block by its name.

    Raises:
        ConfigError: no class of that name was imported; the message lists those there are.
    """
    if name not in _BLOCKS:
        known = ("dense", "conv", *_BLOCKS)
        raise ConfigError(
            f"Unknown family {name!r}{closest(name, known)}: choose one of {', '.join(known)}, or import the module "
            "that defines your own Block of that name first."
        )
    return _BLOCKS[name]()
