"""The tuner: runs trials, scores them, and leaves every one of them on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.src.engine.tuner_utils import TunerCallback  # which has no public name

from tuner_gan import files
from tuner_gan.datasets import ImageDataset
from tuner_gan.errors import ConfigError, ProjectError, SearchError, require
from tuner_gan.gan.model import GAN
from tuner_gan.images import pick_images, save_grid
from tuner_gan.plain_numbers import check_count, check_limit, plain
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.results import load
from tuner_gan.results.checks import Value
from tuner_gan.results.records import (
    COMPLETED,
    FAILED,
    FINALIST,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    TrialRecord,
    write_record,
)
from tuner_gan.search.arguments import (
    check_callbacks,
    check_images,
    check_oracle,
    check_pair,
    check_seconds,
    check_worker,
    find_labels,
)
from tuner_gan.search.budget import Budget, until
from tuner_gan.search.callbacks import ExecutionCallback, fatal_when_unwritable, first_rung
from tuner_gan.search.finalists import WORTH_STARTING, FinalRound, ask, finalist_id, make_gan, repeat
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.interrupts import InterruptGuard
from tuner_gan.search.mending import mend_records, mend_study
from tuner_gan.search.names import ORACLES, SAMPLERS
from tuner_gan.search.oracle import MendedOracle, OptunaOracle
from tuner_gan.search.oracles import find_place, make_oracle, name_oracle, name_storage
from tuner_gan.search.plain_errors import plain_errors
from tuner_gan.search.project import CONTINUED, check_together, describe, training_fingerprint
from tuner_gan.search.project_folder import ProjectFolder
from tuner_gan.search.rerun import Rerun, rerun
from tuner_gan.search.storage import StudyDamagedError, ask_lock, remove_search
from tuner_gan.search.tensorboard import TensorBoardLog
from tuner_gan.search.trial import TrialRun, load_gan
from tuner_gan.search.wear import Wear
from tuner_gan.search_spaces.base import active_values, declare, fill_point
from tuner_gan.search_spaces.literature import literature
from tuner_gan.search_spaces.presets import PRESETS, preset

if TYPE_CHECKING:
    from tuner_gan.results.search_results import SearchResults

ORACLE = "oracle.json"
"""KerasTuner's own state of the oracle."""
SECONDS_BETWEEN_LOOKS = 0.5
"""At what other workers do."""
SECONDS_TO_NOTE = 5.0
"""Of the search's time that a process may lose which is killed in the middle of a trial, and an epoch's."""


class _BudgetSpentError(Exception):
    """Ends KerasTuner's search loop, which only the oracle could end otherwise."""


