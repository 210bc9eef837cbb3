"""A GAN as plain data: what a search space produces, what `networks` consumes, what a trial stores.

A trial is rebuilt from this data alone, so that editing a search space later never breaks an old
project.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tuner_gan.errors import ConfigError
from tuner_gan.gan.plain_data import check_types, from_json
from tuner_gan.image_arrays import MAX_SIDE, MIN_SIDE

Loss = Literal["non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic"]
Penalty = Literal["none", "r1", "r2", "r1_r2", "gradient_penalty", "dragan"]
Optimizer = Literal["adam", "adamw", "rmsprop"]
Augmentation = Literal["color", "translation", "cutout"]
GeneratorNormalization = Literal["batch", "layer", "group", "instance", "none"]
DiscriminatorNormalization = Literal["spectral", "batch", "layer", "group", "instance", "none"]
Activation = Literal["relu", "leaky_relu", "gelu", "silu"]

LOSS_NAMES: tuple[Loss, ...] = get_args(Loss)
SMOOTHED: tuple[Loss, ...] = ("non_saturating", "minimax", "least_squares")
"""Losses whose target for real images can be smoothed."""
PENALTY_NAMES: tuple[Penalty, ...] = get_args(Penalty)
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)
GENERATOR_NORMALIZATIONS: tuple[GeneratorNormalization, ...] = get_args(GeneratorNormalization)
DISCRIMINATOR_NORMALIZATIONS: tuple[DiscriminatorNormalization, ...] = get_args(DiscriminatorNormalization)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True)
class GeneratorSpec:
    """Latents to images.

    Attributes:
        family: `"dense"`, hidden dense layers; `"conv"`, a dense layer and then one doubling of the map for each width;
            `"resnet"`, a dense layer and then one residual block for each width; or the name of your own
            `tuner_gan.gan.blocks.Block`.
        latent_dim: length of a latent vector, from 1.
        widths: units or channels of each hidden layer or block, the one nearest the latent first.
        kernel_size: side of the convolution kernels in pixels; only in `"conv"`.
        upsampling: how `"conv"` doubles a map: by a transposed convolution of stride 2, or by repeating pixels and a
            convolution, which leaves no checkerboard (Odena et al. 2016, doi:10.23915/distill.00003).
        normalization: batch, layer (of each pixel's channels), group (arXiv:1803.08494), instance (of each channel's
            pixels, so not where there is only one) or none.
        activation: relu, leaky_relu (slope 0.2), gelu or silu.
        attention: whether a layer of self-attention (SAGAN, arXiv:1805.08318) stands among the blocks; not in `"dense"`
            and `"conv"`.
        class_input: how a conditional generator is told the class: its embedding beside the latents, or scale and shift
            of every normalisation (arXiv:1610.07629, 1707.00683).
    """

    family: str
    latent_dim: int
    widths: tuple[int, ...]
    kernel_size: int = 4
    upsampling: Literal["transposed", "nearest"] = "transposed"
    normalization: GeneratorNormalization = "batch"
    activation: Activation = "relu"
    attention: bool = False
    class_input: Literal["concatenation", "normalization"] = "concatenation"


@dataclass(frozen=True)
class DiscriminatorSpec:
    """Images to one logit each, positive for real.

    Attributes:
        family: as for the generator; `"conv"` halves the map once for each width.
        widths: units or channels of each hidden layer or block, the one nearest the image first.
        kernel_size: side of the convolution kernels in pixels; only in `"conv"`.
        downsampling: how `"conv"` halves a map: `"stride"` or `"max_pool"`.
        normalization: spectral (of weights, arXiv:1802.05957), or of features as for the generator. Batch normalisation
            ties the images of a batch together, so no penalty goes with it (arXiv:1704.00028, section 4).
        activation: leaky_relu (slope 0.2), relu, gelu or silu.
        dropout: share of features that are dropped after each layer or block in training, in [0, 1).
        attention: as for the generator.
        class_output: how a conditional discriminator looks at the class: its embedding projected on the features
            (arXiv:1802.05637), or by telling classes apart itself (AC-GAN, arXiv:1610.09585).
    """

    family: str
    widths: tuple[int, ...]
    kernel_size: int = 4
    downsampling: Literal["stride", "max_pool"] = "stride"
    normalization: DiscriminatorNormalization = "spectral"
    activation: Activation = "leaky_relu"
    dropout: float = 0.0
    attention: bool = False
    class_output: Literal["projection", "auxiliary"] = "projection"


@dataclass(frozen=True)
class TrainingSpec:
    """How the two networks are trained.

    Attributes:
        loss: the adversarial loss, a function of `tuner_gan.gan.losses`.
        label_smoothing: how far below 1 the target for real images lies, in [0, 1); one-sided, so that fakes keep 0
            (arXiv:1606.03498, section 3.4). Of `"non_saturating"`, `"minimax"` and `"least_squares"` only.
        penalty: on the discriminator's gradient by its input, a function of `tuner_gan.gan.penalties`, or none.
        penalty_weight: its factor, at least 0; without a penalty unused.
        critic_steps: batches that the discriminator is trained on for each step of the generator, from 1.
        optimizer: of both networks: Adam, AdamW (arXiv:1711.05101) or RMSprop.
        generator_lr: learning rate of the generator.
        lr_ratio: learning rate of the discriminator divided by that of the generator
            (two time scales, arXiv:1706.08500).
        beta1: decay of the first moment, in [0, 1); RMSprop has none.
        beta2: decay of the second moment, in [0, 1). RMSprop, which does not correct the bias of its start, makes a
            first step of 1 / sqrt(1 - beta2) learning rates, so give it a lower one, such as 0.9.
        weight_decay: of AdamW, at least 0; unused otherwise.
        batch_size: real images for each step of the discriminator; as many fakes are made.
        augmentation: what is done to real *and* fake images before the discriminator sees them (DiffAugment,
            arXiv:2006.10738), in this order; empty for nothing.
        adaptive_augmentation: whether each augmentation is applied to a share of the images only, which grows from 0
            while the discriminator is too sure of real images (ADA, arXiv:2006.06676), or to all; unused without
            augmentation.
        instance_noise: standard deviation, in image units of [-1, 1], of the Gaussian noise added to real *and*
            fake images at the first step; 0 for none.
        instance_noise_steps: steps over which that noise falls linearly to zero.
        ema_decay: decay a step of the averaged generator (arXiv:1806.04498), after a warm-up.
    """

    loss: Loss = "non_saturating"
    label_smoothing: float = 0.0
    penalty: Penalty = "none"
    penalty_weight: float = 1.0
    critic_steps: int = 1
    optimizer: Optimizer = "adam"
    generator_lr: float = 5e-4
    lr_ratio: float = 1.0
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 0.0
    batch_size: int = 64
    augmentation: tuple[Augmentation, ...] = ()
    adaptive_augmentation: bool = False
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
        classes: of a conditional GAN, from 2; 0 for a GAN without labels.

    Raises:
        ConfigError: a value is of the wrong type or out of its range, or does not go with another one; the message
            names it.
    """

    image_shape: tuple[int, int, int]
    generator: GeneratorSpec
    discriminator: DiscriminatorSpec
    training: TrainingSpec = TrainingSpec()
    classes: int = 0

    def __post_init__(self) -> None:
        check_types(self, "architecture")
        height, width, channels = self.image_shape
        if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE and channels in (1, 3)):
            raise ConfigError(
                f"image_shape must be height and width from {MIN_SIDE} to {MAX_SIDE} with 1 or 3 channels, "
                f"but got {self.image_shape}."
            )
        if self.classes < 0 or self.classes == 1:
            raise ConfigError(f"classes must be 0 for none, or at least 2, but got {self.classes}.")
        for side in ("generator", "discriminator"):
            _check_side(side, getattr(self, side), max(height, width))
        if self.generator.latent_dim < 1:
            raise ConfigError(f"generator.latent_dim must be at least 1, but got {self.generator.latent_dim}.")
        if self.classes and self.generator.class_input == "normalization" and self.generator.normalization == "none":
            raise ConfigError(
                "generator.class_input must be 'concatenation' where generator.normalization is 'none', "
                "but got 'normalization'."
            )
        if not 0 <= self.discriminator.dropout < 1:
            raise ConfigError(f"discriminator.dropout must lie in [0, 1), but got {self.discriminator.dropout}.")
        _check_training(self.training)
        if self.training.penalty != "none" and self.discriminator.normalization == "batch":
            raise ConfigError(
                "training.penalty must be 'none' with a batch-normalised discriminator, whose gradient by one image "
                f"depends on the others, but got {self.training.penalty!r}."
            )

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
        return from_json(cls, value, "architecture")


