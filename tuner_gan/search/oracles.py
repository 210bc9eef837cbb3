"""KerasTuner's oracles by name.

`random` and `bayesian` try the defaults of the space first.
"""

from __future__ import annotations

import sys
from typing import Any, cast

import keras_tuner
import numpy as np

from tuner_gan.errors import ConfigError, closest
from tuner_gan.search_spaces.base import make_point

ORACLES = ("random", "hyperband", "bayesian", "grid")


class _DefaultsFirst:
    """Starts with the defaults of the space, which are the literature's, before anything else is tried."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        oracle = cast(keras_tuner.Oracle, self)
        if oracle.start_order:
            response: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
            return response
        hp = make_point(oracle.get_space().space, lambda parameter: parameter.default)
        return {"status": "RUNNING", "values": hp.values}


class RandomOracle(_DefaultsFirst, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """KerasTuner's random search, after the defaults."""


class BayesianOracle(_DefaultsFirst, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """KerasTuner's Bayesian optimisation, after the defaults."""


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
    if name == "random":
        return RandomOracle(max_trials=max_trials, **common)
    if name == "bayesian":
        return BayesianOracle(max_trials=max_trials, **common)
    if name == "grid":
        return keras_tuner.oracles.GridSearchOracle(max_trials=max_trials, **common)
    if name == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=max_epochs, **common)
        oracle.max_trials = max_trials
        return oracle
    raise ConfigError(f"Unknown oracle {name!r}{closest(name, ORACLES)}: choose one of {', '.join(ORACLES)}.")
