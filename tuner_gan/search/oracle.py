"""An oracle for KerasTuner on Optuna: samplers, pruning, and storage that several processes share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import keras_tuner
import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.plain_numbers import check_count, plain
from tuner_gan.search.distributions import find_distribution, from_optuna, name_parameters, to_optuna
from tuner_gan.search.mirror import StudyMirror
from tuner_gan.search.samplers import MOST_SEEN_BY_TPE, make_pruner, make_sampler
from tuner_gan.search.storage import (
    OWNER,
    SHARED,
    ask_lock,
    is_owned,
    make_id,
    open_storage,
    patiently,
    release_trial,
    take_trial,
)
from tuner_gan.search_spaces.base import Value, active_values, allows, fill_point, make_point

VALUES = "hyperparameters"
"""User attribute of an Optuna trial: what KerasTuner calls its hyperparameters, as JSON."""
SCORE = "score"
"""User attribute: the score of a trial that was pruned, whose value is that of its last rung."""
MESSAGE = "message"
"""User attribute: why a trial failed."""
METRICS = "metrics"
"""User attribute: what KerasTuner keeps of a trial's metrics, and its best step, as JSON, if there is more to it than
the score."""
DECISION = "decision"
"""User attribute: the latest step that a pruner has judged, and whether it ends the trial."""
SPACE = "space"
"""User attribute of the study: the space, as JSON."""
ID = "trial_id"
"""User attribute: KerasTuner's name of the trial, whose number of digits depends on the limit of trials."""
SECONDS_IDLE = 0.5
"""Between two looks for a trial that another process leaves; KerasTuner itself would not pause."""
Result = TypeVar("Result")

optuna.logging.set_verbosity(optuna.logging.WARNING)  # a library does not print


@dataclasses.dataclass(frozen=True)
class LostTrial:
    """What is known of a trial that a study has lost.

    Attributes:
        state: of Optuna: `"RUNNING"`, `"COMPLETE"`, `"PRUNED"` or `"FAIL"`.
        values: its active hyperparameters.
        score: None where it has none.
        curve: its scores by epoch.
        message: why it failed; None otherwise.
    """

    trial_id: str
    state: str
    values: Mapping[str, Value]
    score: float | None = None
    curve: Mapping[int, float] = dataclasses.field(default_factory=dict)
    message: str | None = None


STATUSES = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "COMPLETED",
    TrialState.PRUNED: "COMPLETED",  # KerasTuner has no word for it
    TrialState.FAIL: "FAILED",
}


class MendedOracle(keras_tuner.Oracle):  # type: ignore[misc]
    """What KerasTuner's oracles are to do otherwise; to be named before one of them among the bases of a class."""

    _pruned: Set[str] = frozenset()
    """Trials that were pruned, which KerasTuner has no word for."""

    def get_best_trials(self, num_trials: int = 1) -> list[keras_tuner.engine.trial.Trial]:
        """Returns the best trials, completed ones before pruned ones, as in the table of results.

        There may be fewer: KerasTuner fills up with trials that run or have failed.
        """
        sign = -1 if self.objective.direction == "max" else 1
        scored = [trial for trial in self.trials.values() if trial.status == "COMPLETED" and trial.score is not None]
        scored.sort(key=lambda trial: (trial.trial_id in self._pruned, sign * trial.score))
        return scored[:num_trials]

    def end_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Ends a trial; see `keras_tuner.Oracle`.

        Raises:
            RuntimeError: it is the last one of as many failures in a row as there may be; all of it is saved by then.
        """
        super().end_trial(trial)
        limit = self.max_consecutive_failed_trials
        latest = [self.trials[trial_id].status for trial_id in self.end_order[-limit:]]
        is_last = self.end_order[-1:] == [trial.trial_id]  # no retry
        if is_last and len(latest) == limit and set(latest) == {"FAILED"}:
            raise RuntimeError(f"{limit} trials in a row failed")

    def _check_consecutive_failures(self) -> None:
        """Does nothing: KerasTuner's own looks at all trials there ever were.

        After one row of failures no search could go on. And it ends the search before the last of them is saved.
        """

    def _record_values(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Leaves a trial the values of active hyperparameters, completes them by defaults, and notes that it had them.

        KerasTuner's own takes the value of a name that is declared under two conditions for that of the one that does
        not hold, and draws another, or none.
        """
        hp = trial.hyperparameters
        for parameter in hp.space:
            if hp.is_active(parameter):
                hp.values.setdefault(parameter.name, parameter.default)
            elif not hp.is_active(parameter.name):
                hp.values.pop(parameter.name, None)
        point = keras_tuner.HyperParameters()  # which has no space, so that KerasTuner changes nothing
        point.values = hp.values
        super()._record_values(keras_tuner.engine.trial.Trial(point, trial.trial_id))