def _check_side(side: str, spec: GeneratorSpec | DiscriminatorSpec, pixels: int) -> None:
    if not spec.widths or min(spec.widths) < 1:
        raise ConfigError(f"{side}.widths must hold at least one positive width, but got {spec.widths}.")
    if spec.kernel_size < 1:
        raise ConfigError(f"{side}.kernel_size must be at least 1, but got {spec.kernel_size}.")
    # Of one value the normalised one is always 0.
    is_one_value = spec.family == "dense" or 2 ** len(spec.widths) >= pixels
    if spec.normalization == "instance" and is_one_value:
        why = "in a dense network" if spec.family == "dense" else f"with {len(spec.widths)} widths"
        raise ConfigError(
            f"{side}.normalization must not be 'instance' {why}, where a channel of an image of {pixels} pixels "
            "comes down to one value, but got 'instance'."
        )


def _check_training(training: TrainingSpec) -> None:
    for name in ("generator_lr", "lr_ratio"):
        if not (math.isfinite(getattr(training, name)) and getattr(training, name) > 0):
            raise ConfigError(f"training.{name} must be a positive number, but got {getattr(training, name)}.")
    for name in ("beta1", "beta2", "ema_decay", "label_smoothing"):
        if not 0 <= getattr(training, name) < 1:
            raise ConfigError(f"training.{name} must lie in [0, 1), but got {getattr(training, name)}.")
    for name in ("batch_size", "instance_noise_steps", "critic_steps"):
        if getattr(training, name) < 1:
            raise ConfigError(f"training.{name} must be at least 1, but got {getattr(training, name)}.")
    for name in ("instance_noise", "penalty_weight", "weight_decay"):
        if not (math.isfinite(getattr(training, name)) and getattr(training, name) >= 0):
            raise ConfigError(f"training.{name} must be at least 0, but got {getattr(training, name)}.")
    if training.label_smoothing and training.loss not in SMOOTHED:
        raise ConfigError(
            f"training.label_smoothing must be 0 with the loss {training.loss!r}, which has no target for real "
            f"images, but got {training.label_smoothing}."
        )
    if len(set(training.augmentation)) < len(training.augmentation):
        raise ConfigError(f"training.augmentation must name each augmentation once, but got {training.augmentation}.")
