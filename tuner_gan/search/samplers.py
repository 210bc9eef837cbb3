"""Optuna's samplers and pruners by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from tuner_gan.errors import require, unknown
from tuner_gan.search.conditional_tpe import ConditionalTPESampler
from tuner_gan.search.names import PRUNERS, SAMPLERS

STARTUP_TRIALS = 5
"""Trials before TPE learns from them, those that were asked for among them: a search has a dozen, not a hundred."""
MOST_SEEN_BY_TPE = 250
"""Completed and pruned trials that TPE is shown: from so many on it takes 25 for good ones (a tenth of fewer), and its
time for a suggestion grows with the others, of which it needs the density only."""
REDUCTION_FACTOR = 3
"""One trial in so many is trained on from each rung (asynchronous successive halving, arXiv:1810.05934)."""
POPULATION = 10
"""Trials of a generation of NSGA-II: Optuna's 50 would be a search without a second one."""


def make_sampler(
    name: str, study_seed: int, trial_seed: int, distributions: Mapping[str, BaseDistribution]
) -> optuna.samplers.BaseSampler:
    """Builds a sampler for a trial.

    `tpe` models the hyperparameters together, and those of each condition among themselves. `cmaes`
    (arXiv:1604.00772), `qmc` (scrambled Sobol points) and `nsga2` need a fixed set of hyperparameters and draw what is
    conditional at random. `cmaes` keeps its state as a pickle in the study: open studies of your own only.

    Args:
        name: one of `names.SAMPLERS`.
        study_seed: integer in 0..2**32-1, the same for all trials of a study.
        trial_seed: integer in 0..2**32-1, another for each trial, so that its values follow from the trials before
            it, whichever process asks.
        distributions: of all hyperparameters, by name.

    Raises:
        ConfigError: there is no sampler of that name, or its package is missing.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    make: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: ConditionalTPESampler(distributions, STARTUP_TRIALS, trial_seed),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=trial_seed, warn_independent_sampling=False),
        "qmc": lambda: optuna.samplers.QMCSampler(
            scramble=True,
            seed=study_seed,  # its trials are points of one sequence
            independent_sampler=optuna.samplers.RandomSampler(trial_seed),
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        ),
        "random": lambda: optuna.samplers.RandomSampler(trial_seed),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=trial_seed),
    }
    if name == "cmaes":
        require("cmaes", "The sampler 'cmaes'", "cmaes")
    with warnings.catch_warnings():
        # Scrambling and what TPE does here are called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make[name]()


def make_pruner(name: str, first_rung: int, last_rung: int) -> optuna.pruners.BasePruner:
    """Builds a pruner.

    Args:
        name: one of `names.PRUNERS`. `wilcoxon` compares trials execution by execution, so it needs several of each.
        first_rung: epoch of the first score of a training.
        last_rung: epoch of the last one.

    Raises:
        ConfigError: there is no pruner of that name.
    """
    make: dict[str, Callable[[], Any]] = {
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(
            min_resource=first_rung, reduction_factor=REDUCTION_FACTOR
        ),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(
            min_resource=first_rung, max_resource=last_rung, reduction_factor=REDUCTION_FACTOR
        ),
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        "wilcoxon": optuna.pruners.WilcoxonPruner,
        "none": optuna.pruners.NopPruner,
    }
    if name not in make:
        raise unknown("pruner", name, PRUNERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made: optuna.pruners.BasePruner = make[name]()
    return made
