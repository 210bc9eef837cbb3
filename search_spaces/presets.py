"""Fixed architectures that a search starts with, so that its table shows what it gained over them.

Both are the networks of widely copied tutorials, corrected where the tutorial could not work as printed:
images in [-1, 1] to match the generator's tanh, a logit with the matching loss, noise on real and fake images
alike and annealed, and maps that end at the image's exact shape.
"""

from __future__ import annotations

import math

from tuner_gan.errors import unknown
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec

PRESETS = ("tutorial_dense", "tutorial_conv")


def preset(name: str, image_shape: tuple[int, int, int], classes: int = 0) -> GANArchitecture:
    """Returns a fixed architecture for images of a shape.

    * `tutorial_dense`: a dense generator of 256 and 512 units with batch normalisation and LeakyReLU against
      convolutions of 32, 64 and 128 channels, 5 x 5, with max pooling; Adam at 2e-4, batches of 32, instance noise 0.1.
    * `tutorial_conv`: a dense layer to 4 x 4 x 32 and 5 x 5 transposed convolutions up to the image against two strided
      5 x 5 convolutions of 32 channels; Adam at Keras's defaults (1e-3, beta1 0.9), batches of 100.

    Args:
        name: one of `PRESETS`.
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of a conditional GAN, which gets the class's embedding beside the latents and projects it on the
            discriminator's features; 0 for the tutorial's own.

    Raises:
        ConfigError: there is no preset of that name.
    """
    if name == "tutorial_dense":
        return GANArchitecture(
            image_shape=image_shape,
            generator=GeneratorSpec(
                "dense", latent_dim=100, widths=(256, 512), normalization="batch", activation="leaky_relu"
            ),
            discriminator=DiscriminatorSpec(
                "conv", widths=(32, 64, 128), kernel_size=5, downsampling="max_pool", normalization="none"
            ),
            training=TrainingSpec(generator_lr=2e-4, beta1=0.9, batch_size=32, instance_noise=0.1),
            classes=classes,
        )
    if name == "tutorial_conv":
        return GANArchitecture(
            image_shape=image_shape,
            generator=GeneratorSpec(
                "conv", latent_dim=100, widths=_conv_widths(image_shape), kernel_size=5, normalization="none"
            ),
            discriminator=DiscriminatorSpec("conv", widths=(32, 32), kernel_size=5, normalization="none"),
            training=TrainingSpec(generator_lr=1e-3, beta1=0.9, batch_size=100),
            classes=classes,
        )
    raise unknown("preset", name, PRESETS)


def _conv_widths(image_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """As many doublings as lead from the printed 4 x 4 map to the image; three for 28 x 28, as printed."""
    return (32,) * math.ceil(math.log2(max(image_shape[:2]) / 4))
