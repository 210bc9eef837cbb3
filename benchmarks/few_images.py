"""Trains on few images with and without augmentation, and scores against images that no training saw.

    python benchmarks/few_images.py

prints a Markdown table: the relative Frechet distance (fcd) to held-out images of the averaged generator during the
training, the smaller the better, for the plain recipe, for DiffAugment on every image, and for a share of them that
follows the discriminator (ADA). Each is trained from several seeds.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import keras
import numpy as np

from tuner_gan import datasets
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import GAN
from tuner_gan.quality import QualityEvaluator

EVERY = ("color", "translation", "cutout")
RECIPES: dict[str, dict[str, Any]] = {
    "no augmentation": {},
    "translation": {"augmentation": ("translation",)},
    "color, translation, cutout": {"augmentation": EVERY},
    "the same, adaptive": {"augmentation": EVERY, "adaptive_augmentation": True},
}


def main() -> None:
    """Prints the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist5k", help="as tuner-gan search --data")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rungs", type=int, default=4, help="times that a training is scored")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--normalization", default="spectral", help="of the discriminator")
    options = parser.parse_args()
    data = datasets.load(options.data).split(seed=0)
    quality = QualityEvaluator.fit(data, seed=0)
    chosen = np.random.default_rng(0).permutation(len(data.train))[: options.images]
    images = data.train.images[np.sort(chosen)]
    rungs = [options.steps * (rung + 1) // options.rungs for rung in range(options.rungs)]
    print(
        f"{len(images)} images of {data.name}, width {options.width}, normalisation of the discriminator: "
        f"{options.normalization}, Adam at {options.lr:g}, {options.seeds} seeds; "
        f"fcd of held-out real images: {quality.floor['fcd']:.4f}\n"
    )
    print(f"| fcd after steps | {' | '.join(map(str, rungs))} |")
    print(f"|---|{'---|' * len(rungs)}", flush=True)
    for name in options.recipes:
        runs = [_run(options, images, quality, RECIPES[name], seed) for seed in range(options.seeds)]
        means = [
            f"{statistics.fmean(scores):.3f} ± {statistics.pstdev(scores):.3f}" for scores in zip(*runs, strict=True)
        ]
        print(f"| {name} | {' | '.join(means)} |", flush=True)


def _run(
    options: argparse.Namespace, images: Any, quality: QualityEvaluator, recipe: dict[str, Any], seed: int
) -> list[float]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    width = options.width
    architecture = GANArchitecture(
        images.shape[1:],
        GeneratorSpec("conv", latent_dim=64, widths=(2 * width, width)),
        DiscriminatorSpec("conv", widths=(width, 2 * width), normalization=options.normalization),
        TrainingSpec(generator_lr=options.lr, **recipe),
    )
    gan = GAN(architecture, seed=seed)
    gan.compile(jit_compile=True)
    each = len(images) // architecture.training.batch_size
    scores = []
    for rung in range(options.rungs):
        epochs = options.steps * (rung + 1) // options.rungs // each
        gan.fit(images, epochs=epochs, initial_epoch=int(gan.steps) // each, verbose=0)
        scores.append(quality.score(gan.ema_generator)["fcd"])
    return scores


if __name__ == "__main__":
    main()
