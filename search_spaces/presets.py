"""Fixed architectures that a search starts with, so that its table shows what it gained over them.

They are plain GANs that work, after two widely copied tutorials that do not run as printed. As printed are the sizes
and kernels of the layers, the length of the latents, Adam's learning rates and betas, and the sizes of batches.
Corrected are images in [-1, 1] to match the generator's tanh; cross-entropy of logits, which the discriminator returns,
where the printed loss takes probabilities; and maps that end at the image's exact shape. `preset` says what else
differs: a `GANArchitecture` normalises, activates and pads all hidden layers of a network alike.

Both are trained as every trial is, with the generator averaged over the steps, and one step of each network a batch,
where the printed discriminator has one for real images and another for fakes.
"""

from __future__ import annotations

import math

from tuner_gan.errors import unknown
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec

PRESETS = ("tutorial_dense", "tutorial_conv")


def preset(name: str, image_shape: tuple[int, int, int], classes: int = 0) -> GANArchitecture:
    """Returns a fixed architecture for images of a shape.

    * `tutorial_dense`: a dense generator of 256 and 512 units with batch normalisation and LeakyReLU against
      convolutions of 32, 64 and 128 channels, 5 x 5, with max pooling; Adam at 2e-4, batches of 32, instance noise of
      0.1 that falls to zero in 1,000 steps. Printed are batch normalisation of the 512 units only, with Keras's
      momentum; pooling that leaves out the last row of an odd map; that noise on images in [0, 1], so twice as strong,
      on real ones only, which gives them away, and to the end; and a decay of the learning rate, by less than 0.5 % in
      the 100 epochs.
    * `tutorial_conv`: a dense layer to 4 x 4 x 32 and 5 x 5 transposed convolutions up to the image, with ReLU, against
      two strided 5 x 5 convolutions of 32 channels, with LeakyReLU; Adam at Keras's defaults (1e-3, beta1 0.9), batches
      of 100. Printed are no activations between the layers, so that the discriminator is linear; 128 units for the
      512 of the first map; convolutions without padding, the last one of stride 1, which end at 29 x 29 x 3; and
      uniform latents.

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
    """As many doublings as lead from the printed 4 x 4 map to the image.

    They are three for 28 x 28, where two and a convolution of stride 1 are printed.
    """
    return (32,) * math.ceil(math.log2(max(image_shape[:2]) / 4))
