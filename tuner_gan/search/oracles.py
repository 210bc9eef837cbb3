"""Oracles by name: Optuna's samplers, and those of KerasTuner that are not among them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np

from tuner_gan import files
from tuner_gan.errors import unknown
from tuner_gan.search.names import ORACLES, SAMPLERS
from tuner_gan.search.oracle import MendedOracle, OptunaOracle
from tuner_gan.search_spaces.base import Value, fill_point, make_point


class BayesianOracle(MendedOracle, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """KerasTuner's Bayesian optimisation, after the defaults of the space, which are the literature's.

    What it draws follows from the trials before and the seed, also where a search was interrupted in between.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the values of a trial; see `keras_tuner.Oracle`."""
        if self.start_order:
            # KerasTuner does not save the state of this generator.
            seed = np.random.SeedSequence([self.seed, len(self.start_order)])
            self._random_state = np.random.RandomState(seed.generate_state(1)[0])
            response: dict[str, Any] = super().populate_space(trial_id)
            return response
        return {"status": "RUNNING", "values": fill_point(self.get_space(), {})}


class HyperbandOracle(MendedOracle, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """KerasTuner's Hyperband; a project notes its oracle by this name."""


class GridSearchOracle(MendedOracle, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """KerasTuner's grid search; a project notes its oracle by this name."""

    # KerasTuner's own two mix up hyperparameters of one name that are declared under two conditions.

    def _compare(self, a: Mapping[str, Value], b: Mapping[str, Value]) -> int:
        """Tells which of two points comes first: -1 for `a`, 1 for `b`, 0 where they are the same."""
        for parameter in _active(self.get_space(), a):
            one, other = a[parameter.name], b[parameter.name]
            if one != other:
                choices = _in_order(parameter)
                return -1 if choices.index(one) < choices.index(other) else 1
        return 0

    def _get_next_combination(self, values: Mapping[str, Value]) -> dict[str, Value] | None:
        """Returns the point after another: the last hyperparameter that has a next value gets it, later ones defaults.

        None after the last one.
        """
        space = self.get_space()
        active = _active(space, values)
        for index, last in reversed(list(enumerate(active))):
            choices = _in_order(last)
            following = choices[choices.index(values[last.name]) + 1 :]
            if following:
                fixed = {id(parameter): values[parameter.name] for parameter in active[:index]}
                fixed[id(last)] = following[0]
                return dict(make_point(space.space, functools.partial(_value, fixed)).values)
        return None


def find_place(oracle: keras_tuner.oracles.GridSearchOracle) -> None:
    """Tells a grid search that goes on which trials it is at: KerasTuner forgets, and so would end the search."""
    values = {trial_id: oracle.trials[trial_id].hyperparameters.values for trial_id in oracle.start_order}
    oracle._ordered_ids = keras_tuner.src.tuners.gridsearch.LinkedList()
    for trial_id in sorted(values, key=functools.cmp_to_key(lambda a, b: oracle._compare(values[a], values[b]))):
        oracle._ordered_ids.insert(trial_id)
    oracle._populate_next = list(oracle.start_order)  # what comes after most of them was tried, and is not again


def _active(space: keras_tuner.HyperParameters, values: Mapping[str, Value]) -> list[Any]:
    """The hyperparameters of a space that a point has, in their order."""
    space.values = values
    return [parameter for parameter in space.space if parameter.name in values and space.is_active(parameter)]


def _value(fixed: Mapping[int, Value], parameter: Any) -> Value:
    value: Value = fixed.get(id(parameter), parameter.default)
    return value


def _in_order(parameter: Any) -> list[Value]:
    """What the grid has of a hyperparameter, the default first."""
    return [parameter.default, *(value for value in parameter.values if value != parameter.default)]


def make_oracle(
    name: str,
    *,
    objective: str,
    direction: str,
    max_trials: int | None,
    max_epochs: int,
    seed: int,
    pruner: str = "halving",
    storage: str | None = None,
    enqueue: Sequence[Mapping[str, Value]] = (),
    max_failures: int | None = None,
) -> keras_tuner.Oracle:
    """Builds an oracle by its name.

    Args:
        name: one of `names.ORACLES`.
        objective: the metric to optimise.
        direction: `"min"` or `"max"`.
        max_trials: how many trials at most; None for as many as the oracle has.
        max_epochs: epochs of the longest trial, for `"hyperband"`.
        seed: integer from 0.
        pruner, storage, enqueue: as in `OptunaOracle`, for Optuna's samplers only.
        max_failures: after so many failed trials in a row the search ends; None for never.

    Raises:
        ConfigError: there is no oracle of that name.
    """
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, direction),
        "max_consecutive_failed_trials": max_failures or sys.maxsize,
    }
    if name in SAMPLERS:
        return OptunaOracle(
            max_trials=max_trials,
            sampler=name,
            pruner=pruner,
            seed=seed,
            storage=storage,
            enqueue=enqueue,
            **common,
        )
    # `seed or randint(...)` in KerasTuner turns a seed of 0 into a random one.
    common["seed"] = 1 + int(np.random.SeedSequence([seed, 0x0AC1E]).generate_state(1)[0] >> 2)
    if name == "bayesian":
        return BayesianOracle(max_trials=max_trials, **common)
    if name == "grid":
        return GridSearchOracle(max_trials=max_trials, **common)
    if name == "hyperband":
        oracle = HyperbandOracle(max_epochs=max_epochs, **common)
        oracle.max_trials = max_trials
        return oracle
    raise unknown("oracle", name, ORACLES)


def name_oracle(oracle: keras_tuner.Oracle) -> str:
    """Returns what a project notes of its oracle: the name of an Optuna sampler, or a class."""
    return oracle.sampler if isinstance(oracle, OptunaOracle) else type(oracle).__name__


def name_storage(oracle: keras_tuner.Oracle) -> str | None:
    """Returns what a project notes of where its study is: no URL, which may have a password; None without a study."""
    if not isinstance(oracle, OptunaOracle):
        return None
    return files.STUDY if oracle.storage is None else "a database"
