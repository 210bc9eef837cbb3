"""The plain peer of `search.py`: a textbook GAN and KerasTuner's own tuner, as a user would write it today.

    python benchmarks/plain_kerastuner.py DATA.npz FOLDER --tuner random

searches until it is stopped, prints a row for each trial and keeps the best generators in FOLDER, which `search.py`
judges. DATA.npz has x_train, y_train, x_test and y_test. A trial trains for 15 epochs and is scored once, after `fit`,
by a classifier of this side's own. Hyperband stops trials early and goes on with the better ones, as it always does.

Only what kept KerasTuner 1.4.8 from running at all is worked around: it imports tensorboard, which nothing installs any
more, and a GAN has to be built before weights are loaded into it. The pipeline is tf.data as it comes, whose autotuning
makes epochs end late; `optuna_gan.py` goes without it.
"""

from __future__ import annotations

import argparse
import functools
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
from found import Found
from textbook import LATENT_DIM, TextbookGAN, dcgan, pipeline

from tuner_gan import datasets
from tuner_gan.quality import QualityEvaluator

EPOCHS = 15
BATCH = 64
LOWEST_LR, HIGHEST_LR = 1e-5, 1e-2
ENDLESS = 1_000
"""Trials, or rounds of Hyperband, that no run gets to."""
CLASSIFIER_SEED = 1_000
"""Added to the seed, so that no side ranks by the same classifier."""


class PlainHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """Depth, width and learning rates of the textbook's DCGAN.

    Args:
        found: what scores a generator.
    """

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found

    def build(self, hp: keras_tuner.HyperParameters) -> TextbookGAN:
        """Builds and compiles a GAN."""
        gan = dcgan(hp.Int("depth", 1, 3), hp.Choice("width", [16, 32, 64]))
        rates = [hp.Float(name, LOWEST_LR, HIGHEST_LR, sampling="log") for name in ("generator_lr", "discriminator_lr")]
        gan.compile(*rates)
        gan.build((None, LATENT_DIM))
        return gan

    def fit(self, hp: keras_tuner.HyperParameters, model: TextbookGAN, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains a GAN, then scores it."""
        model.fit(*args, **kwargs)
        about = f"depth {hp['depth']}, width {hp['width']}, {hp['generator_lr']:.1e}, {hp['discriminator_lr']:.1e}"
        return {"fcd": self.found.score(model.generator, f"{about}, {kwargs['epochs']} epochs")}


def main() -> None:
    """Searches until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path, help="exists")
    parser.add_argument("--tuner", choices=("random", "bayesian", "hyperband"), default="random")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    data = datasets.load(options.data).split(seed=options.seed)
    quality = QualityEvaluator.fit(data, seed=CLASSIFIER_SEED + options.seed)
    keras_tuner.Tuner._configure_tensorboard_dir = lambda *_: None
    tuner = _tuner(options.tuner)(
        hypermodel=PlainHyperModel(Found(options.folder, quality)),
        objective=keras_tuner.Objective("fcd", "min"),
        seed=options.seed + 1,  # KerasTuner takes 0 for none
        directory=options.folder,
        project_name="kerastuner",
    )
    tuner.search(pipeline(data.train.images, BATCH, autotune=True), epochs=EPOCHS, verbose=0)


def _tuner(name: str) -> Any:
    if name == "hyperband":
        return functools.partial(keras_tuner.Hyperband, max_epochs=EPOCHS, hyperband_iterations=ENDLESS)
    kind = keras_tuner.RandomSearch if name == "random" else keras_tuner.BayesianOptimization
    return functools.partial(kind, max_trials=ENDLESS)


if __name__ == "__main__":
    main()