class GANTuner(keras_tuner.Tuner):  # type: ignore[misc]
    """Searches GAN architectures.

    Every trial is trained, scored at rungs with the same classifier, reference and latents, and written to
    `directory/project_name/trial_ID/` while it runs. The same call on the same folder goes on where an earlier
    one ended, however it ended: a trial that was interrupted, after the last epoch that it finished.

    Args:
        hypermodel: what builds the GAN of a trial.
        quality: what scores it.
        oracle: a sampler of Optuna (`"tpe"`, `"cmaes"`, `"qmc"`, `"random"`, `"nsga2"`), an oracle of KerasTuner
            (`"bayesian"`, `"hyperband"`, `"grid"`), or any `keras_tuner.Oracle` whose objective is
            `quality.objective` (or none), without retries.
        max_trials: trials of the oracle at most, baselines not counted; for an oracle given by name only.
        max_epochs: epochs of the longest trial, for `oracle="hyperband"` only; a search goes on with the same.
        pruner: what ends hopeless trials of Optuna's samplers at a rung: `"halving"`, `"hyperband"`, `"median"`,
            `"wilcoxon"` (over executions) or `"none"`.
        storage: URL of the database of Optuna's samplers, for machines that share a search; None for a file in the
            project folder.
        enqueue: points that Optuna's samplers try before the literature's: mappings of hyperparameters to values.
        max_failures: after so many failed trials in a row the search ends; None for never. For an oracle given by name
            only, like the four before.
        executions_per_trial: trainings of each trial, from different seeds; its score is their mean.
        seed: integer from 0, from which the seed of every trial and execution is derived.
        baselines: `"all"` to run the two corrected tutorials first, `"none"` not to.
        finalists: best trials that are trained again at the end of the search, from seeds that had no part in the
            choice and for all epochs, and are ranked before all others by their mean; 0 for none. A second classifier
            of another seed is asked about their generators, for the metrics `second_*` and the flag `adversarial`,
            unless it is still to be trained, and `quality` was loaded without images.
        finalist_seeds: trainings of each finalist.
        directory: folder of projects.
        project_name: folder of this search in it.
        overwrite: whether to delete an earlier search of that name first.
        max_model_size: parameters of generator and discriminator at most; a larger trial fails.
        distribution_strategy: `tf.distribute.Strategy` to build each GAN under.
        tuner_id: name of this process, which only matters with KerasTuner's chief and workers.
        worker: name of this process among several that search in the same folder, each with a name of its own; needs
            one of Optuna's samplers. None for a process that searches alone.
        tensorboard: whether losses, scores, samples and hyperparameters are written for TensorBoard, too, into
            `tensorboard/` in the project folder.
        settings: JSON-ready: those of the command line, from which `tuner-gan rerun` loads the data again.

    Attributes:
        worn_out: whether `search` has ended because this worker should make place for a new process.

    Raises:
        ConfigError: an argument is not valid, or quality and hypermodel are for images of different shapes or for
            other classes.
        ProjectError: the folder holds a search of something else, cannot be written, or is damaged.

    Example:
        >>> tuner = GANTuner(GANHyperModel(data.image_shape), quality=quality, max_trials=8, directory="runs")
        >>> tuner.search(data.train, epochs=10)
        >>> tuner.results().trials()

    Conditional GANs are searched for with `GANHyperModel(data.image_shape, classes=data.num_classes)`.
    """

    def __init__(
        self,
        hypermodel: GANHyperModel,
        *,
        quality: QualityEvaluator,
        oracle: str | keras_tuner.Oracle = "tpe",
        max_trials: int | None = 10,
        max_epochs: int = 10,
        pruner: str = "halving",
        storage: str | None = None,
        enqueue: Sequence[Mapping[str, Value]] = (),
        max_failures: int | None = None,
        executions_per_trial: int = 1,
        seed: int = 0,
        baselines: str = "all",
        finalists: int = 3,
        finalist_seeds: int = 3,
        directory: str | Path | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        max_model_size: int | None = None,
        distribution_strategy: tf.distribute.Strategy | None = None,
        tuner_id: str | None = None,
        worker: str | None = None,
        tensorboard: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> None:
        check_pair(hypermodel, quality)
        max_trials = check_limit("max_trials", max_trials)
        max_epochs = check_count("max_epochs", max_epochs)
        max_failures = check_limit("max_failures", max_failures)
        executions_per_trial = check_count("executions_per_trial", executions_per_trial)
        seed = check_count("seed", seed, least=0)
        finalists = check_count("finalists", finalists, least=0)
        finalist_seeds = check_count("finalist_seeds", finalist_seeds)
        max_model_size = check_limit("max_model_size", max_model_size)
        if baselines not in ("all", "none"):
            raise ConfigError(f"baselines must be 'all' or 'none', but got {baselines!r}.")
        if oracle in ORACLES and oracle not in SAMPLERS and (enqueue or storage):
            raise ConfigError(
                f"enqueue and storage are for Optuna's samplers ({', '.join(SAMPLERS)}), not for {oracle!r}."
            )
        if worker is not None:
            check_worker(worker, overwrite)
        self.worker = worker
        self.worn_out = False
        self._wear = Wear()
        self.quality = quality
        self.seed = seed
        self.baselines = baselines
        self.finalists = finalists
        self.finalist_seeds = finalist_seeds
        self._settings = settings
        self._tensorboard = tensorboard
        if tensorboard:
            require("tensorboard", "Writing for TensorBoard", "tensorboard")
        self._guard = InterruptGuard()
        self._gan: GAN | None = None  # of the latest training
        if isinstance(oracle, str):
            space = declare(hypermodel.search_space)
            oracle = make_oracle(
                oracle,
                objective=quality.objective,
                direction=quality.direction,
                max_trials=max_trials,
                max_epochs=max_epochs,
                seed=seed,
                pruner=pruner,
                storage=storage,
                enqueue=[*(fill_point(space, point) for point in enqueue), *literature(space)],
                max_failures=max_failures,
            )
        elif isinstance(oracle, OptunaOracle):
            enqueue = oracle.enqueue
            space = declare(hypermodel.search_space, oracle.get_space())
            for point in enqueue:
                fill_point(space, point)
        else:
            enqueue = ()
        self._points = [{name: plain(value) for name, value in point.items()} for point in enqueue]
        check_oracle(oracle, quality, hypermodel.search_space)
        if worker is not None and not isinstance(oracle, OptunaOracle):
            raise ConfigError(f"Workers need one of Optuna's samplers as oracle, but got {name_oracle(oracle)}.")
        self.folder = Path(directory or ".") / (project_name or "untitled_project")
        self._budget = Budget(self.folder)
        self._final: FinalRound | None = None  # where there are to be no finalists
        self._project = ProjectFolder(self.folder, worker)
        if overwrite and not self._is_worker():  # a worker would delete the trials of the others
            remove_search(self.folder, oracle.storage if isinstance(oracle, OptunaOracle) else storage)
        files.create_folder(self.folder)
        with self._project.setup():
            self._open_project(hypermodel, oracle)
            if worker is not None and files.count_workers(self.folder):  # others, whose study this one is to join
                check_together(self.folder, self._project.search["config"], {"storage": name_storage(oracle)})
        # KerasTuner prints that it reloads; a library does not print.
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                oracle=oracle,
                hypermodel=hypermodel,
                directory=str(self.folder.parent),
                project_name=self.folder.name,
                executions_per_trial=executions_per_trial,
                max_model_size=max_model_size,
                distribution_strategy=distribution_strategy,
                tuner_id=tuner_id or worker,
            )
        if not self._is_worker():
            self.reload()  # KerasTuner looks under its own name only, so another tuner_id was never resumed
            if self._is_shared():
                # KerasTuner ends the search by an error, which would block the chief for ever.
                oracle.max_consecutive_failed_trials = sys.maxsize

    def __repr__(self) -> str:
        classes = f", classes {self.hypermodel.classes}" if self.hypermodel.classes else ""
        what = f"space {self.hypermodel.space_name}, images {self.hypermodel.image_shape}{classes}"
        how = f"oracle {name_oracle(self.oracle)}, objective {self.quality.objective}"
        return f"GANTuner({str(self.folder)!r}: {what}, {how}, seed {self.seed})"

    def _open_project(self, hypermodel: GANHyperModel, oracle: keras_tuner.Oracle) -> None:
        """Writes search.json and the classifier, or checks that those there are of the same search."""
        wanted = describe(
            self.folder.name,
            quality=self.quality,
            space_name=hypermodel.space_name,
            space=declare(hypermodel.search_space),
            oracle=name_oracle(oracle),
            seed=self.seed,
            classes=hypermodel.classes,
        )
        hypermodel.architecture(keras_tuner.HyperParameters())  # a space for other images or classes is refused now
        self._project.open(wanted, None if self._is_worker() else self._save_quality)  # the chief writes it

    def _save_quality(self) -> None:
        if not (self.folder / files.CLASSIFIER_DIR / files.CARD).exists():
            self.quality.save(self.folder)

    def _populate_initial_space(self) -> None:
        """Finds the space by sampling it; KerasTuner would build half a dozen models for that."""
        self.oracle.update_space(declare(self.hypermodel.search_space, self.oracle.get_space()))

    # State. One file holds oracle and trials and is replaced as a whole, so that it is never half written.

    def get_state(self) -> dict[str, Any]:
        """Returns the state of the oracle and of all its trials."""
        if self._is_worker():
            return {}
        trials = {trial_id: trial.get_state() for trial_id, trial in self.oracle.trials.items()}
        return {"oracle": self.oracle.get_state(), "trials": trials}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned; a trial that was running is run again first."""
        trial_class = keras_tuner.engine.trial.Trial
        self.oracle.trials = {name: trial_class.from_state(value) for name, value in state["trials"].items()}
        # The process that ran them may have had another name; the oracle takes from the end of its queue.
        unfinished = list(state["oracle"]["ongoing_trials"].values())
        queue = state["oracle"]["retry_queue"] + unfinished[::-1]
        # KerasTuner's own file still calls a trial ongoing when it has just ended.
        status = keras_tuner.engine.trial.TrialStatus
        ended = (status.COMPLETED, status.FAILED)
        queue = [trial_id for trial_id in queue if self.oracle.trials[trial_id].status not in ended]
        self.oracle.set_state({**state["oracle"], "ongoing_trials": {}, "retry_queue": queue})
        if isinstance(self.oracle, keras_tuner.oracles.GridSearchOracle):
            find_place(self.oracle)

    def save(self) -> None:
        """Writes the state of the search, atomically."""
        if self._is_worker() or isinstance(self.oracle, OptunaOracle):  # whose study is up to date at every moment
            return
        if self._is_shared():
            # The oracle of a chief saves itself whenever it hears from a worker; what this process wrote grows stale.
            self.oracle.save()
            (self.folder / files.TUNER).unlink(missing_ok=True)
        else:
            # KerasTuner's own oracles may hold infinity, so this file is not strict JSON.
            files.write_text(self.folder / files.TUNER, json.dumps(self.get_state()))

    def reload(self) -> None:
        """Goes on from the state on disk, if any; falls back to KerasTuner's own files when ours is damaged.

        Raises:
            ProjectError: both are damaged, or the state is that of a Hyperband with other epochs.
        """
        if isinstance(self.oracle, OptunaOracle):
            if not self._is_worker():
                with contextlib.suppress(StudyDamagedError):  # a search mends it
                    self.oracle.reload()
            return
        path = self.folder / files.TUNER
        if self._is_worker() or not (path.exists() or (self.folder / ORACLE).exists()):
            return
        max_epochs = getattr(self.oracle, "max_epochs", None)
        try:
            self.set_state(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            try:
                self.oracle.reload()
                self.set_state(self.get_state())
            except Exception as error:
                raise ProjectError(
                    f"{path} and KerasTuner's own state beside it are damaged, so the search cannot go on "
                    f"(results can still be read): {CONTINUED}."
                ) from error
        stored = getattr(self.oracle, "max_epochs", None)
        if stored != max_epochs:  # KerasTuner would go on with those of the state
            raise ProjectError(
                f"{self.folder} holds a search in which Hyperband's longest trials have {stored} epochs, not "
                f"{max_epochs}: go on with max_epochs={stored} (--epochs {stored}), {CONTINUED}."
            )

    # Search.

    def search(
        self,
        x: ImageDataset | np.ndarray,
        y: np.ndarray | None = None,
        *,
        epochs: int = 10,
        max_time: float | None = None,
        max_total_epochs: int | None = None,
        max_trial_time: float | None = None,
        spent: float = 0.0,
        closing: float = 0.0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> None:
        """Runs trials until the oracle or the time ends the search.

        Args:
            x: training images, a split of a dataset or uint8 [N, H, W, C]. For conditional GANs, a dataset's labels are
                taken, too.
            y: labels of an array of images, integers [N] in 0..classes-1, for conditional GANs; None for any other.
            epochs: passes over the images of each trial; Hyperband's oracle sets its own.
            max_time: seconds of the whole search, those of earlier runs in the same folder included; what runs at the
                end is scored as it is. Half of it, or what `epochs` take where that is less, is kept for finalists: as
                many of them as can be trained from all seeds, or one for each worker from as many seeds as can, and if
                it is only one, for all the time. None for no limit.
            max_total_epochs: epochs of all trials together, those of earlier runs in the same folder included; a trial
                that runs at the end is scored as it is, and up to half of them are kept for finalists. Workers, who
                train at the same time, may come to one more each. None for no limit.
            max_trial_time: seconds that one execution may train for; it is then scored as it is. Its first step is not
                counted: tracing and compiling it takes as long as hundreds of others. With `max_time`, the trainings
                of finalists share the time that is left instead. None for no limit.
            spent: seconds of `max_time` that went before this call, such as on training the classifier; for a worker
                those of earlier runs in the same folder, too.
            closing: seconds of `max_time` that are kept for what follows this call, such as an export.
            callbacks: Keras callbacks; each execution gets its own copies, and finds the latest scores in `logs`, which
                are the same from one rung to the next: the `patience` of an `EarlyStopping` on a score must be longer
                than that, a third of the epochs for instance. One that goes on after an interruption gets new copies,
                which have not seen its earlier epochs. As in KerasTuner, a `TensorBoard` writes to
                `log_dir/trial_id/executionN`.
            verbose: 0, the default, for silence; 1 for KerasTuner's table of each trial's hyperparameters, its score
                and the best one so far, with Keras's bar for each epoch; 2 for the same with one line an epoch instead
                of bars, scores in it. `tuner-gan watch FOLDER` shows a silent search from a terminal.

        Raises:
            ConfigError: an argument is not valid.
            ProjectError: another process searches in this folder, workers with other settings do, or the folder cannot
                be written.
            SearchError: trials failed and none has a score, or as many in a row failed as your oracle allows; the
                message says why.

        Warns:
            UserWarning: `x` holds the reference images of `quality`, which one from `QualityEvaluator.load` has not; or
                no trial but the tutorials has a score.
        """
        images = x.images if isinstance(x, ImageDataset) else x
        check_images(images, self.hypermodel.image_shape)
        epochs = check_count("epochs", epochs)
        max_total_epochs = check_limit("max_total_epochs", max_total_epochs)
        max_time = check_seconds("max_time", max_time)
        max_trial_time = check_seconds("max_trial_time", max_trial_time)
        for name, value in (("max_time", max_time), ("max_total_epochs", max_total_epochs)):
            if value is not None and self._is_shared():
                raise ConfigError(
                    f"{name} cannot be kept by KerasTuner's chief and workers, whose oracle ends the search: "
                    "limit max_trials and max_trial_time instead."
                )
        check_callbacks(callbacks)
        labels = find_labels(x, y, self.hypermodel, self.quality)
        if self.quality.is_trained_on(images):
            warnings.warn(
                "Most of the reference images are among the training images, so that a GAN which copies them has good "
                "scores: pass the train split of the data that quality was fitted to.",
                UserWarning,
                stacklevel=2,
            )
        data = (images,) if labels is None else (images, labels)
        if self._is_worker():
            self._budget = Budget(self.folder, max_trial_time=max_trial_time)
            with plain_errors(), self._guard:
                super().search(*data, epochs=epochs, callbacks=callbacks, verbose=verbose)
            return
        with contextlib.ExitStack() as held, plain_errors():
            with self._guard:
                # So that every worker whose lock is held has begun, with the settings noted.
                with self._project.setup():
                    held.enter_context(self._project.lock())
                    self._begin(data, epochs, max_time, max_total_epochs, max_trial_time, spent, closing)
                finalists: list[TrialRecord] = []
                wanted: frozenset[str] = frozenset()
                try:
                    with contextlib.suppress(_BudgetSpentError):
                        self._run_baselines(data, epochs, callbacks, verbose)
                        self._keep_for_finalists()
                        super().search(*data, epochs=epochs, callbacks=callbacks, verbose=verbose)
                    self._guard.check()
                    if not self.worn_out:
                        finalists, wanted = self._run_finalists(data, callbacks, verbose)
                finally:
                    if isinstance(self.oracle, OptunaOracle):
                        self.oracle.release()
                        self.oracle.close()
                    with contextlib.suppress(OSError):
                        self._write_elapsed()
                self._guard.check()
            for finalist in finalists:
                with self._project.taking(finalist.trial_id) as taken:
                    record = self._project.finished(finalist.trial_id, finalist.hyperparameters)
                    if not taken or record is None or wanted <= record.metrics.keys():  # by another worker, meanwhile
                        continue
                    try:
                        write_record(record.folder, ask(self.quality, record, wanted))
                    except ProjectError as error:  # its generator is damaged
                        warnings.warn(f"{record.trial_id} has no second opinion: {error}", UserWarning, stacklevel=2)
        records = self.results().records
        failed = [record for record in records if record.status == FAILED]
        # A trial that another worker runs, or takes up, may come to a score yet.
        hopeful = (COMPLETED, PRUNED, RUNNING) if self.worker is None else (COMPLETED, PRUNED, RUNNING, INTERRUPTED)
        if failed and not self.worn_out and not any(record.status in hopeful for record in records):
            every = len(failed) == len(records)
            what = f"All {len(failed)} trials" if every else f"None of {len(records)} trials has a score, {len(failed)}"
            raise SearchError(f"{what} failed; the last one because: {failed[-1].message}")
        searched = [record for record in records if record.origin == "search"]
        if searched and all(record.status == FAILED for record in searched):
            warnings.warn(
                f"Only tutorials have a score: all trials of the search space failed ({len(searched)}), the last one "
                f"because: {searched[-1].message}",
                UserWarning,
                stacklevel=2,
            )

    def _begin(
        self,
        training: tuple[np.ndarray, ...],
        epochs: int,
        max_time: float | None,
        max_total_epochs: int | None,
        max_trial_time: float | None,
        spent: float,
        closing: float,
    ) -> None:
        # Another process may have searched here since this tuner was made. Of workers, one at a time is here.
        mend_records(self.folder)
        self._open_project(self.hypermodel, self.oracle)
        stored = self._project.search
        most_failures = plain(self.oracle.max_consecutive_failed_trials)
        is_hyperband = isinstance(self.oracle, keras_tuner.oracles.HyperbandOracle)
        config = {
            "epochs": epochs,
            "max_epochs": plain(self.oracle.max_epochs) if is_hyperband else None,
            "max_trials": plain(self.oracle.max_trials),
            "max_time": max_time,
            "max_total_epochs": max_total_epochs,
            "max_trial_time": max_trial_time,
            "max_failures": None if most_failures == sys.maxsize else most_failures,
            "max_model_size": self.max_model_size,
            "pruner": self.oracle.pruner if isinstance(self.oracle, OptunaOracle) else None,
            "storage": name_storage(self.oracle),
            "enqueue": self._points or None,
            "executions_per_trial": self.executions_per_trial,
            "baselines": "none" if self._is_shared() else self.baselines,  # of which a chief trains none
            "finalists": self.finalists,
            "finalist_seeds": self.finalist_seeds,
        }
        if self.worker is not None and files.count_workers(self.folder) > 1:  # this one is among them
            check_together(self.folder, stored["config"], config)
        if isinstance(self.oracle, OptunaOracle):
            self.oracle.set_rungs(first_rung(epochs), epochs)  # first: what lost trials had at them is noted anew
            with ask_lock(self.folder):  # a trial that begins meanwhile is not lost
                mend_study(self.folder, self.oracle, self.quality)
        else:
            self.reload()
        # Without this, a search killed in its first trial would have no state to go on from.
        self.save()
        fingerprint = training_fingerprint(training)
        if stored["data"].get("train_fingerprint", fingerprint) != fingerprint:
            images = "images" if len(training) == 1 else "images or labels"
            raise ProjectError(f"{self.folder} holds a search with other training {images}: {CONTINUED}.")

        def note(search: dict[str, Any]) -> None:
            search["data"] |= {"train_fingerprint": fingerprint, "images": len(training[0])}
            # An earlier version notes fewer of them.
            if {**config, **search["config"]} != config:
                search.pop(files.FINALISTS, None)  # they were chosen for another search
            search["config"] = config
            if self._settings is not None:
                search["settings"] = self._settings

        self._project.write(note)
        if not (self.folder / files.REAL).exists():
            with fatal_when_unwritable():
                save_grid(pick_images(*training), self.folder / files.REAL)
        if self.worker is None:  # workers begin at any time, and each is told what went before
            spent += float(stored["elapsed_s"])
        if max_time is not None:  # noted as it was asked for
            max_time = max(0.0, max_time - closing)
        self._final = None
        if self._has_finalists():
            self._final = FinalRound(
                self.quality,
                count=self.finalists,
                seeds=self.finalist_seeds,
                epochs=self.oracle.max_epochs if is_hyperband else epochs,
                conditional=self.hypermodel.classes > 0,
                max_time=max_time,
                max_trial_time=max_trial_time,
                workers=1,
            )
        self._budget = Budget(
            self.folder,
            max_time=max_time,
            max_total_epochs=max_total_epochs,
            max_trial_time=max_trial_time,
            spent=spent,
            finalist_epochs=0 if self._final is None else self._final.all_epochs,
        )
        self._write_elapsed()

    def _note_elapsed(self) -> None:
        if not self._is_worker() and time.monotonic() - self._noted >= SECONDS_TO_NOTE:
            with fatal_when_unwritable():
                self._write_elapsed()

    def _write_elapsed(self) -> None:
        self._noted = time.monotonic()
        elapsed = round(self._noted - self._budget.started, 3)
        self._project.write(lambda search: search.update(elapsed_s=max(search["elapsed_s"], elapsed)))

    def _run_baselines(self, data: tuple[np.ndarray, ...], epochs: int, callbacks: Any, verbose: int) -> None:
        # A chief trains nothing, and its workers would each train them.
        if self.baselines == "none" or self._is_shared():
            return
        for name in PRESETS:
            self._guard.check()
            if not (self._budget.may_begin() or self._goes_on(name)):
                continue  # the other one may go on
            self._check_wear()
            architecture = preset(name, self.hypermodel.image_shape, self.hypermodel.classes)
            training = architecture.training
            values = {
                "latent_dim": architecture.generator.latent_dim,
                "generator_lr": training.generator_lr,
                "lr_ratio": training.lr_ratio,
                "beta1": training.beta1,
                "batch_size": training.batch_size,
            }
            # A baseline that fails is a row of the table like any other; the search goes on.
            with self._project.taking(name) as taken, contextlib.suppress(keras_tuner.errors.FailedTrialError):
                if not taken or self._project.finished(name, values, (COMPLETED, FAILED)) is not None:
                    continue
                self._forget_finalists()
                self._run(
                    TrialRecord(self._project.trial(name), name, RUNNING, "baseline"),
                    functools.partial(dict, values),
                    functools.partial(make_gan, architecture),
                    GAN.fit,
                    data,
                    range(epochs),
                    callbacks,
                    verbose,
                )

    def _wait_for_others(self) -> None:
        """Waits until no other worker runs a trial that may become a finalist, or the time is over."""
        while self.worker is not None and self._project.runs_trials():
            self._guard.check()
            if self._budget.is_over():
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _has_finalists(self) -> bool:
        # A chief trains nothing, and its workers would each train them.
        return self.finalists > 0 and not self._is_shared()

    def _share(self, final: FinalRound) -> FinalRound:
        """Gives finalists to all processes that search."""
        return dataclasses.replace(final, workers=max(1, files.count_workers(self.folder)))

    def _keep_for_finalists(self) -> None:
        """Keeps as much time for finalists as those of the trials so far need."""
        if self._final is not None and self._budget.deadline is not None:
            needed_s = self._share(self._final).needed_s(self.results().records, self._budget.most_kept_s)
            self._budget.keep(needed_s)

    def _run_finalists(
        self, data: tuple[np.ndarray, ...], callbacks: Any, verbose: int
    ) -> tuple[list[TrialRecord], frozenset[str]]:
        """Trains the best trials again, from fresh seeds.

        Returns:
            The finalists, and the scores that the second classifier is to give each.
        """
        if self._final is None:
            return [], frozenset()
        self._wait_for_others()
        final = self._share(self._final)
        with self._project.setup():
            trials = self._choose_finalists(final)
        questions = final.questions(len(trials))
        budget = self._budget
        budget.turn_to_finalists(questions.seconds)
        waiting = [trial for trial in trials if not self._is_trained(final, trial)]
        budget.max_trial_time = final.limit(waiting, until(budget.stop_at))
        # Those that were interrupted come first: what they have is scored, whatever there is left to train.
        for trial in sorted(waiting, key=lambda trial: not self._goes_on(finalist_id(trial))):
            self._guard.check()
            trial_id = finalist_id(trial)
            left = until(budget.stop_at)
            least = WORTH_STARTING * final.training_s(trial)
            # With the time of less than one training, each worker trains one trial for as long as there is.
            to_begin = 0.0 if trials.index(trial) < final.workers else least
            is_spent = budget.epochs_left() == 0 or (left is not None and left <= to_begin)
            if is_spent and not self._goes_on(trial_id):
                break
            build, fit = repeat(self.hypermodel, trial)
            with self._project.taking(trial_id) as taken, contextlib.suppress(keras_tuner.errors.FailedTrialError):
                if not taken or self._is_trained(final, trial):  # by another worker, meanwhile
                    continue
                self._run(
                    TrialRecord(self._project.trial(trial_id), trial_id, RUNNING, FINALIST),
                    functools.partial(dict, trial.hyperparameters),
                    build,
                    fit,
                    data,
                    range(final.epochs),
                    callbacks,
                    verbose,
                    executions=self.finalist_seeds,
                    least_s=least,
                )
            self._write_elapsed()
        records = [self._project.finished(finalist_id(trial), trial.hyperparameters) for trial in trials]
        return [record for record in records if record is not None], questions.names

    def _choose_finalists(self, final: FinalRound) -> list[TrialRecord]:
        """Chooses them once: what goes on after an interruption goes on with the same, and so does another worker."""
        ranked = self.results().records
        completed = {trial.trial_id: trial for trial in ranked if trial.status == COMPLETED}
        stored = self._project.look().get(files.FINALISTS)
        if isinstance(stored, list) and all(trial_id in completed for trial_id in stored):
            return [completed[trial_id] for trial_id in stored]
        trials = final.choose(ranked, functools.partial(self._is_trained, final), until(self._budget.deadline))
        chosen = [trial.trial_id for trial in trials]
        self._project.write(lambda search: search.update({files.FINALISTS: chosen}))
        return trials

    def _is_trained(self, final: FinalRound, trial: TrialRecord) -> bool:
        """Tells whether a trial has been trained again; with more epochs or seeds, and time, it is trained anew."""
        record = self._project.finished(finalist_id(trial), trial.hyperparameters, (COMPLETED, FAILED))
        if record is None:
            return False
        if (record.planned_epochs or sys.maxsize) < final.epochs:  # an earlier version does not note them
            # All it has is lost then, so it is kept where the new one would be cut.
            left = self._budget.epochs_left()
            enough = left is not None and left < self.finalist_seeds * final.epochs
        else:
            enough = record.status == FAILED or len(record.executions) >= self.finalist_seeds
        return enough or not final.fits([trial], 1, until(self._budget.deadline))

    def _forget_finalists(self) -> None:
        """Lets finalists be chosen anew, because a trial begins that may be better."""
        if files.FINALISTS in self._project.look():
            self._project.write(lambda search: search.pop(files.FINALISTS, None))

    def _is_shared(self) -> bool:
        """Tells whether KerasTuner's chief and workers share this search (the KERASTUNER_* variables)."""
        return "KERASTUNER_ORACLE_IP" in os.environ

    def pre_create_trial(self) -> None:
        """Ends the search when its epochs are spent, or too little time is left to start a trial, or after Ctrl-C.

        A trial that was interrupted is taken up all the same, and scored as it is when nothing is left to train it for.
        """
        self._guard.check()
        may_begin = self._budget.may_begin()
        if isinstance(self.oracle, OptunaOracle):
            # Where another worker is the first to take up what is left, no new trial is begun instead.
            self.oracle.only = None if may_begin else self._can_be_scored
        if not may_begin and not self._has_interrupted():
            raise _BudgetSpentError
        self._check_wear()

    def _has_interrupted(self) -> bool:
        """Tells whether the oracle gives out a trial next that was interrupted, and can be scored."""
        if isinstance(self.oracle, OptunaOracle):
            return self.oracle.has_interrupted()
        latest = self.oracle._retry_queue[-1:]  # KerasTuner takes from its end
        return any(self._can_be_scored(trial_id) for trial_id in latest)

    def _can_be_scored(self, trial_id: str) -> bool:
        """Tells whether a trial that was interrupted needs no more training to have a score, or to have failed."""
        # Of one that has ended, the oracle only is to hear how: a process may be killed just before that.
        has_ended = self._project.finished(trial_id, {}, (COMPLETED, PRUNED, FAILED)) is not None
        return has_ended or self._goes_on(trial_id)

    def _goes_on(self, trial_id: str) -> bool:
        """Tells whether a trial that was interrupted can be scored, because it was trained for an epoch at least."""
        return not self._budget.is_over() and (self._project.trial(trial_id) / files.CHECKPOINT).exists()

    def _check_wear(self) -> None:
        if self.worker is not None and self._wear.is_worn_out():
            self.worn_out = True
            raise _BudgetSpentError

    def _try_run_and_update_trial(self, trial: keras_tuner.engine.trial.Trial, *args: Any, **kwargs: Any) -> None:
        """Runs a trial; a failure's one sentence goes into the trial, where KerasTuner prints a traceback.

        Raises:
            ConfigError: a subclass's own `run_trial` gave a score of no training that is on record.
        """
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
        except keras_tuner.errors.FailedTrialError as error:
            self._note_failure(trial, str(error))
        # What ends the search, a folder or a database that cannot be written (ProjectError is an OSError) among others.
        except (keras_tuner.errors.FatalError, SearchError, OSError, tf.errors.OpError):
            raise
        except Exception as error:  # of a subclass's own run_trial: this class makes each one a FailedTrialError
            self._note_failure(trial, f"{type(error).__name__}: {error}")
        else:
            if self._project.finished(trial.trial_id, {}) is None:
                raise ConfigError(
                    f"run_trial must train by super().run_trial(trial, ...), but trial {trial.trial_id} ended without "
                    "a training on record: train in fit of the hypermodel, or raise FailedTrialError for no score."
                )
            trial.status = keras_tuner.engine.trial.TrialStatus.COMPLETED

    def _note_failure(self, trial: keras_tuner.engine.trial.Trial, message: str) -> None:
        trial.status, trial.message = keras_tuner.engine.trial.TrialStatus.FAILED, message
        record = self._project.finished(trial.trial_id, {}, (COMPLETED, PRUNED, FAILED))
        if record is None:  # it failed before a training
            record = TrialRecord(
                self._project.trial(trial.trial_id),
                trial.trial_id,
                RUNNING,
                "search",
                started_at=datetime.now(UTC).isoformat(),
                hyperparameters=active_values(trial.hyperparameters),
            )
        if record.status != FAILED:
            with fatal_when_unwritable():
                files.create_folder(record.folder)
                write_record(record.folder, dataclasses.replace(record, status=FAILED, message=message))

    def on_trial_begin(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Saves that the trial has begun, so that it is run again when this process is killed."""
        self.save()
        self._forget_finalists()

    def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Tells the oracle, and saves."""
        samples = self._project.trial(trial.trial_id) / files.SAMPLES
        if isinstance(self.oracle, OptunaOracle) and samples.exists():
            self.oracle.attach(trial.trial_id, samples)
        try:
            super().on_trial_end(trial)
        except RuntimeError as error:
            if trial.status != keras_tuner.engine.trial.TrialStatus.FAILED:
                raise
            # One of KerasTuner's own looks at all trials there ever were: with this one saved, no search could go on.
            if isinstance(self.oracle, MendedOracle):
                self.save()
            raise SearchError(
                f"{self.oracle.max_consecutive_failed_trials} trials in a row failed, the last one because: "
                f"{trial.message}; to go on all the same, raise max_failures, or max_consecutive_failed_trials of an "
                "oracle of your own."
            ) from error
        if not self._is_worker():
            self._write_elapsed()
            # Here, and not before each trial: who waits for other workers asks for one twice a second.
            self._keep_for_finalists()

    def run_trial(
        self,
        trial: keras_tuner.engine.trial.Trial,
        *data: np.ndarray,
        epochs: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> list[dict[str, float]]:
        """Trains and scores one trial; `data` are images, and labels for conditional GANs. Otherwise see `search`.

        Returns:
            A score for each execution, which KerasTuner averages.

        Raises:
            keras_tuner.errors.FailedTrialError: the trial cannot be scored; the message says why.
        """
        hp = trial.hyperparameters
        record = self._project.finished(trial.trial_id, active_values(hp), (COMPLETED, PRUNED, FAILED))
        if record is not None and record.status == FAILED:
            raise keras_tuner.errors.FailedTrialError(record.message)
        if record is None:
            # Hyperband's oracle sets the epochs of a trial, and lets the best go on from where they were.
            last = int(hp.values.get("tuner/epochs", epochs))
            first = int(hp.values.get("tuner/initial_epoch", 0))

            build, fit = self._recipe(trial)
            record = self._run(
                TrialRecord(
                    self._project.trial(trial.trial_id),
                    trial.trial_id,
                    RUNNING,
                    "search",
                    promoted_from=hp.values.get("tuner/trial_id"),
                ),
                lambda: active_values(hp),
                build,
                fit,
                data,
                range(first, last),
                callbacks,
                verbose,
                self._reporter(trial.trial_id),
            )
        if record.status == PRUNED and isinstance(self.oracle, OptunaOracle):
            self.oracle.mark_pruned(trial.trial_id)
        name = self.oracle.objective.name
        return [{name: execution.score} for execution in record.executions if execution.score is not None]

    def _reporter(self, trial_id: str) -> Callable[[float, int, int | None], bool] | None:
        oracle = self.oracle
        if not isinstance(oracle, OptunaOracle):
            return None

        def report(score: float, execution: int, epoch: int | None) -> bool:
            with fatal_when_unwritable():
                pruned: bool = oracle.report(trial_id, score, execution=execution, epoch=epoch)
            return pruned

        return report

    def _recipe(self, trial: keras_tuner.engine.trial.Trial) -> tuple[Callable[[], GAN], Callable[..., Any]]:
        """How the GAN of a trial of the oracle is built and trained."""
        hp = trial.hyperparameters

        def build() -> GAN:
            gan = self.hypermodel.build(hp)
            if not isinstance(gan, GAN):
                raise keras_tuner.errors.FatalTypeError(
                    ConfigError(f"build(hp) must return a GAN, but it returned {gan!r}.")
                )
            if hp.values.get("tuner/trial_id"):
                gan.load_weights(self._project.trial(hp.values["tuner/trial_id"]) / files.STATE)
            return gan

        def fit(gan: GAN, *args: Any, callbacks: list[keras.callbacks.Callback], **kwargs: Any) -> Any:
            # The last one, as in KerasTuner: on_epoch_end of a subclass finds the scores in its logs.
            return self.hypermodel.fit(hp, gan, *args, callbacks=[*callbacks, TunerCallback(self, trial)], **kwargs)

        return build, fit

    def _run(
        self,
        record: TrialRecord,
        hyperparameters: Callable[[], Mapping[str, Value]],
        build: Callable[[], GAN],
        fit: Callable[..., Any],
        data: tuple[np.ndarray, ...],
        epochs: range,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: int,
        report: Callable[[float, int, int | None], bool] | None = None,
        *,
        executions: int | None = None,
        least_s: float = 0.0,
    ) -> TrialRecord:
        self._wear.begin_trial()
        run = TrialRun(record, self.quality, epochs, hyperparameters, self._gan, report)
        seeds = [
            self._execution_seed(record.trial_id, index) for index in range(executions or self.executions_per_trial)
        ]
        try:
            return run.train(
                self._in_scope(build),
                lambda gan, recorder: fit(
                    gan,
                    *data,
                    epochs=epochs.stop,
                    initial_epoch=recorder.initial_epoch,
                    callbacks=[
                        recorder,
                        self._interrupter(),
                        *self._loggers(record.trial_id, hyperparameters(), recorder),
                        *self._copies(callbacks, record.trial_id, recorder.execution),
                    ],
                    verbose=verbose,
                ),
                seeds,
                max_model_size=self.max_model_size,
                stop_at=self._budget.stop_at,
                max_time=self._budget.max_trial_time,
                epochs_left=self._budget.epochs_left,
                least_s=least_s,
            )
        finally:
            self._gan = run.gan
            self._wear.end_trial()

    def _in_scope(self, build: Callable[[], GAN]) -> Callable[[], GAN]:
        def build_in_scope() -> GAN:
            strategy = self.distribution_strategy
            with contextlib.nullcontext() if strategy is None else strategy.scope():
                return build()

        return build_in_scope

    def _copies(
        self, callbacks: Sequence[keras.callbacks.Callback], trial_id: str, execution: int
    ) -> list[keras.callbacks.Callback]:
        """The user's callbacks for an execution; as in KerasTuner, each has a log of its own for TensorBoard."""
        copies: list[keras.callbacks.Callback] = self._deepcopy_callbacks(list(callbacks))
        for callback in copies:
            if isinstance(callback, keras.callbacks.TensorBoard):
                callback.log_dir = self._get_tensorboard_dir(callback.log_dir, trial_id, execution)
        return copies

    def _interrupter(self) -> keras.callbacks.Callback:
        """Hears Ctrl-C after each batch, and notes the search's time now and then, in case the process is killed."""
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: self._guard.check(),
            on_epoch_end=lambda epoch, logs: self._note_elapsed(),
        )

    def _loggers(
        self, trial_id: str, hyperparameters: Mapping[str, Value], recorder: ExecutionCallback
    ) -> list[keras.callbacks.Callback]:
        if not self._tensorboard:
            return []
        return [TensorBoardLog(self.folder / files.TENSORBOARD_DIR, trial_id, hyperparameters, recorder)]

    def _execution_seed(self, trial_id: str, execution: int) -> int:
        """Derives a seed below 2**31, the same for the same search seed, trial and execution."""
        trial = int.from_bytes(hashlib.sha256(trial_id.encode()).digest()[:8], "big")
        return int(np.random.SeedSequence([self.seed, trial, execution]).generate_state(1)[0] >> 1)

    # Results.

    def results(self) -> SearchResults:
        """Reads the tables of this search from its folder."""
        return load(self.folder)

    def rerun(self, trial_id: str, x: ImageDataset | np.ndarray, y: np.ndarray | None = None) -> Rerun:
        """Trains a trial again, from the same seeds and for as many steps, to see whether it comes to the same score.

        It is written to `reruns/trial_ID` in the project's folder. Callbacks that the search was given do not run.

        Args:
            trial_id: of a trial with a score, or `"best"`.
            x: the training images of the search, as for `search`.
            y: their labels, as for `search`.

        Returns:
            Both records; `check()` of it raises where the scores differ.

        Raises:
            ProjectError: images or labels are not those of the search, or a file of the trial is damaged.
            SelectionError: there is no such trial, or it has no score.
            SearchError: the trial failed this time.
        """
        images = x.images if isinstance(x, ImageDataset) else x
        labels = find_labels(x, y, self.hypermodel, self.quality)
        results = self.results()
        record = results.trial(trial_id)
        build, fit = self._repeat(results, record)
        return rerun(self.folder, record.trial_id, images, labels, self.quality, build, fit)

    def _repeat(self, results: SearchResults, record: TrialRecord) -> tuple[Callable[[], GAN], Callable[..., Any]]:
        """How the GAN of a trial was built, before any training, and how it was trained."""
        trial = record if record.repeats is None else results.trial(record.repeats)
        build, fit = repeat(self.hypermodel, trial)
        return self._in_scope(build), fit

    def _load(self, results: SearchResults, record: TrialRecord) -> GAN:
        build, _ = self._repeat(results, record)
        return load_gan(record, build)

    def get_best_models(self, num_models: int = 1) -> list[GAN]:
        """Loads the best trials' GANs, best first, with the averaged generator of their best epoch.

        The hypermodel builds and compiles them as for their trials. Only trials with a score count, baselines and
        finalists among them; there may be fewer than `num_models`.

        Raises:
            SelectionError: there is no trial with a score.
            ProjectError: a file of a trial is missing or damaged, or the hypermodel builds another GAN now.
        """
        results = self.results()
        if num_models < 1:
            raise ConfigError(f"num_models must be at least 1, but got {num_models}.")
        return [self._load(results, record) for record in _ranked(results)[:num_models] or [results.best]]

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Returns the points of the best trials in the order of the table, where finalists come first; each once.

        The two tutorials are no points of the search space, and have none. There may be fewer than `num_trials`.
        """
        results = self.results()
        points = {record.trial_id for record in results.records if record.origin == "search"}
        ranked = [record.repeats or record.trial_id for record in _ranked(results)]
        names = [name for name in dict.fromkeys(ranked) if name in points]
        # A worker of KerasTuner's has a client of an oracle, which has no `trials`.
        return [self.oracle.get_trial(name).hyperparameters for name in names[:num_trials]]

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials, with hyperparameters and score, in the order of the table."""
        print(f"Results summary\nResults in {self.folder}\nShowing {num_trials} best trials\n{self.oracle.objective}")
        for record in _ranked(self.results())[:num_trials]:
            values = (f"{name}: {value}" for name, value in record.hyperparameters.items())
            print(f"\nTrial {record.trial_id} summary", "Hyperparameters:", *values, f"Score: {record.score}", sep="\n")

    def load_model(self, trial: keras_tuner.engine.trial.Trial) -> GAN:
        """Loads the GAN of one trial, as `get_best_models` does."""
        results = self.results()
        return self._load(results, results.trial(trial.trial_id))

    def export(
        self,
        trial_id: str = "best",
        directory: str | Path | None = None,
        *,
        formats: Sequence[str] = ("keras",),
        discriminator: bool = False,
    ) -> Path:
        """Writes a trial's generator, architecture, samples and model card; see `tuner_gan.results.export`.

        Returns:
            The folder written.
        """
        from tuner_gan.results.export import export

        return export(self.folder, trial_id, directory, formats=formats, discriminator=discriminator)


def _ranked(results: SearchResults) -> list[TrialRecord]:
    """The trials with a score, in the order of the table."""
    return [record for record in results.records if record.status in (COMPLETED, PRUNED)]
