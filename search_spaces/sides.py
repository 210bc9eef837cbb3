"""The layers of generator and discriminator that the built-in spaces search besides depth and widths."""

from __future__ import annotations

from collections.abc import Sequence

import keras_tuner

from tuner_gan.gan.architecture import (
    ACTIVATIONS,
    DISCRIMINATOR_NORMALIZATIONS,
    GENERATOR_NORMALIZATIONS,
    DiscriminatorSpec,
    GeneratorSpec,
)

KERNEL_SIZES = (3, 4, 5)
PER_IMAGE_NORMALIZATIONS = tuple(name for name in DISCRIMINATOR_NORMALIZATIONS if name != "batch")
"""Without batch normalisation, with which no penalty goes."""


def latent_choices(channels: int) -> list[int]:
    """Lengths of latent vectors for grey and for colour images; the middle one is the default."""
    return [32, 64, 128] if channels == 1 else [64, 128, 256]


def sample_generator(
    hp: keras_tuner.HyperParameters,
    family: str,
    widths: tuple[int, ...],
    latent_dims: Sequence[int],
    *,
    activation: str = "relu",
    classes: int = 0,
) -> GeneratorSpec:
    """Samples what a generator of a family has besides its widths.

    Args:
        hp: where to declare `latent_dim` and what begins with `generator_`.
        family: of its layers.
        widths: the one nearest the image first, as they are sampled.
        latent_dims: choices; the middle one is the default.
        activation: the default one.
        classes: of a conditional generator; 0 for none.
    """
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


def sample_discriminator(
    hp: keras_tuner.HyperParameters, family: str, widths: tuple[int, ...], *, classes: int = 0
) -> DiscriminatorSpec:
    """Samples what a discriminator of a family has besides its widths.

    Args:
        hp: where to declare what begins with `discriminator_`.
        family: of its layers.
        widths: the one nearest the image first.
        classes: of a conditional discriminator; 0 for none.
    """
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