class OptunaOracle(MendedOracle):
    """Suggests hyperparameters by one of Optuna's samplers; works with any `keras_tuner.Tuner`.

    The study is in a database, by default `study.db` in the project folder, and every change is written to it at once.
    So a search goes on after whatever ended it, and several processes can share it: each holds a lock on the trial that
    it trains, and a trial whose process has died is taken up by the next that asks. A trial's number is its Optuna
    number, and its values follow from the trials before it and the seed.

    Args:
        objective: name of the metric, or `keras_tuner.Objective`; None minimises what a trial returns.
        max_trials: trials at most, over all processes; None for no limit.
        sampler: one of `names.SAMPLERS`.
        pruner: one of `names.PRUNERS`; it only prunes with a tuner that reports scores while it trains.
        seed: integer from 0.
        storage: URL of a database that Optuna can use, such as `"postgresql://user@host/name"`; None for the file.
        enqueue: points to try first, or next where a search goes on that has not tried them yet, each a mapping of
            hyperparameters to values; what a point leaves out has its default.
        hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial: as in `keras_tuner.Oracle`.
        max_consecutive_failed_trials: after so many failed trials in a row the search ends; None for never.

    Raises:
        ConfigError: there is no such sampler or pruner, or the seed is no integer from 0.

    References:
        Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework", arXiv:1907.10902.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        *,
        sampler: str = "tpe",
        pruner: str = "halving",
        seed: int = 0,
        storage: str | None = None,
        enqueue: Sequence[Mapping[str, Value]] = (),
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        seed = check_count("seed", seed, least=0)
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed + 1,  # KerasTuner takes 0 for none
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials or sys.maxsize,
        )
        make_sampler(sampler, 0, 0, {})
        make_pruner(pruner, 1, 1)
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.enqueue = tuple({name: plain(value) for name, value in point.items()} for point in enqueue)
        self._search_seed = seed
        self._study: optuna.Study | None = None
        self._retry_queue: list[str] = []
        self.ongoing_trials: dict[str, Any] = {}
        self._rungs = 1, 1
        self._given: dict[str, dict[str, Value]] = {}
        """The values of each trial, by id, as the study had them first."""
        self._untried = list(self.enqueue)
        """Points of which nobody has seen a trial yet."""
        self._enqueued_trials: set[str] = set()
        """Those of the others."""
        self._pruned: set[str] = set()
        self._stored_space: str | None = None
        self.only: Callable[[str], bool] | None = None
        """Which trials, by id, may still be run, all of them interrupted ones; None for those and new ones."""

    # The study.

    @property
    def where(self) -> str:
        """What messages call its database."""
        return files.STUDY if self.storage is None else SHARED

    @property
    def study(self) -> optuna.Study:
        """The Optuna study of this project; it is opened, or made, when it is first needed.

        Raises:
            ProjectError: the database cannot be opened, or is damaged.
        """
        if self._study is None:
            self._study = self._patiently(self._open_study)
        return self._study

    def _open_study(self) -> optuna.Study:
        direction = StudyDirection.MAXIMIZE if self._direction == "max" else StudyDirection.MINIMIZE
        self._database = open_storage(self.storage, Path(self._project_dir))
        self._mirror = StudyMirror(self._project_name, direction)
        study = optuna.create_study(
            storage=self._database,
            sampler=make_sampler(self.sampler, 0, 0, {}),
            pruner=make_pruner(self.pruner, *self._rungs),
            study_name=self._project_name,
            direction=direction,
            load_if_exists=True,
        )
        self._study_id = self._database.get_study_id_from_name(self._project_name)
        folder = Path(self._project_dir)
        if self.storage is not None and not is_owned(self._database, self._study_id, folder):
            study.set_user_attr(OWNER, make_id(folder))
        return study

    def _patiently(self, call: Callable[[], Result]) -> Result:
        return patiently(self.where, call)

    @property
    def _direction(self) -> str:
        direction: str = getattr(self.objective, "direction", "min")
        return direction

    def set_rungs(self, first: int, last: int) -> None:
        """Tells the pruner at which epoch a training is scored first, and last."""
        self._rungs = first, last
        if self._study is not None:
            self._study.pruner = make_pruner(self.pruner, first, last)

    # Trials.

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def create_trial(self, tuner_id: str) -> keras_tuner.engine.trial.Trial:
        """Returns a trial to run; see `keras_tuner.Oracle`.

        Its status is IDLE when there is none to begin, but another process may leave one that is to be taken up.
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        trial = self._patiently(self._ask)
        if trial.status == "RUNNING":
            self._save_trial(trial)
            self.tuner_ids.add(tuner_id)
            self.ongoing_trials[tuner_id] = trial
            self._display.on_trial_begin(trial)
        elif trial.status == "STOPPED":
            self.tuner_ids.discard(tuner_id)
        else:
            time.sleep(SECONDS_IDLE)
        return trial

    def _ask(self) -> keras_tuner.engine.trial.Trial:
        # For each try: a process that cannot reach the database keeps no other from asking.
        with ask_lock(Path(self._project_dir)):
            return self._next()

    def _next(self) -> keras_tuner.engine.trial.Trial:
        """A trial to run, or one that says IDLE or STOPPED."""
        self._synchronize()
        abandoned = self._take_up()
        if abandoned is not None:
            return abandoned
        begun = len(self.trials)
        if self.only is not None:
            return self._make_trial(self._trial_id(begun), {}, "STOPPED")
        if self.max_trials and begun >= self.max_trials:
            # Where KerasTuner's chief has given out every trial that still runs, none is left to wait for.
            status = "IDLE" if self._running_elsewhere() else "STOPPED"
            return self._make_trial(self._trial_id(begun), {}, status)
        study_seed, trial_seed = (
            int(np.random.SeedSequence([self._search_seed, *more]).generate_state(1)[0]) for more in ((), (begun,))
        )
        named = name_parameters(self.hyperparameters.space)
        distributions = {
            name: distribution
            for name, parameter in named.items()
            if (distribution := find_distribution(parameter)) is not None
        }
        self._mirror.check(distributions)
        self._store_space()
        sampler = make_sampler(self.sampler, study_seed, trial_seed, distributions)
        most = MOST_SEEN_BY_TPE if self.sampler == "tpe" else None
        asked = self._mirror.ask(sampler, self.study.pruner, self._enqueued(named), most)
        trial_id = self._trial_id(asked.number)
        values = _draw(asked, named, distributions)
        # First of all, because a trial that nobody has locked is taken up.
        if not take_trial(Path(self._project_dir), trial_id):
            raise ProjectError(
                f"Trial {trial_id} is none of the study in {files.STUDY}, but another process runs it: the study was "
                "damaged or replaced, so let all processes of this search end, then run it again."
            )
        attributes = {ID: trial_id, VALUES: json.dumps(values)}
        try:
            self.study.add_trial(self._mirror.freeze(asked.number, attributes))
            for key, note in self._mirror.notes.items():
                self._database.set_study_system_attr(self._study_id, key, note)
        except Exception:
            # Whoever asks next draws a trial of this number, or takes this one up, if the study has it.
            release_trial(Path(self._project_dir), trial_id)
            self._mirror.clear()
            raise
        return self._add(trial_id, values)

    def _take_up(self) -> keras_tuner.engine.trial.Trial | None:
        """A trial to run again: KerasTuner's retry, or one whose process is no more."""
        running = self._running_elsewhere()
        for trial_id in self._left_to_run():
            if not take_trial(Path(self._project_dir), trial_id):
                continue
            trial = self.trials[trial_id]
            # Its process may have ended it, and so given up the lock, since the study was read.
            self._synchronize()
            if trial_id in running and trial.status != "RUNNING":
                release_trial(Path(self._project_dir), trial_id)
                continue
            self._retry_queue = [one for one in self._retry_queue if one != trial_id]
            trial.status = "RUNNING"
            return trial
        return None

    def has_interrupted(self) -> bool:
        """Tells whether there is a trial to run again that nobody runs any more."""
        self.reload()
        folder = Path(self._project_dir)
        return not all(files.is_locked(files.trial_dir(folder, one) / files.LOCK) for one in self._left_to_run())

    def _left_to_run(self) -> list[str]:
        """KerasTuner's retries, and what other processes run, or have left."""
        found = [*self._retry_queue, *self._running_elsewhere()]
        return found if self.only is None else [trial_id for trial_id in found if self.only(trial_id)]

    def _running_elsewhere(self) -> list[str]:
        mine = {trial.trial_id for trial in self.ongoing_trials.values()}
        return [name for name, trial in self.trials.items() if name not in mine and trial.status == "RUNNING"]

    def _add(self, trial_id: str, values: Mapping[str, Value]) -> keras_tuner.engine.trial.Trial:
        """Makes KerasTuner's trial of one in the study."""
        trial = self._make_trial(trial_id, values, "RUNNING")
        self.trials[trial_id] = trial
        self._given[trial_id] = dict(values)
        self.start_order.append(trial_id)
        return trial

    def _enqueued(self, named: Mapping[str, Any]) -> dict[str, Value] | None:
        """The first point that was asked for and has had no trial, as Optuna sees it; None where all have had one.

        What a trial has had is known by its values: the list may be another one than when the search began.
        """
        while self._untried:
            point = self.hyperparameters.copy()
            point.values = fill_point(point, self._untried[0])
            seen: dict[str, Value] = {}
            for name, parameter in named.items():
                if point.is_active(parameter) and find_distribution(parameter) is not None:
                    seen[name] = to_optuna(parameter, point.values[parameter.name])
                    point.values[parameter.name] = from_optuna(parameter, seen[name])  # as a trial gets it
            others = (name for name in self.trials if name not in self._enqueued_trials)
            trial_id = next((name for name in others if _agree(self.trials[name], point)), None)
            if trial_id is None:
                return seen
            self._enqueued_trials.add(trial_id)  # a point that is there twice is for two trials
            self._untried.pop(0)
        return None

    def _make_trial(self, trial_id: str, values: Mapping[str, Value], status: str) -> keras_tuner.engine.trial.Trial:
        return keras_tuner.engine.trial.Trial(self._make_point(values), trial_id, status)

    def _make_point(self, values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
        """A point of the hyperparameters that have a value, which are all that the space had when it was drawn.

        What else a trial declares, it has added itself, or another one meanwhile: it has its default, at any time.
        """
        point = keras_tuner.HyperParameters()
        point.values = dict(values)
        known = [one for one in self.hyperparameters.space if one.name in values and point.is_active(one)]
        point.merge(known, overwrite=False)
        return point

    def _trial_id(self, number: int) -> str:
        """KerasTuner's: as many digits as the limit of trials has, four without one."""
        return f"{number:0{len(str(self.max_trials))}d}"

    def _synchronize(self) -> None:
        """Takes over what this and other processes have written to the study."""
        trials = self.study.get_trials(deepcopy=False)
        space = self._database.get_study_user_attrs(self._study_id).get(SPACE)
        if space not in (None, self._stored_space) and self.allow_new_entries:
            super().update_space(keras_tuner.HyperParameters.from_config(json.loads(space)))
        self._stored_space = space
        self._mirror.update(trials, self._database.get_study_system_attrs(self._study_id))
        for frozen in trials:
            trial_id = frozen.user_attrs.get(ID) or self._trial_id(frozen.number)
            known = self.trials.get(trial_id)
            if known is not None and known.status != "RUNNING":
                continue
            values = self._values(frozen)
            if known is None:
                known = self._add(trial_id, values)
            elif frozen.state.is_finished():  # and may have added some
                known.hyperparameters = self._make_point(values)
            if frozen.state.is_finished():
                self._take_over(known, frozen)

    def _values(self, frozen: FrozenTrial) -> dict[str, Value]:
        """What a trial was given; one that was made with Optuna itself, and has failed, was given nothing.

        Raises:
            ProjectError: it was made with Optuna, and has not failed.
        """
        text = frozen.user_attrs.get(VALUES)
        if text is None and frozen.state is not TrialState.FAIL:
            which = "study.ask()" if frozen.state is TrialState.WAITING else frozen.number
            ending = f"end it with Optuna's study.tell({which}, state=optuna.trial.TrialState.FAIL)"
            raise ProjectError(
                f"Trial {frozen.number} of the study in {self.where} is not of "
                "this search, but made with Optuna: give points to enqueue (--enqueue on the command line) instead, "
                f"and, to go on, {'choose another project name' if frozen.state.is_finished() else ending}."
            )
        return dict(json.loads(text or "{}"))

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Adds hyperparameters to the space; see `keras_tuner.Oracle`. What trials add is written to the study."""
        known = len(self.hyperparameters.space)
        super().update_space(hyperparameters)
        if self._study is not None and len(self.hyperparameters.space) > known:
            self._patiently(self._store_space)

    def _store_space(self) -> None:
        """Notes the space for other processes, and for KerasTuner's tuners, which do not declare it when they go on."""
        space = json.dumps(self.hyperparameters.get_config())
        if space != self._stored_space:
            self._database.set_study_user_attr(self._study_id, SPACE, space)

    def _take_over(self, trial: keras_tuner.engine.trial.Trial, frozen: FrozenTrial) -> None:
        trial.status = STATUSES[frozen.state]
        if frozen.state is TrialState.PRUNED:
            self._pruned.add(trial.trial_id)
        trial.message = frozen.user_attrs.get(MESSAGE)
        score = frozen.user_attrs.get(SCORE, frozen.value)
        if score is not None:
            trial.metrics.register(self.objective.name, direction=self._direction)
            trial.metrics.update(self.objective.name, score)
            trial.score, trial.best_step = score, 0
        kept = json.loads(frozen.user_attrs.get(METRICS, "null"))
        if kept:
            trial.metrics = type(trial.metrics).from_config(kept)  # which has no public name
            trial.best_step = kept["best_step"]
        self.end_order.append(trial.trial_id)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def report(self, trial_id: str, score: float, *, execution: int, epoch: int | None) -> bool:
        """Notes a score while a trial trains, and tells whether to end it.

        Trials are compared epoch by epoch of their first execution, by `wilcoxon` execution by execution.

        Args:
            trial_id: of the running trial.
            score: the objective.
            execution: which training of the trial it is of, from 0.
            epoch: after which it was measured, from 1; None for the best of a finished execution.
        """
        by_execution = self.pruner == "wilcoxon"
        if self.pruner == "none" or by_execution != (epoch is None) or (execution and not by_execution):
            return False
        step = execution if epoch is None else epoch
        return self._patiently(lambda: self._report(trial_id, score, step))

    def _report(self, trial_id: str, score: float, step: int) -> bool:
        frozen = self._find(trial_id)
        running = self._open(frozen)
        # An interrupted trial comes by a second time. A pruner that was asked again would look at the next rung.
        judged, was_pruned = frozen.user_attrs.get(DECISION, (None, False))
        if judged == step:
            return bool(was_pruned)
        if step not in frozen.intermediate_values:
            running.report(score, step)
        prune = bool(running.should_prune())  # NumPy's, by some pruners
        running.set_user_attr(DECISION, [step, prune])
        return prune

    def mark_pruned(self, trial_id: str) -> None:
        """Notes that a trial, which ends next, ended because of `report`."""
        self._pruned.add(trial_id)

    def _find(self, trial_id: str) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[int(trial_id)]

    def _open(self, frozen: FrozenTrial) -> optuna.Trial:
        """A trial to write to; Optuna itself only gives it to the process that asked for it."""
        return optuna.Trial(self.study, frozen._trial_id)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Tells the study how a trial ended; see `keras_tuner.Oracle`."""
        try:
            super().end_trial(trial)
        finally:
            ended = self.trials[trial.trial_id]
            if ended.status in ("COMPLETED", "FAILED"):
                self._patiently(lambda: self._tell(ended))
            release_trial(Path(self._project_dir), trial.trial_id)

    def _tell(self, trial: keras_tuner.engine.trial.Trial) -> None:
        number, state, score = int(trial.trial_id), TrialState.FAIL, None
        notes: dict[str, Any] = {}
        values = active_values(trial.hyperparameters)
        if values != self._given[trial.trial_id]:  # it has added some
            notes[VALUES] = json.dumps(values)
        if trial.status == "FAILED":
            notes[MESSAGE] = trial.message
        elif trial.trial_id in self._pruned:
            state = TrialState.PRUNED
            notes[SCORE] = trial.score
        else:
            state, score = TrialState.COMPLETE, trial.score
        if trial.best_step or trial.metrics.metrics.keys() - {self.objective.name}:
            notes[METRICS] = json.dumps({**trial.metrics.get_config(), "best_step": trial.best_step})
        if notes and not self._find(trial.trial_id).state.is_finished():  # by a try that was cut off
            for key, note in notes.items():
                self._note(number, key, note)
        self.study.tell(number, score, state, skip_if_finished=True)

    def _note(self, number: int, key: str, value: Any) -> None:
        trial = self._database.get_trial_id_from_study_id_trial_number(self._study_id, number)
        self._database.set_trial_user_attr(trial, key, value)

    def attach(self, trial_id: str, path: Path) -> None:
        """Gives a trial a picture that `optuna-dashboard` shows, when it is started on the folder `artifacts`.

        A trial that has one of that name keeps it: a process may be killed between this and the end of the trial.
        """
        folder = Path(self._project_dir) / files.ARTIFACTS
        folder.mkdir(exist_ok=True)
        store = _Artifacts(folder)

        def upload() -> None:
            trial = self._find(trial_id)
            known = optuna.artifacts.get_all_artifact_meta(trial, storage=self._database)
            if any(one.filename == path.name and (folder / one.artifact_id).exists() for one in known):
                return
            try:
                optuna.artifacts.upload_artifact(
                    artifact_store=store, file_path=str(path), study_or_trial=trial, storage=self._database
                )
            except Exception:  # whatever it was: the next try writes a file of another name
                store.remove_latest()
                raise

        self._patiently(upload)

    # State. All of it is in the study, at every moment.

    def save(self) -> None:
        """Does nothing: every change was written to the study when it was made."""

    def _save_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Writes KerasTuner's own file of a trial, for those who look for it; nothing here reads it."""
        folder = files.trial_dir(Path(self._project_dir), trial.trial_id)
        files.write_text(folder / files.KERASTUNER_TRIAL, json.dumps(trial.get_state()))

    def reload(self) -> None:
        """Takes over what is in the study."""
        self._patiently(self._synchronize)

    def get_state(self) -> dict[str, Any]:
        """Returns nothing: the state is in the study."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Does nothing, like `get_state`."""

    def restore(self, trials: Sequence[LostTrial]) -> None:
        """Puts trials into a study that has lost them; their numbers are those that come next.

        Args:
            trials: in the order of their numbers, which have no gap.
        """
        named = name_parameters(self.hyperparameters.space)
        for lost in trials:
            point = keras_tuner.HyperParameters()
            point.values = dict(lost.values)
            values = {
                name: (distribution, to_optuna(parameter, lost.values[parameter.name]))
                for name, parameter in named.items()
                if point.is_active(parameter)
                and allows(parameter, lost.values.get(parameter.name))
                and (distribution := find_distribution(parameter)) is not None
            }
            state = TrialState[lost.state]
            attributes: dict[str, Any] = {
                ID: lost.trial_id,
                VALUES: json.dumps(dict(lost.values)),
                MESSAGE: lost.message,
            }
            if state is TrialState.PRUNED:
                attributes[SCORE] = lost.score
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.RUNNING,
                    params={name: value for name, (_, value) in values.items()},
                    distributions={name: distribution for name, (distribution, _) in values.items()},
                    user_attrs={name: value for name, value in attributes.items() if value is not None},
                )
            )
            # A pruner notes of a trial what it sees at each rung, and compares later ones with that.
            for step, score in sorted(lost.curve.items()):
                self._report(lost.trial_id, score, step)
            if state.is_finished():
                value = lost.score if state is TrialState.COMPLETE else None
                self.study.tell(int(lost.trial_id), value, state)
        self.reload()

    def close(self) -> None:
        """Closes the database; the study is opened again when it is next needed."""
        if self._study is not None:
            self._database.engine.dispose()
            self._study = None

    def release(self) -> None:
        """Gives up the trials that this oracle runs, so that they are taken up by whoever asks next."""
        for trial in self.ongoing_trials.values():
            release_trial(Path(self._project_dir), trial.trial_id)
        self.ongoing_trials = {}


def _agree(trial: keras_tuner.engine.trial.Trial, point: keras_tuner.HyperParameters) -> bool:
    """Tells whether a trial was at a point; either may have what the space did not have for the other."""
    both = trial.hyperparameters.values.keys() & point.values.keys()
    return bool(both) and all(trial.hyperparameters.values[name] == point.values[name] for name in both)


def _draw(
    asked: optuna.Trial, named: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Value]:
    """Gives a trial its values; what has no distribution is fixed."""
    names = {id(parameter): name for name, parameter in named.items()}

    def value(parameter: Any) -> Value:
        name = names[id(parameter)]
        if name not in distributions:
            fixed: Value = parameter.value
            return fixed
        return from_optuna(parameter, asked._suggest(name, distributions[name]))

    return dict(make_point(named.values(), value).values)


class _Artifacts(optuna.artifacts.FileSystemArtifactStore):
    """Can take back a file that the study does not know of."""

    _latest: str | None = None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._latest = artifact_id
        super().write(artifact_id, content_body)

    def remove_latest(self) -> None:
        if self._latest is not None:
            with contextlib.suppress(OSError, optuna.artifacts.exceptions.ArtifactNotFound):
                self.remove(self._latest)
