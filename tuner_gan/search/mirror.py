"""A copy of a study in memory, for samplers to work on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


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
        self._clear()

    def _clear(self) -> None:
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, study_name=self._name, direction=self._direction)
        self._study_id = self._storage.get_study_id_from_name(self._name)
        self._ids: list[int] = []

    def update(self, trials: Sequence[FrozenTrial], notes: Mapping[str, Any]) -> None:
        """Takes over trials that are new, or have ended.

        Args:
            trials: all trials of the study, in the order of their numbers.
            notes: what samplers have noted of the study, its system attributes.
        """
        if len(self._ids) > len(trials):  # the last one that was drawn here never reached the study
            self._clear()
        for frozen in trials[: len(self._ids)]:
            if frozen.state.is_finished() and not self._get(frozen.number).state.is_finished():
                trial_id = self._ids[frozen.number]
                for step, value in frozen.intermediate_values.items():
                    self._storage.set_trial_intermediate_value(trial_id, step, value)
                self._storage.set_trial_state_values(trial_id, frozen.state, frozen.values)
        for frozen in trials[len(self._ids) :]:
            self._ids.append(self._storage.create_new_trial(self._study_id, frozen))
        for key, value in notes.items():
            self._storage.set_study_system_attr(self._study_id, key, value)

    def _get(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[number])

    @property
    def notes(self) -> dict[str, Any]:
        """What samplers have noted of the study."""
        return dict(self._storage.get_study_system_attrs(self._study_id))

    def ask(
        self,
        sampler: optuna.samplers.BaseSampler,
        pruner: optuna.pruners.BasePruner,
        fixed: Mapping[str, Any] | None = None,
    ) -> optuna.Trial:
        """Begins a trial, which is then given its values.

        Args:
            sampler: draws its values.
            pruner: of the study.
            fixed: values that are not drawn, as Optuna sees them; None for none.
        """
        self._study.sampler, self._study.pruner = sampler, pruner
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        self._ids.append(trial._trial_id)
        return trial

    def freeze(self, number: int, attributes: Mapping[str, Any]) -> FrozenTrial:
        """Returns a trial as it is to be written to the study, with user attributes."""
        frozen = copy.copy(self._get(number))
        frozen.user_attrs = {**frozen.user_attrs, **attributes}
        return frozen
