"""The searchable training recipe, shared by the built-in spaces."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import (
    LOSS_NAMES,
    PENALTY_NAMES,
    SMOOTHED,
    Augmentation,
    Loss,
    Penalty,
    TrainingSpec,
)

AUGMENTATION_CHOICES: dict[str, tuple[Augmentation, ...]] = {
    "none": (),
    "translation": ("translation",),
    "color+translation": ("color", "translation"),
    "color+translation+cutout": ("color", "translation", "cutout"),
}
"""The policies of DiffAugment (arXiv:2006.10738), the last of which its authors take for few images."""
RMSPROP_BETA2 = 0.9
"""The decay of RMSprop that Hinton's lecture 6e (2012) gives, and Keras."""


def sample_training(hp: keras_tuner.HyperParameters, channels: int) -> TrainingSpec:
    """Samples loss, penalty, optimizer, batches and augmentation.

    The discriminator's rate is searched as a ratio (TTUR, arXiv:1706.08500): rates of both sides go up and
    down together, so their ratio is the direction that matters. Ranges follow Lucic et al. 2018
    (arXiv:1711.10337) for grey images, and Kurach et al. 2019 (arXiv:1807.04720) for colour.

    Args:
        hp: where to declare them.
        channels: 1 or 3, the channels of the images.
    """
    grey = channels == 1
    lowest, default, highest = (5e-5, 5e-4, 3e-3) if grey else (5e-5, 2e-4, 5e-4)
    loss = hp.Choice("loss", list(LOSS_NAMES), default="non_saturating")
    smoothing = hp.Choice("label_smoothing", [0.0, 0.1], default=0.0, parent_name="loss", parent_values=list(SMOOTHED))
    penalty, weight = _sample_penalty(hp, loss)
    optimizer = hp.Choice("optimizer", ["adam", "adamw", "rmsprop"], default="adam")
    adams = {"parent_name": "optimizer", "parent_values": ["adam", "adamw"]}
    adamw = {"parent_name": "optimizer", "parent_values": ["adamw"]}
    beta1 = hp.Choice("beta1", [0.0, 0.5], default=0.5 if grey else 0.0, **adams)
    decay = hp.Float("weight_decay", 1e-5, 1e-2, sampling="log", default=1e-3, **adamw)
    augmentation = hp.Choice("augmentation", list(AUGMENTATION_CHOICES), default="none")
    augmented = {
        "parent_name": "augmentation",
        "parent_values": [name for name in AUGMENTATION_CHOICES if name != "none"],
    }
    adaptive = hp.Boolean("adaptive_augmentation", default=False, **augmented)
    return TrainingSpec(
        loss=loss,
        label_smoothing=smoothing if loss in SMOOTHED else 0.0,
        penalty=penalty,
        penalty_weight=weight,
        critic_steps=hp.Choice("critic_steps", [1, 2] if grey else [1, 2, 5], default=1),
        optimizer=optimizer,
        generator_lr=hp.Float("generator_lr", lowest, highest, sampling="log", default=default),
        lr_ratio=hp.Float("lr_ratio", 0.5, 4.0, sampling="log", default=1.0),
        beta1=beta1 if optimizer != "rmsprop" else 0.0,
        # Kurach et al. pair beta1 = 0 with beta2 = 0.9 on colour images; Lucic et al. keep 0.999 throughout.
        # RMSprop does not correct its bias: with 0.999 its first step would be 32 learning rates long.
        beta2=hp.Choice("beta2", [0.9, 0.99, 0.999], default=0.999 if grey else 0.9, **adams) or RMSPROP_BETA2,
        weight_decay=decay if optimizer == "adamw" else 0.0,
        batch_size=hp.Choice("batch_size", [64, 128], default=64),
        augmentation=AUGMENTATION_CHOICES[augmentation],
        adaptive_augmentation=adaptive if augmentation != "none" else False,
        instance_noise=hp.Choice("instance_noise", [0.0, 0.05, 0.1], default=0.0),
    )


def _sample_penalty(hp: keras_tuner.HyperParameters, loss: Loss) -> tuple[Penalty, float]:
    """Samples the penalty and its weight.

    The Wasserstein loss has WGAN-GP's, without which it is none. The other losses choose; the weight of those that pull
    the gradient to 0 is gamma (arXiv:1801.04406), of those that pull it to 1 lambda (arXiv:1704.00028).
    """
    factor = hp.Float(
        "wasserstein_lambda", 1.0, 30.0, sampling="log", default=10.0, parent_name="loss", parent_values=["wasserstein"]
    )
    with hp.conditional_scope("loss", [name for name in LOSS_NAMES if name != "wasserstein"]):
        chosen = hp.Choice("penalty", list(PENALTY_NAMES), default="none")
        weights = {
            name: hp.Float(name, *limits, sampling="log", default=default, parent_name="penalty", parent_values=of)
            for name, limits, default, of in (
                ("penalty_gamma", (0.01, 10.0), 0.3, ["r1", "r2", "r1_r2"]),
                ("penalty_lambda", (0.1, 30.0), 10.0, ["gradient_penalty", "dragan"]),
            )
        }
    if loss == "wasserstein":
        return "gradient_penalty", factor
    return chosen, next((weight for weight in weights.values() if weight is not None), 0.0)
