"""Finalists: the best trials of a search, trained again from fresh seeds and judged in full.

The best of many scores is a lucky one as well. The mean over seeds that had no part in the choice is not.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import statistics
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from tuner_gan import files
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.quality.catalogue import CAS
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.quality.guards import FLAGS
from tuner_gan.results.export import load_generator
from tuner_gan.results.records import COMPLETED, FINALIST, TrialRecord
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search_spaces.base import declare, make_point

QUESTIONS_SHARE = 0.1
"""Share of a search's time that the second opinion on them may take; where it takes more, it is left out."""
SECONDS_A_FINALIST = 1.5
"""That the second opinion takes for one of them, about."""
WORTH_STARTING = 0.5
"""Share of the time of a training that must be left to start another one."""

TO_SPARE = 1.2
"""Times of the trainings of finalists are kept for them: a better trial may be a slower one."""


@dataclass(frozen=True)
class Questions:
    """What finalists are asked beyond the scores of every trial.

    Attributes:
        names: of the scores that answer; none where asking takes too long.
        seconds: that asking takes, about.
    """

    names: frozenset[str]
    seconds: float


@dataclass(frozen=True)
class FinalRound:
    """Which trials are finalists, and how their trainings share the time that is left.

    Attributes:
        quality: what scores them; it knows how long its questions take.
        count: finalists at most.
        seeds: trainings of each.
        epochs: of each training.
        conditional: whether they make classes, and so can teach a classifier (`cas`).
        max_time: seconds of the whole search; None for no limit.
        max_trial_time: seconds that a training of a trial may take; None for no limit.
        workers: processes that train finalists side by side, each one finalist at a time.
    """

    quality: QualityEvaluator
    count: int
    seeds: int
    epochs: int
    conditional: bool
    max_time: float | None
    max_trial_time: float | None
    workers: int

    @property
    def all_epochs(self) -> int:
        """Epochs of all trainings together, where there are as many finalists as there may be."""
        return self.count * self.seeds * self.epochs

    def choose(
        self, ranked: Iterable[TrialRecord], is_trained: Callable[[TrialRecord], bool], left: float | None
    ) -> list[TrialRecord]:
        """Chooses the best completed trials, as many as can be trained from all seeds, but one for each worker.

        Args:
            ranked: every trial of the search, best first.
            is_trained: tells of which trials there is a finalist already.
            left: seconds until the search ends; None for no limit.
        """
        chosen = self._candidates(ranked)
        while len(chosen) > self.workers and not self.fits(
            [trial for trial in chosen if not is_trained(trial)], len(chosen), left
        ):
            chosen.pop()
        return chosen

    def needed_s(self, ranked: Iterable[TrialRecord], most: float) -> float:
        """Seconds to keep for as many finalists as can be trained from all seeds in so much time, and be asked.

        Args:
            ranked: every trial of the search so far, best first.
            most: seconds that may be kept; all of them are where that is too little for one finalist, or where too few
                trials are completed to know.
        """
        trials = self._candidates(ranked)
        if len(trials) < self.count:
            return most
        while trials and not self.fits(trials, len(trials), most):
            trials.pop()
        if not trials:
            return most
        return min(most, TO_SPARE * self._training_s(trials) + self.questions(len(trials)).seconds)

    def fits(self, trials: Sequence[TrialRecord], asked: int, left: float | None) -> bool:
        """Tells whether there is time to train these trials from all seeds, and to ask about so many finalists."""
        if left is None:
            return True
        return self._training_s(trials) + self.questions(asked).seconds <= left

    def training_s(self, trial: TrialRecord) -> float:
        """Seconds that a training of all epochs takes, about: as long as those of the trial that it repeats.

        A trial whose time was over, or to which Hyperband gave fewer epochs, says how long an epoch takes.
        """
        each = max(0.001, (trial.duration_s or 0.0) / max(1, len(trial.executions)))
        epochs = statistics.fmean([one.epochs or self.epochs for one in trial.executions] or [self.epochs])
        # The step is traced once, however many epochs follow.
        once = min(each, statistics.fmean([one.compile_s or 0.0 for one in trial.executions] or [0.0]))
        return once + (each - once) * max(1.0, self.epochs / epochs)

    def limit(self, trials: Sequence[TrialRecord], left: float | None) -> float | None:
        """Seconds that each training of these finalists may take; None for no limit.

        Those of a worker share the time that is left evenly. Where it is short, that makes fewer trainings and not
        shorter ones: a longer training gains more than the luck of another seed.

        Args:
            trials: that are still to be trained again.
            left: seconds for all of that; None for no limit.
        """
        if left is None or not trials:
            return self.max_trial_time
        # The last one may be cut, but not below the share that makes it worth starting.
        trainings = max(1, math.floor(left / self._mean_s(trials) + 1 - WORTH_STARTING))
        return max(0.0, left) / min(self._row(trials), trainings)

    def questions(self, count: int) -> Questions:
        """What so many finalists are asked: as much as a tenth of the search's time allows, and can be answered."""
        most = sys.float_info.max if self.max_time is None else QUESTIONS_SHARE * self.max_time
        seconds = self.quality.second_fit_s + count * SECONDS_A_FINALIST
        if count == 0 or seconds > most:
            return Questions(frozenset(), 0.0)
        names = frozenset(self.quality.second_metrics)
        if self.conditional:
            taught = seconds + count * self.quality.cas_s
            if taught <= most:
                return Questions(names | {CAS}, taught)
        return Questions(names, seconds)

    def _candidates(self, ranked: Iterable[TrialRecord]) -> list[TrialRecord]:
        return [trial for trial in ranked if trial.status == COMPLETED and trial.origin != FINALIST][: self.count]

    def _row(self, trials: Sequence[TrialRecord]) -> int:
        """Trainings that a worker does one after the other, at most, where each trial is trained from all seeds."""
        return self.seeds * math.ceil(len(trials) / self.workers)

    def _training_s(self, trials: Sequence[TrialRecord]) -> float:
        """Seconds that training these trials from all seeds takes, about."""
        return self._row(trials) * self._mean_s(trials)

    def _mean_s(self, trials: Sequence[TrialRecord]) -> float:
        return statistics.fmean([self.training_s(trial) for trial in trials] or [0.0])


