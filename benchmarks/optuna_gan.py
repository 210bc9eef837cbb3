"""The harder peer of `search.py`: the same textbook GAN in good ranges, searched by Optuna.

    python benchmarks/optuna_gan.py DATA.npz FOLDER

searches until it is stopped, prints a row each time that a GAN is scored and keeps the best generators in FOLDER, which
`search.py` judges. DATA.npz has x_train, y_train, x_test and y_test. TPE chooses, successive halving prunes at 3, 9 and
27 epochs, and what is left trains to 81. The generator of any of these moments counts, also of a pruned trial. tf.data
does not tune itself here, so that epochs do not end late.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import optuna
from found import Found
from textbook import dcgan, pipeline

from tuner_gan import datasets
from tuner_gan.quality import QualityEvaluator

RUNGS = (3, 9, 27, 81)
"""Epochs after which a trial is scored, as successive halving by three has them."""
BATCH = 64
LOWEST_LR, HIGHEST_LR = 1e-4, 2e-3
STARTUP_TRIALS = 5
"""Random ones: half of Optuna's own number, because minutes have few trials."""
CLASSIFIER_SEED = 2_000
"""Added to the seed, so that no side ranks by the same classifier."""


def main() -> None:
    """Searches until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path, help="exists")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    data = datasets.load(options.data).split(seed=options.seed)
    found = Found(options.folder, QualityEvaluator.fit(data, seed=CLASSIFIER_SEED + options.seed))
    batches = pipeline(data.train.images, BATCH, autotune=False)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        gan = dcgan(trial.suggest_int("depth", 2, 3), trial.suggest_int("width", 16, 48, step=8))
        rates = [
            trial.suggest_float(name, LOWEST_LR, HIGHEST_LR, log=True) for name in ("generator_lr", "discriminator_lr")
        ]
        gan.compile(*rates)
        about = f"depth {trial.params['depth']}, width {trial.params['width']}, {rates[0]:.1e}, {rates[1]:.1e}"
        score, epoch = float("inf"), 0
        for rung in RUNGS:
            gan.fit(batches, epochs=rung, initial_epoch=epoch, verbose=0)
            epoch = rung
            score = found.score(gan.generator, f"trial {trial.number}: {about}, {epoch} epochs")
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=options.seed, n_startup_trials=STARTUP_TRIALS),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=3),
    )
    study.optimize(objective)


if __name__ == "__main__":
    main()
