"""TPE for spaces with conditions, which models what a trial needs only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import scipy.special
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe import _truncnorm
from optuna.trial import FrozenTrial, TrialState


class _TPESampler(optuna.samplers.TPESampler):
    """Weighs what it has drawn with SciPy's logarithm of the normal distribution function.

    Optuna, which does without SciPy, computes that number by number in Python: after some hundred trials, for thousands
    of numbers for each width of a network, which takes two fifths of the time of a suggestion.
    """

    def _compute_acquisition_func(self, *args: Any) -> npt.NDArray[np.float64]:
        own = _truncnorm._log_ndtr
        _truncnorm._log_ndtr = scipy.special.log_ndtr
        try:
            return super()._compute_acquisition_func(*args)
        finally:
            _truncnorm._log_ndtr = own


class ConditionalTPESampler(optuna.samplers.BaseSampler):
    """Draws hyperparameters that have always occurred in the same trials together, when the first of them is asked for.

    Optuna's own `TPESampler(multivariate=True, group=True)` models the same groups (arXiv:2304.11127), but all of them
    for every trial, those of conditions that do not hold included, which takes most of its time. A sampler is for one
    trial.

    Args:
        distributions: of all hyperparameters, by name.
        startup_trials: trials that are drawn at random, before there is something to learn from.
        seed: integer in 0..2**32-1.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], startup_trials: int, seed: int) -> None:
        self._tpe = _TPESampler(
            multivariate=True,
            constant_liar=True,  # trials that run elsewhere count as bad ones
            n_startup_trials=startup_trials,
            seed=seed,
        )
        self._distributions = distributions
        self._groups: list[dict[str, BaseDistribution]] | None = None
        self._drawn: dict[str, Any] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: which hyperparameters a trial has is known as they are drawn."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draws a hyperparameter, and all of its group when it is the first of them."""
        if self._groups is None:
            self._groups = self._find_groups(study)
        if param_name not in self._drawn:
            group = next(one for one in self._groups if param_name in one)
            self._drawn |= self._tpe.sample_relative(study, trial, group)
        if param_name in self._drawn:
            return self._drawn[param_name]
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def _find_groups(self, study: optuna.Study) -> list[dict[str, BaseDistribution]]:
        """The hyperparameters that can have several values, by the trials in which they occur."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        past = [trial.params for trial in study.get_trials(deepcopy=False, states=states)]
        groups: dict[tuple[bool, ...], dict[str, BaseDistribution]] = {}
        for name, distribution in self._distributions.items():
            if not distribution.single():
                groups.setdefault(tuple(name in one for one in past), {})[name] = distribution
        return list(groups.values())
