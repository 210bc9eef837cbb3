"""A GAN as plain data: what a search space produces, what `networks` consumes, what a trial stores.

A trial is rebuilt from this data alone, so that editing a search space later never breaks an old
project.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tuner_gan.errors import ConfigError

Spec = TypeVar("Spec")

GENERATOR_NORMALIZATIONS = ("batch", "layer", "none")
DISCRIMINATOR_NORMALIZATIONS = ("spectral", "layer", "none")
"""Batch normalisation is left out: real and fake images share one pass, and would share statistics."""
MIN_SIDE, MAX_SIDE = 8, 256


@dataclass(frozen=True)
class GeneratorSpec:
    """Latents to images.

    Attributes:
        family: `"dense"`, hidden dense layers, or `"conv"`, a dense layer and then one stride-2 transposed
            convolution for each width.
        latent_dim: length of a latent vector, from 1.
        widths: units or channels of each hidden layer, the one nearest the latent first.
        kernel_size: side of the convolution kernels in pixels; unused when dense.
        normalization: after each hidden layer: batch, layer or none.
        activation: `"relu"` or `"leaky_relu"` (slope 0.2), after each hidden layer.
    """

    family: Literal["dense", "conv"]
    latent_dim: int
    widths: tuple[int, ...]
    kernel_size: int = 4
    normalization: Literal["batch", "layer", "none"] = "batch"
    activation: Literal["relu", "leaky_relu"] = "relu"


@dataclass(frozen=True)
class DiscriminatorSpec:
    """Images to one logit each, positive for real.

    Attributes:
        family: `"dense"` or `"conv"`.
        widths: units or channels of each hidden layer, the one nearest the image first.
        kernel_size: side of the convolution kernels in pixels; unused when dense.
        downsampling: how each convolution halves the map: `"stride"` or `"max_pool"`.
        normalization: spectral (arXiv:1802.05957), layer or none.
    """

    family: Literal["dense", "conv"]
    widths: tuple[int, ...]
    kernel_size: int = 4
    downsampling: Literal["stride", "max_pool"] = "stride"
    normalization: Literal["spectral", "layer", "none"] = "spectral"


@dataclass(frozen=True)
class TrainingSpec:
    """How the two networks are trained.

    Attributes:
        loss: the adversarial loss, a function of `tuner_gan.gan.losses`.
        generator_lr: Adam's learning rate of the generator.
        lr_ratio: learning rate of the discriminator divided by that of the generator
            (two time scales, arXiv:1706.08500).
        beta1: Adam's decay of the first moment, in [0, 1).
        beta2: Adam's decay of the second moment, in [0, 1).
        batch_size: real images a step; as many fakes are made.
        instance_noise: standard deviation, in image units of [-1, 1], of the Gaussian noise added to real *and*
            fake images at the first step; 0 for none.
        instance_noise_steps: steps over which that noise falls linearly to zero.
        ema_decay: decay a step of the averaged generator (arXiv:1806.04498), after a warm-up.
    """

    loss: Literal["non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic"] = (
        "non_saturating"
    )
    generator_lr: float = 5e-4
    lr_ratio: float = 1.0
    beta1: float = 0.5
    beta2: float = 0.999
    batch_size: int = 64
    instance_noise: float = 0.0
    instance_noise_steps: int = 1000
    ema_decay: float = 0.995


@dataclass(frozen=True)
class GANArchitecture:
    """Everything that is needed to build a GAN and train it.

    Attributes:
        image_shape: height, width and channels; sides from 8 to 256 pixels, 1 or 3 channels.
        generator: the generator's layers.
        discriminator: the discriminator's layers.
        training: the training recipe.

    Raises:
        ConfigError: a value is of the wrong type or out of its range; the message names it.
    """

    image_shape: tuple[int, int, int]
    generator: GeneratorSpec
    discriminator: DiscriminatorSpec
    training: TrainingSpec = TrainingSpec()

    def __post_init__(self) -> None:
        _check_types(self, "architecture")
        height, width, channels = self.image_shape
        if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE and channels in (1, 3)):
            raise ConfigError(
                f"image_shape must be height and width from {MIN_SIDE} to {MAX_SIDE} with 1 or 3 channels, "
                f"but got {self.image_shape}."
            )
        for side in ("generator", "discriminator"):
            spec = getattr(self, side)
            if not spec.widths or min(spec.widths) < 1:
                raise ConfigError(f"{side}.widths must hold at least one positive width, but got {spec.widths}.")
            if spec.kernel_size < 1:
                raise ConfigError(f"{side}.kernel_size must be at least 1, but got {spec.kernel_size}.")
        if self.generator.latent_dim < 1:
            raise ConfigError(f"generator.latent_dim must be at least 1, but got {self.generator.latent_dim}.")
        _check_training(self.training)

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready dictionary; `from_json` is its inverse."""
        value: dict[str, Any] = dataclasses.asdict(self)
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> GANArchitecture:
        """Rebuilds an architecture from what `to_json` gave.

        Raises:
            ConfigError: a field is missing, unknown, of the wrong type or out of its range.
        """
        return _from_json(cls, value, "architecture")


def _check_training(training: TrainingSpec) -> None:
    for name in ("generator_lr", "lr_ratio"):
        if not (math.isfinite(getattr(training, name)) and getattr(training, name) > 0):
            raise ConfigError(f"training.{name} must be a positive number, but got {getattr(training, name)}.")
    for name in ("beta1", "beta2", "ema_decay"):
        if not 0 <= getattr(training, name) < 1:
            raise ConfigError(f"training.{name} must lie in [0, 1), but got {getattr(training, name)}.")
    for name in ("batch_size", "instance_noise_steps"):
        if getattr(training, name) < 1:
            raise ConfigError(f"training.{name} must be at least 1, but got {getattr(training, name)}.")
    if not (math.isfinite(training.instance_noise) and training.instance_noise >= 0):
        raise ConfigError(f"training.instance_noise must be at least 0, but got {training.instance_noise}.")


def _from_json(kind: type[Spec], value: Any, path: str) -> Spec:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must be an object, but got {value!r}.")
    hints = typing.get_type_hints(kind)
    unknown, missing = value.keys() - hints.keys(), hints.keys() - value.keys()
    if unknown or missing:
        raise ConfigError(
            f"{path} must have the fields {', '.join(hints)}, but got {', '.join(map(str, value)) or 'none'}."
        )
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            fields[name] = _from_json(typing.cast(type[Any], hint), value[name], f"{path}.{name}")
        else:
            fields[name] = tuple(value[name]) if isinstance(value[name], list) else value[name]
    return kind(**fields)


def _check_types(spec: Any, path: str) -> None:
    """Refuses a value of another type than its field's, which would only surface deep inside Keras."""
    for name, hint in typing.get_type_hints(type(spec)).items():
        value = getattr(spec, name)
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, typing.cast(type[Any], hint)):
                raise ConfigError(f"{path}.{name} must be a {getattr(hint, '__name__', hint)}, but got {value!r}.")
            _check_types(value, f"{path}.{name}")
        elif not _matches(value, hint):
            expected = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
            raise ConfigError(f"{path}.{name} must be {expected.replace('typing.', '')}, but got {value!r}.")


def _matches(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, types.GenericAlias):
        return (
            isinstance(value, tuple)
            and all(_matches(item, int) for item in value)
            and (Ellipsis in typing.get_args(hint) or len(value) == len(typing.get_args(hint)))
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and not isinstance(value, bool)
