"""Trains each adversarial loss with each regulariser for the same number of steps, and scores what comes out.

    python benchmarks/losses.py /usr/share/datasets/fashion-mnist

prints a Markdown table: the relative Frechet distance (fcd) of the averaged generator by a classifier of the data, the
smaller the better, and what went wrong, if anything. The data are any that tuner-gan takes; Debian's package
dataset-fashion-mnist has Fashion-MNIST. One training from one seed for each: a few per cent of a difference are noise.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import keras

from tuner_gan import datasets
from tuner_gan.errors import DegenerateError
from tuner_gan.gan.architecture import (
    LOSS_NAMES,
    SMOOTHED,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
    TrainingSpec,
)
from tuner_gan.gan.model import GAN
from tuner_gan.quality import QualityEvaluator

REGULARISERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "spectral norm": ({"normalization": "spectral"}, {}),
    "R1": ({}, {"penalty": "r1", "penalty_weight": 0.3}),
    "R2": ({}, {"penalty": "r2", "penalty_weight": 0.3}),
    "R1 + R2": ({}, {"penalty": "r1_r2", "penalty_weight": 0.3}),
    "WGAN-GP": ({}, {"penalty": "gradient_penalty", "penalty_weight": 10.0}),
    "DRAGAN": ({}, {"penalty": "dragan", "penalty_weight": 10.0}),
    "dropout": ({"dropout": 0.25}, {}),
    "instance noise": ({}, {"instance_noise": 0.1, "instance_noise_steps": 500}),
    "smoothed labels": ({}, {"label_smoothing": 0.1}),
}
"""What differs in the discriminator, and in the recipe. The weights are the defaults of the search spaces."""


def main() -> None:
    """Prints the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="as tuner-gan search --data")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = datasets.load(options.data).split(seed=0)
    quality = QualityEvaluator.fit(data, seed=0)
    print(
        f"{data.name}, {options.steps} steps of {options.batch} images, width {options.width}, Adam at {options.lr:g}."
    )
    print(f"fcd of held-out real images: {quality.floor['fcd']:.4f}\n", flush=True)
    print(f"| loss | {' | '.join(REGULARISERS)} |")
    print(f"|---|{'---|' * len(REGULARISERS)}", flush=True)
    for loss in LOSS_NAMES:
        cells = [
            "" if name == "smoothed labels" and loss not in SMOOTHED else _run(options, data, quality, loss, *changes)
            for name, changes in REGULARISERS.items()
        ]
        print(f"| {loss} | {' | '.join(cells)} |", flush=True)


def _run(
    options: argparse.Namespace,
    data: datasets.DataSplits,
    quality: QualityEvaluator,
    loss: str,
    discriminator: dict[str, Any],
    training: dict[str, Any],
) -> str:
    keras.backend.clear_session()
    keras.utils.set_random_seed(options.seed)
    width = options.width
    architecture = GANArchitecture(
        data.image_shape,
        GeneratorSpec("conv", latent_dim=64, widths=(2 * width, width)),
        DiscriminatorSpec("conv", **{"widths": (width, 2 * width), "normalization": "none", **discriminator}),
        TrainingSpec(**{"loss": loss, "generator_lr": options.lr, "batch_size": options.batch, **training}),
    )
    gan = GAN(architecture, seed=options.seed)
    gan.compile()
    started = time.monotonic()
    images = data.train.images[: options.steps * options.batch]
    gan.fit(images, epochs=-(-options.steps // (len(images) // options.batch)), verbose=0)
    seconds = time.monotonic() - started
    try:
        scores = quality.score(gan.ema_generator)
    except DegenerateError as error:
        return error.flag
    print(f"<!-- {loss} {training or discriminator}: {int(gan.steps)} steps in {seconds:.0f} s -->", flush=True)
    return f"{scores['fcd']:.3f}"


if __name__ == "__main__":
    main()