def finalist_id(trial: TrialRecord) -> str:
    """The id of the trial that repeats this one."""
    return f"{files.FINALIST_PREFIX}{trial.trial_id}"


def repeat(hypermodel: GANHyperModel, trial: TrialRecord) -> tuple[Callable[[], GAN], Callable[..., Any]]:
    """Makes what builds and what fits the GAN of a trial once more.

    The architecture is the stored one, whatever the search space has become. A `build` or `fit` of the user's does
    with it what it did in the trial, for which it gets the trial's hyperparameters.

    Args:
        hypermodel: of the search.
        trial: its record; a baseline was no work of the hypermodel.
    """
    space = _StoredArchitecture(trial.folder / files.ARCHITECTURE)
    if trial.origin == "baseline":
        return lambda: make_gan(space.sample(keras_tuner.HyperParameters())), GAN.fit
    known = trial.hyperparameters
    # Not its values alone: what `build` and `fit` declare may depend on what the search space has declared.
    hp = make_point(declare(hypermodel.search_space).space, lambda one: known.get(one.name, one.default))
    for name, value in known.items():
        if name not in hp:
            hp.Fixed(name, value)
    again = copy.copy(hypermodel)
    again.search_space = space
    # KerasTuner binds `build` to the object that it was made for, so the copy's own is called by its class.
    return functools.partial(type(again).build, again, hp), functools.partial(again.fit, hp)


def make_gan(architecture: GANArchitecture) -> GAN:
    """Builds and compiles the GAN of an architecture."""
    gan = GAN(architecture)
    gan.compile()
    return gan


class _StoredArchitecture:
    """A search space of one point: what a trial has on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        return GANArchitecture.from_json(files.read_json(self._path))


def ask(quality: QualityEvaluator, record: TrialRecord, names: Collection[str]) -> TrialRecord:
    """Asks the second classifier about a finalist's generator, and has it teach a third one.

    Args:
        quality: whose second classifier is asked.
        record: of the finalist; its generator is that of its best execution.
        names: of the scores wanted.

    Returns:
        The record with these scores, which are the best execution's, and with the flags that they raise.
    """
    generator = load_generator(record.folder / files.GENERATOR)
    scores = quality.evaluate(generator, second=True)
    found = quality.flags(scores)
    if CAS in names:
        scores[CAS] = quality.cas(generator)
    answers = {name: value for name, value in scores.items() if name in names}
    return dataclasses.replace(
        record,
        metrics={**record.metrics, **answers},
        flags=tuple(flag for flag in FLAGS if flag in found or flag in record.flags),
        executions=tuple(
            dataclasses.replace(one, metrics={**one.metrics, **answers})
            if one.execution == record.best_execution
            else one
            for one in record.executions
        ),
    )
