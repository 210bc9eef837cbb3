"""The searchable training recipe, shared by the built-in spaces."""

from __future__ import annotations

import keras_tuner

from tuner_gan.gan.architecture import TrainingSpec


def sample_training(hp: keras_tuner.HyperParameters, channels: int) -> TrainingSpec:
    """Samples learning rates, Adam's beta1 and the batch size.

    The discriminator's rate is searched as a ratio (TTUR, arXiv:1706.08500): rates of both sides go up and
    down together, so their ratio is the direction that matters. Ranges follow Lucic et al. 2018
    (arXiv:1711.10337) for grey images, and Kurach et al. 2019 (arXiv:1807.04720) for colour.

    Args:
        hp: where to declare `generator_lr`, `lr_ratio`, `beta1` and `batch_size`.
        channels: 1 or 3, the channels of the images.
    """
    grey = channels == 1
    lowest, default, highest = (5e-5, 5e-4, 3e-3) if grey else (5e-5, 2e-4, 5e-4)
    return TrainingSpec(
        generator_lr=hp.Float("generator_lr", lowest, highest, sampling="log", default=default),
        lr_ratio=hp.Float("lr_ratio", 0.5, 4.0, sampling="log", default=1.0),
        beta1=hp.Choice("beta1", [0.0, 0.5], default=0.5 if grey else 0.0),
        # Kurach et al. pair beta1 = 0 with beta2 = 0.9 on colour images; Lucic et al. keep 0.999 throughout.
        beta2=0.999 if grey else 0.9,
        batch_size=hp.Choice("batch_size", [64, 128], default=64),
    )
