"""KerasTuner's oracles by name."""

from __future__ import annotations

import sys

import keras_tuner
import numpy as np

from tuner_gan.errors import ConfigError, closest

ORACLES = ("random", "hyperband", "bayesian", "grid")


def make_oracle(
    name: str, *, objective: str, direction: str, max_trials: int | None, max_epochs: int, seed: int
) -> keras_tuner.Oracle:
    """Builds an oracle by its name.

    Args:
        name: one of `ORACLES`.
        objective: the metric to optimise.
        direction: `"min"` or `"max"`.
        max_trials: how many trials at most; None for as many as the oracle has.
        max_epochs: epochs of the longest trial, for `"hyperband"`.
        seed: integer from 0.

    Raises:
        ConfigError: there is no oracle of that name.
    """
    common = {
        "objective": keras_tuner.Objective(objective, direction),
        # `seed or randint(...)` in KerasTuner turns a seed of 0 into a random one.
        "seed": 1 + int(np.random.SeedSequence([seed, 0x0AC1E]).generate_state(1)[0] >> 2),
        # A failed trial says so in the table; it never stops the search.
        "max_consecutive_failed_trials": sys.maxsize,
    }
    oracles = keras_tuner.oracles
    if name == "random":
        return oracles.RandomSearchOracle(max_trials=max_trials, **common)
    if name == "bayesian":
        return oracles.BayesianOptimizationOracle(max_trials=max_trials, **common)
    if name == "grid":
        return oracles.GridSearchOracle(max_trials=max_trials, **common)
    if name == "hyperband":
        oracle = oracles.HyperbandOracle(max_epochs=max_epochs, **common)
        oracle.max_trials = max_trials
        return oracle
    raise ConfigError(f"Unknown oracle {name!r}{closest(name, ORACLES)}: choose one of {', '.join(ORACLES)}.")
