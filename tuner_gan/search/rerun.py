"""Trains one trial again, from its record, to see whether it comes to the same score."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import threadpoolctl

from tuner_gan import datasets, files
from tuner_gan.config import SearchConfig
from tuner_gan.errors import ConfigError, DatasetError, ProjectError, SearchError, SelectionError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.results import load
from tuner_gan.results.records import COMPLETED, METRIC, PRUNED, RUNNING, TrialRecord, read_history
from tuner_gan.search.finalists import make_gan
from tuner_gan.search.interrupts import InterruptGuard
from tuner_gan.search.plain_errors import plain_errors
from tuner_gan.search.project import changed_versions, training_fingerprint
from tuner_gan.search.storage import release_trial, take_trial
from tuner_gan.search.trial import TrialRun
from tuner_gan.threads import INSIDE_OPERATORS

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Rerun:
    """One trial, trained twice.

    Attributes:
        before: as the search recorded it.
        after: as it came out now; its folder is `PROJECT/reruns/trial_ID`.
        changes: what is known to differ, such as versions of packages; empty for nothing.
    """

    before: TrialRecord
    after: TrialRecord
    changes: str = ""

    def check(self) -> None:
        """Refuses another score.

        Raises:
            SearchError: the scores are not the same number.
        """
        if self.before.score != self.after.score:
            raise SearchError(
                f"Trial {self.before.trial_id} scored {self.after.score} when it was trained again, not "
                f"{self.before.score}: {self.changes or 'it was trained on another machine, or was not repeatable'}."
            )


def rerun_by_settings(folder: str | Path, trial_id: str) -> Rerun:
    """Trains a trial of a search that the command line made; it loads the data as the search did.

    Raises:
        ConfigError: the search was made in Python.
        ProjectError: the data are not to be found or have changed; otherwise see `rerun`.
        SelectionError: see `rerun`.
    """
    results = load(folder)
    record = results.trial(trial_id)
    search = results.config
    if not search.get("settings"):
        raise ConfigError(
            f"{folder} does not say how its data were loaded, because the search was made in Python or by an earlier "
            "version: call GANTuner.rerun(trial_id, x) with the training images."
        )
    try:
        config = SearchConfig(**search["settings"])
    except (TypeError, ConfigError) as error:
        raise ProjectError(f"{results.folder / files.SEARCH} is damaged: its settings are none ({error}).") from error
    try:
        data = datasets.load(config.data, config.size).split(seed=config.seed)
    except DatasetError as error:
        raise ProjectError(
            f"The data of the search cannot be loaded; a path is taken from the folder that the search was started in. "
            f"{error}"
        ) from error
    if data.fingerprint != search.get("data", {}).get("fingerprint"):
        raise ProjectError(f"{config.data} does not hold the data of this search any more: restore them.")
    quality = QualityEvaluator.load(folder, objective=results.project.objective)
    labels = data.train.labels if search.get("conditional") else None
    architecture = GANArchitecture.from_json(files.read_json(record.folder / files.ARCHITECTURE))
    build = functools.partial(make_gan, architecture)
    return rerun(folder, trial_id, data.train.images, labels, quality, build, GAN.fit)


def rerun(
    folder: str | Path,
    trial_id: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    quality: QualityEvaluator,
    build: Callable[[], GAN],
    fit: Callable[..., Any],
) -> Rerun:
    """Trains a trial again, from the same seeds and for as many steps, and scores it.

    It is written to `folder/reruns/trial_ID`, with the files of a trial; the trial itself stays as it is.

    Args:
        folder: of the project.
        trial_id: of a trial with a score, or `"best"`.
        images: the training images of the search.
        labels: of the images, for conditional GANs.
        quality: the project's own.
        build: makes the compiled GAN as it was before any training; a promoted trial goes on from the one before it.
        fit: trains it.

    Raises:
        ProjectError: images, labels or classifier are not those of the search, a file of the trial is damaged, or
            another process trains it again.
        SelectionError: there is no such trial, or it has no score.
        SearchError: the trial failed this time.
    """
    results = load(folder)
    before = results.trial(trial_id)
    data = (images,) if labels is None else (images, labels)
    if training_fingerprint(data) != results.config.get("data", {}).get("train_fingerprint"):
        raise ProjectError(f"{results.folder} was searched with other training images or labels: pass the same ones.")
    if quality.fingerprint != results.config.get("classifier", {}).get("fingerprint"):
        raise ProjectError(f"{results.folder} was scored with another reference classifier: pass the project's own.")
    rows = _rows(before)
    epochs = range(int(rows[0][0]["epoch"]) - 1, before.planned_epochs or 0)
    reruns = results.folder / files.RERUNS_DIR
    target = files.trial_dir(reruns, before.trial_id)
    run = TrialRun(
        TrialRecord(target, before.trial_id, RUNNING, before.origin, promoted_from=before.promoted_from),
        quality,
        epochs,
        lambda: before.hyperparameters,
    )

    def begin() -> GAN:
        gan = build()
        if before.promoted_from is not None:
            gan.load_weights(files.trial_dir(results.folder, before.promoted_from) / files.STATE)
        return gan

    guard = InterruptGuard()
    listen = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: guard.check())
    files.create_folder(target)
    if not take_trial(reruns, before.trial_id):
        raise ProjectError(f"Trial {before.trial_id} is being trained again by another process: wait for it to end.")
    try:
        # Scores are computed by NumPy, with as many threads as TensorFlow's.
        with plain_errors(), guard, threadpoolctl.threadpool_limits(before.threads, user_api="blas"):
            after = run.train(
                begin,
                lambda gan, recorder: fit(
                    gan,
                    *data,
                    epochs=epochs.stop,
                    initial_epoch=recorder.initial_epoch,
                    callbacks=[recorder, listen, _StopWith(rows[recorder.execution][-1], quality.objective)],
                    verbose=0,
                ),
                [int(one.seed or 0) for one in before.executions],
                max_model_size=None,
                stop_at=None,
                max_time=None,
                epochs_left=lambda: None,
            )
    except keras_tuner.errors.FailedTrialError as error:
        raise SearchError(f"Trial {before.trial_id} failed when it was trained again: {error}.") from error
    finally:
        release_trial(reruns, before.trial_id)
    return Rerun(before, after, _changes(results.config, before, after))


def _changes(search: Mapping[str, Any], before: TrialRecord, after: TrialRecord) -> str:
    """What is known to differ between two trainings of a trial."""
    changes = [changed_versions(search.get("versions", {}))]
    then, now = before.threads, after.threads
    if None not in (then, now) and now != then:
        changes.append(f"{now} threads of TensorFlow, not {then} (set {INSIDE_OPERATORS}={then})")
    return ", ".join(filter(None, changes))


def _rows(record: TrialRecord) -> list[list[Row]]:
    """The rows of history.csv of each execution, checked."""
    if record.status not in (COMPLETED, PRUNED) or record.score is None:
        raise SelectionError(
            f"Trial {record.trial_id} has no final score to compare with (it is {record.status}): choose one that has."
        )
    history = read_history(record)
    rows = [[row for row in history if row["execution"] == one.execution] for one in record.executions]
    if record.planned_epochs is None or not rows or not all(rows) or any(one.seed is None for one in record.executions):
        raise ProjectError(
            f"{record.folder} does not say from which seeds or for how many steps it was trained: it is damaged, or of "
            "an earlier version."
        )
    return [list(one) for one in rows]


class _StopWith(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a training at the step of the last row of an earlier one, which may have been stopped in an epoch's midst.

    A time limit stops before the epoch is scored, which then is a rung; a callback stops after it.
    """

    def __init__(self, last: Row, objective: str) -> None:
        super().__init__()
        self._step = last["step"]
        self._was_scored = last[METRIC + objective] is not None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._was_scored and self.model.steps >= self._step:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.steps >= self._step:
            self.model.stop_training = True
