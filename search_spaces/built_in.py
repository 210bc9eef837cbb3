"""What the built-in spaces share: all that they search besides family, depth and widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras_tuner

from tuner_gan.gan.architecture import (
    ACTIVATIONS,
    DISCRIMINATOR_NORMALIZATIONS,
    GENERATOR_NORMALIZATIONS,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
)
from tuner_gan.search_spaces.steering import Steerable
from tuner_gan.search_spaces.training import sample_training

KERNEL_SIZES = (3, 4, 5)
PER_IMAGE_NORMALIZATIONS = tuple(name for name in DISCRIMINATOR_NORMALIZATIONS if name != "batch")
"""Without batch normalisation, with which no penalty goes."""


class BuiltInSpace(Steerable):
    """What the built-in spaces have in common; each of them samples family and widths.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        classes: of conditional GANs; 0 for GANs without labels.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int = 0) -> None:
        self.image_shape = image_shape
        self.classes = classes

    def sample_rest(
        self,
        hp: keras_tuner.HyperParameters,
        family: str,
        widths: Mapping[str, tuple[int, ...]],
        *,
        latent_dims: Sequence[int] = (),
        activation: str = "relu",
    ) -> GANArchitecture:
        """Samples all that a GAN has besides its family and widths.

        Args:
            hp: where to declare it.
            family: of both networks.
            widths: of `"generator"` and `"discriminator"`, the one nearest the image first.
            latent_dims: choices for the length of a latent vector, the middle one the default; empty for those of the
                literature.
            activation: the default one of the generator.
        """
        channels = self.image_shape[2]
        latent_dims = latent_dims or ((32, 64, 128) if channels == 1 else (64, 128, 256))
        generator = _sample_generator(hp, family, widths["generator"], latent_dims, activation, self.classes)
        discriminator = _sample_discriminator(hp, family, widths["discriminator"], self.classes)
        return GANArchitecture(self.image_shape, generator, discriminator, sample_training(hp, channels), self.classes)


def _sample_generator(
    hp: keras_tuner.HyperParameters,
    family: str,
    widths: tuple[int, ...],
    latent_dims: Sequence[int],
    activation: str,
    classes: int,
) -> GeneratorSpec:
    normalizations = _fitting(GENERATOR_NORMALIZATIONS, family)
    normalization = hp.Choice("generator_normalization", normalizations, default="batch")
    chosen: dict[str, object] = {}
    if family == "conv":
        chosen["kernel_size"] = hp.Choice("generator_kernel_size", list(KERNEL_SIZES), default=4)
        chosen["upsampling"] = hp.Choice("generator_upsampling", ["transposed", "nearest"], default="transposed")
    elif family != "dense":
        chosen["attention"] = hp.Boolean("generator_attention", default=False)
    if classes:
        class_input = hp.Choice(
            "class_input",
            ["concatenation", "normalization"],
            default="concatenation",
            parent_name="generator_normalization",
            parent_values=[name for name in normalizations if name != "none"],
        )
        chosen["class_input"] = class_input or "concatenation"
    return GeneratorSpec(
        family=family,
        latent_dim=hp.Choice("latent_dim", list(latent_dims), default=latent_dims[len(latent_dims) // 2]),
        widths=widths[::-1],
        normalization=normalization,
        activation=hp.Choice("generator_activation", list(ACTIVATIONS), default=activation),
        **chosen,  # type: ignore[arg-type]
    )


def _sample_discriminator(
    hp: keras_tuner.HyperParameters, family: str, widths: tuple[int, ...], classes: int
) -> DiscriminatorSpec:
    chosen: dict[str, object] = {}
    if family == "conv":
        chosen["kernel_size"] = hp.Choice("discriminator_kernel_size", list(KERNEL_SIZES), default=4)
    elif family != "dense":
        chosen["attention"] = hp.Boolean("discriminator_attention", default=False)
    if classes:
        chosen["class_output"] = hp.Choice("class_output", ["projection", "auxiliary"], default="projection")
    return DiscriminatorSpec(
        family=family,
        widths=widths,
        normalization=hp.Choice(
            "discriminator_normalization", _fitting(PER_IMAGE_NORMALIZATIONS, family), default="spectral"
        ),
        activation=hp.Choice("discriminator_activation", list(ACTIVATIONS), default="leaky_relu"),
        dropout=hp.Choice("discriminator_dropout", [0.0, 0.25, 0.5], default=0.0),
        **chosen,  # type: ignore[arg-type]
    )


def _fitting(known: Sequence[str], family: str) -> list[str]:
    return [name for name in known if not (family == "dense" and name == "instance")]
