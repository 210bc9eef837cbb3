"""A copy of a study in memory, for samplers to work on."""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner_gan.errors import ProjectError

BEST = 25
"""Trials that TPE takes for good ones, at most (`optuna.samplers._tpe.sampler.default_gamma`)."""


class StudyMirror:
    """A copy of a study's trials in memory.

    A sampler reads all trials for every group of conditional hyperparameters, and writes one hyperparameter at a time:
    on a database that takes seconds a suggestion for what takes milliseconds in memory.

    Args:
        name: of the study; some pruners draw by it.
        direction: of the objective.
    """

    def __init__(self, name: str, direction: StudyDirection) -> None:
        self._name = name
        self._direction = direction
        self.clear()

    def clear(self) -> None:
        """Forgets all trials, of which the last one that was drawn here may have come to nothing."""
        self._storage = _Storage()
        self._study = optuna.create_study(storage=self._storage, study_name=self._name, direction=self._direction)
        self._study_id = self._storage.get_study_id_from_name(self._name)
        self._ids: list[int] = []
        self._unfinished: set[int] = set()
        self._scored: list[tuple[tuple[bool, int, float], int]] = []
        self._distributions: dict[str, BaseDistribution] = {}

    def update(self, trials: Sequence[FrozenTrial], notes: Mapping[str, Any]) -> None:
        """Takes over trials that are new, or have ended.

        Args:
            trials: all trials of the study, in the order of their numbers.
            notes: what samplers have noted of the study, its system attributes.
        """
        if len(self._ids) > len(trials):  # the last one that was drawn here never reached the study
            self.clear()
        for number in sorted(self._unfinished):
            frozen = trials[number]
            if frozen.state.is_finished():
                trial_id = self._ids[number]
                for step, value in frozen.intermediate_values.items():
                    self._storage.set_trial_intermediate_value(trial_id, step, value)
                self._storage.set_trial_state_values(trial_id, frozen.state, frozen.values)
                self._unfinished.remove(number)
                self._rank(frozen)
        for frozen in trials[len(self._ids) :]:
            self._ids.append(self._storage.create_new_trial(self._study_id, frozen))
            self._distributions = frozen.distributions | self._distributions
            if frozen.state.is_finished():
                self._rank(frozen)
            else:
                self._unfinished.add(frozen.number)
        for key, value in notes.items():
            self._storage.set_study_system_attr(self._study_id, key, value)

    def _get(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[number])

    @property
    def notes(self) -> dict[str, Any]:
        """What samplers have noted of the study."""
        return dict(self._storage.get_study_system_attrs(self._study_id))

    def check(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Compares the distributions of all hyperparameters, by name, with those of earlier trials.

        Raises:
            ProjectError: one has other choices, or is of another type.
        """
        for name, distribution in distributions.items():
            try:
                check_distribution_compatibility(self._distributions.get(name, distribution), distribution)
            except ValueError as error:
                raise ProjectError(
                    f"The study has trials for which {name} had another type or other choices: choose another project "
                    "name, or overwrite the project."
                ) from error

    def ask(
        self,
        sampler: optuna.samplers.BaseSampler,
        pruner: optuna.pruners.BasePruner,
        fixed: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> optuna.Trial:
        """Begins a trial, which is then given its values.

        Args:
            sampler: draws its values.
            pruner: of the study.
            fixed: values that are not drawn, as Optuna sees them; None for none.
            most: completed and pruned trials that the sampler sees, at least 26; None for all. Of more it sees the
                best 25, and others evenly spread from the first to the latest.
        """
        self._study.sampler, self._study.pruner = sampler, pruner
        self._storage.hidden = frozenset()
        if most is not None:
            self._storage.hidden = self._choose_hidden(most)
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        self._ids.append(trial._trial_id)
        self._unfinished.add(trial.number)
        return trial

    def _choose_hidden(self, most: int) -> frozenset[int]:
        """The ids of the trials that a sampler is not shown."""
        if len(self._scored) <= most:
            return frozenset()
        others = sorted(self._ids[number] for _, number in self._scored[BEST:])
        places = np.linspace(0, len(others) - 1, most - BEST).round().astype(int)
        return frozenset(others) - {others[place] for place in places}

    def _rank(self, trial: FrozenTrial) -> None:
        """Adds a finished trial to those that have a score, the best first."""
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            bisect.insort(self._scored, (self._badness(trial), trial.number))

    def _badness(self, trial: FrozenTrial) -> tuple[bool, int, float]:
        """Sorts trials as TPE does: by their values; behind them those that were pruned, the earlier the worse."""
        last = max(trial.intermediate_values.items(), default=(0, math.nan))
        step, value = (0, trial.value) if trial.state == TrialState.COMPLETE else last
        if value is None or math.isnan(value):
            value = math.inf
        elif self._direction == StudyDirection.MAXIMIZE:
            value = -value
        return trial.state != TrialState.COMPLETE, -step, value

    def freeze(self, number: int, attributes: Mapping[str, Any]) -> FrozenTrial:
        """Returns a trial as it is to be written to the study, with user attributes."""
        frozen = copy.copy(self._get(number))
        frozen.user_attrs = {**frozen.user_attrs, **attributes}
        return frozen


class _Storage(optuna.storages.InMemoryStorage):
    """Keeps some trials from who asks for all of them."""

    hidden: frozenset[int] = frozenset()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in trials if trial._trial_id not in self.hidden] if self.hidden else trials
