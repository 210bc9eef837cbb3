"""One trial: its executions, and a record on disk that is true at every moment."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import keras
import keras_tuner

from tuner_gan import files, threads
from tuner_gan.errors import DegenerateError, ProjectError, QualityError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.images import SAMPLES, generate_images, measure_speed
from tuner_gan.precision import clear_session
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.results.checks import Value
from tuner_gan.results.records import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    TIMES,
    ClassRecord,
    ExecutionRecord,
    TrialRecord,
    write_record,
)
from tuner_gan.search.callbacks import (
    ExecutionCallback,
    ExecutionTimes,
    count_epochs,
    fatal_when_unwritable,
    write_history,
)
from tuner_gan.search.checkpoint import Checkpoint, check_room
from tuner_gan.search.resume import find_unfinished, warn_of_loss

MOST_KILLS = 3
"""Of processes at the same epoch of a trial, after which it has failed."""
LEFTOVERS = (files.HISTORY, files.GENERATOR, files.STATE, files.CHECKPOINT, files.SAMPLES, files.ARCHITECTURE)
"""What another run of the same trial may have left, of which nothing can be kept."""


class TrialRun:
    """Trains and scores a trial, once for each seed; a trial that was interrupted goes on from its last epoch.

    Args:
        record: identity and origin of the trial.
        quality: what scores it.
        epochs: first and last epoch, from 0, the last excluded.
        hyperparameters: gives their values now; building and training may add some.
        gan: of an earlier training, whose compiled step serves again where it fits; None for none.
        report: told the best score so far, the execution, and the epoch of a rung or None at an execution's end; tells
            whether the trial is to end as PRUNED. None to prune nothing.

    Attributes:
        gan: of the latest training.
    """

    def __init__(
        self,
        record: TrialRecord,
        quality: QualityEvaluator,
        epochs: range,
        hyperparameters: Callable[[], Mapping[str, Value]],
        gan: GAN | None = None,
        report: Callable[[float, int, int | None], bool] | None = None,
    ) -> None:
        self.gan = gan
        self._report = report or (lambda score, execution, epoch: False)
        self.record = dataclasses.replace(record, planned_epochs=epochs.stop, threads=threads.in_use())
        self.quality = quality
        self.epochs = epochs
        self.hyperparameters = hyperparameters
        self._earlier: tuple[ExecutionRecord, ...] = ()  # finished before this process
        self._recorders: list[ExecutionCallback] = []
        self._rows: list[dict[str, Any]] = []  # of history.csv, before those of this process
        self._checkpoint: Checkpoint | None = None
        self._classes: dict[int | None, tuple[ClassRecord, ...]] = {}
        self._times = ExecutionTimes()  # of the execution that runs or comes next
        self._is_spent = False  # what there was of epochs, before another execution
        self._started = time.monotonic()

    def train(
        self,
        build: Callable[[], GAN],
        fit: Callable[[GAN, ExecutionCallback], Any],
        seeds: Sequence[int],
        *,
        max_model_size: int | None,
        stop_at: float | None,
        max_time: float | None,
        epochs_left: Callable[[], int | None],
        least_s: float = 0.0,
    ) -> TrialRecord:
        """Trains the trial's GAN from each seed.

        Args:
            build: makes the compiled GAN; called once for each seed, after Keras's seed is set.
            fit: trains it, with the callback that records this execution.
            seeds: of the executions.
            max_model_size: parameters of both networks at most; None for no limit.
            stop_at: `time.monotonic()` at which the search ends; None for never.
            max_time: seconds that each execution may train, the first step not counted; None for no limit.
            epochs_left: tells how many more all trials together may train now; None for no limit.
            least_s: seconds that must be left of the search to begin another execution after the first.

        Returns:
            The record of the completed trial, as it was written.

        Raises:
            keras_tuner.errors.FailedTrialError: the trial has no score; the message says why.
            keras_tuner.errors.FatalError: the search cannot go on.
        """
        folder = self.record.folder
        try:
            with fatal_when_unwritable():
                files.create_folder(folder)
                # A process that was killed while it wrote leaves temporary files, too.
                for path in folder.glob(".*.tmp.*"):
                    path.unlink(missing_ok=True)
            self._update(started_at=datetime.now(UTC).isoformat(), seed=seeds[0])
            self._take_over(seeds)
            self._check_kills()
            self._write(RUNNING)
            while (execution := len(self._executions())) < len(seeds):
                if execution > 0 and self._checkpoint is None:  # a new one
                    self._is_spent = epochs_left() == 0
                    if self._is_spent or (stop_at is not None and time.monotonic() + least_s >= stop_at):
                        break
                gan = self._build(build, seeds[execution], max_model_size)
                recorder = self._recorder(execution, seeds[execution])
                if not self._restore(recorder, gan):
                    continue
                self._write_architecture(gan)
                recorder.stop_at, recorder.max_time, recorder.epochs_left = stop_at, max_time, epochs_left
                self._train_execution(gan, fit, recorder)
                if recorder.pruned or recorder.out_of_epochs:
                    break
        except keras_tuner.errors.FailedTrialError as error:
            self._write(FAILED, str(error))
            raise
        except keras_tuner.errors.FatalError:
            # Most likely the folder cannot be written, and then this cannot be either.
            with contextlib.suppress(keras_tuner.errors.FatalError):
                self._write(INTERRUPTED, "an error stopped the search")
            raise
        except Exception as error:
            message = str(error) if isinstance(error, QualityError) else f"{type(error).__name__}: {error}"
            if isinstance(error, DegenerateError):
                self._update(flags=(error.flag,))
            if self._recorders:
                message = f"{message.rstrip('.')} (after epoch {self._recorders[-1].last_epoch})"
            self._write(FAILED, message)
            raise keras_tuner.errors.FailedTrialError(message) from error
        except BaseException:  # Ctrl-C, or whatever else ends the process
            self._write(INTERRUPTED, "interrupted")
            raise
        return self._write(PRUNED if self._is_pruned() else COMPLETED, self._ended_early(len(seeds)))

    def _is_pruned(self) -> bool:
        return bool(self._recorders) and self._recorders[-1].pruned

    def _take_over(self, seeds: Sequence[int]) -> None:
        """Keeps what an interrupted run of this trial left, as far as that goes, and deletes everything else."""
        unfinished = find_unfinished(self.record, self.hyperparameters(), seeds)
        if unfinished is None:
            self._delete_leftovers()
            return
        record = unfinished.record
        self._earlier, self._rows, self._checkpoint = unfinished.executions, unfinished.rows, unfinished.checkpoint
        self._classes = {record.best_execution: record.classes}
        self._started -= unfinished.seconds
        self._drop_stale_rows()
        # A process that ends by itself, or is asked to, writes another status.
        killed = (*record.killed_after, len(self._rows)) if record.status == RUNNING else record.killed_after
        self._update(started_at=record.started_at or self.record.started_at, flags=record.flags, killed_after=killed)
        if record.threads != self.record.threads and (unfinished.executions or unfinished.checkpoint):
            self._update(threads=None)

    def _drop_stale_rows(self) -> None:
        """Forgets the epochs that are trained again, which would count twice where epochs are limited."""
        path = self.record.folder / files.HISTORY
        if count_epochs(path) > len(self._rows):
            with fatal_when_unwritable():
                if self._rows:
                    write_history(path, self._rows)
                else:
                    path.unlink()

    def _check_kills(self) -> None:
        """Fails a trial that kills every process that takes it up, as one does for which memory does not suffice."""
        killed = self.record.killed_after
        if len(killed) >= MOST_KILLS and len(set(killed[-MOST_KILLS:])) == 1:
            raise keras_tuner.errors.FailedTrialError(
                f"the process was killed {MOST_KILLS} times in a row after {killed[-1]} epochs of this trial: most "
                "likely memory ran out, so give the search fewer workers or a limit of parameters"
            )

    def _delete_leftovers(self) -> None:
        with fatal_when_unwritable():
            for name in LEFTOVERS:
                (self.record.folder / name).unlink(missing_ok=True)
            files.copy_of(self.record.folder / files.RECORD).unlink(missing_ok=True)

    def _restore(self, recorder: ExecutionCallback, gan: GAN) -> bool:
        """Goes on from the checkpoint, if there is one; False if the trial is another one now, and starts again."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if not (self._earlier or checkpoint) or self._recorders:
            return True
        try:
            if GANArchitecture.from_json(files.read_json(self.record.folder / files.ARCHITECTURE)) != gan.architecture:
                raise ValueError("its architecture is another one now")
            if checkpoint is not None:
                recorder.restore(checkpoint, gan)
        except (ValueError, ProjectError) as error:
            warn_of_loss(f"Trial {self.record.trial_id} starts again: {str(error).rstrip('.')}.")
            self._earlier, self._rows, self._classes = (), [], {}
            self._update(flags=(), threads=threads.in_use())
            self._delete_leftovers()
            return False
        return True

    def _executions(self) -> tuple[ExecutionRecord, ...]:
        return (*self._earlier, *(recorder.record() for recorder in self._recorders))

    def _ended_early(self, executions: int) -> str | None:
        # After an interruption there may be no time for another execution, and then there is none of this process.
        last = self._recorders[-1] if self._recorders else None
        if last is not None and last.pruned:
            return f"pruned after {last.last_epoch} of {self.epochs.stop} epochs"
        reasons = []
        if last is not None and last.last_epoch < self.epochs.stop:
            causes = {"its time limit": last.out_of_time, "the limit of epochs": last.out_of_epochs, "a callback": True}
            cause = next(cause for cause, happened in causes.items() if happened)
            reasons.append(f"stopped by {cause} after {last.last_epoch} of {self.epochs.stop} epochs")
        ended = len(self._executions())
        if ended < executions and not (self._is_spent or (last is not None and last.out_of_epochs)):
            reasons.append(f"there was time for {ended} of {executions} trainings")
        return "; ".join(reasons) or None

    def _build(self, build: Callable[[], GAN], seed: int, max_model_size: int | None) -> GAN:
        with self._times.spent_on("build_s"):
            if not self._recorders:  # between two executions it would also forget the compiled step
                clear_session()
            keras.utils.set_random_seed(seed)
            gan = build()
        sizes = gan.generator.count_params(), gan.discriminator.count_params()
        self._update(generator_params=sizes[0], discriminator_params=sizes[1])
        if max_model_size and sum(sizes) > max_model_size:
            raise keras_tuner.errors.FailedTrialError(
                f"generator and discriminator have {sum(sizes)} parameters, more than the limit of {max_model_size}"
            )
        with self._times.spent_on("build_s"):
            if self.gan is None or not self.gan.restart_as(gan):
                self.gan = gan
        return self.gan

    def _write_architecture(self, gan: GAN) -> None:
        with self._times.spent_on("save_s"), fatal_when_unwritable():
            files.write_json(self.record.folder / files.ARCHITECTURE, gan.architecture.to_json())

    def _recorder(self, execution: int, seed: int) -> ExecutionCallback:
        earlier = [one.score for one in self._executions() if one.score is not None]
        return ExecutionCallback(
            self.record.folder,
            self.quality,
            execution=execution,
            seed=seed,
            epochs=self.epochs,
            earlier_rows=self._recorders[-1].rows if self._recorders else self._rows,
            best_elsewhere=_best(self.quality.direction)(earlier, default=None),
            times=self._times,
            trial_started=self._started,
            prune=lambda epoch, score: self._report(score, execution, epoch),
        )

    def _train_execution(
        self, gan: GAN, fit: Callable[[GAN, ExecutionCallback], Any], recorder: ExecutionCallback
    ) -> None:
        self._recorders.append(recorder)
        # One that goes on is scored as it is where nothing is left.
        if recorder.best_score is not None and not recorder.ended:
            recorder.out_of_epochs |= recorder.epochs_left() == 0
            recorder.out_of_time |= recorder.stop_at is not None and time.monotonic() >= recorder.stop_at
        is_over = recorder.ended or recorder.out_of_epochs or recorder.out_of_time
        if not is_over and recorder.last_epoch < self.epochs.stop:
            fit(gan, recorder)
        if recorder.best_score is None:
            raise keras_tuner.errors.FailedTrialError(
                "the training ended without a score: fit must train for an epoch, with the callbacks that it is given"
            )
        if recorder.is_best_of_trial():
            self._save_state(gan)
        self._write(RUNNING)
        recorder.evaluate_best(gan.ema_generator)  # last of all, because it changes the average
        with self._times.spent_on("eval_s"):
            speed = measure_speed(lambda: generate_images(gan.ema_generator, SAMPLES, seed=0))
            self._update(ms_per_sample=round(speed, 4))
        recorder.pruned |= self._report(recorder.best_score, recorder.execution, None)
        recorder.finished = True
        self._update(flags=tuple(dict.fromkeys([*self.record.flags, *recorder.flags])))
        # One that ends the trial is finished with that: from its checkpoint, it would end it again after a kill.
        if not (recorder.pruned or recorder.out_of_epochs):
            self._write(RUNNING)
        self._times = ExecutionTimes()

    def _save_state(self, gan: GAN) -> None:
        with self._times.spent_on("save_s"), fatal_when_unwritable():
            check_room(self.record.folder, gan)
            with files.replacing(self.record.folder / files.STATE) as path:
                gan.save_weights(path)

    def _update(self, **changes: Any) -> None:
        self.record = dataclasses.replace(self.record, **changes)

    def _write(self, status: str, message: str | None = None) -> TrialRecord:
        """Writes record.json with the means and the summed times over the executions so far."""
        executions = self._executions()
        self._classes |= {one.execution: one.classes for one in self._recorders}
        duration = round(time.monotonic() - self._started, 3)
        self._update(
            status=status,
            message=message,
            killed_after=() if status in (COMPLETED, PRUNED) else self.record.killed_after,
            duration_s=duration,
            hyperparameters=self.hyperparameters(),
            executions=executions,
            **{name: _total(getattr(execution, name) for execution in executions) for name in TIMES},
        )
        scored = [(execution.score, execution) for execution in executions if execution.score is not None]
        if scored:
            scores = [score for score, _ in scored]
            best: ExecutionRecord = _best(self.quality.direction)(scored, key=lambda pair: pair[0])[1]
            self._update(
                score=statistics.fmean(scores),
                score_std=statistics.stdev(scores) if len(scores) > 1 else None,
                best_execution=best.execution,
                best_epoch=best.best_epoch,
                epochs=best.epochs,
                classes=self._classes.get(best.execution, ()),
                # The latest execution may have the scores of its rungs only.
                metrics={
                    name: statistics.fmean(execution.metrics[name] for _, execution in scored)
                    for name in best.metrics
                    if all(name in execution.metrics for _, execution in scored)
                },
            )
        with self._times.spent_on("save_s"), fatal_when_unwritable():
            write_record(self.record.folder, self.record)
            if status not in (RUNNING, INTERRUPTED):
                (self.record.folder / files.CHECKPOINT).unlink(missing_ok=True)
        return self.record


def _total(seconds: Iterable[float | None]) -> float | None:
    """Sums what is known; None when nothing is."""
    known = [one for one in seconds if one is not None]
    return round(sum(known), 3) if known else None


def _best(direction: str) -> Callable[..., Any]:
    return min if direction == "min" else max


def load_gan(record: TrialRecord, build: Callable[[], GAN]) -> GAN:
    """Rebuilds a trial's GAN: the averaged generator as at its best epoch, all else as at its last.

    Args:
        record: of the trial.
        build: makes the compiled GAN, as for the trial.

    Raises:
        ProjectError: a file of the trial is missing or damaged, or of another GAN than is built now.
    """
    gan = build()
    if record.seed is not None:
        gan.seed = record.seed
    try:
        if (record.folder / files.STATE).exists():
            gan.load_weights(record.folder / files.STATE)
        generator = keras.saving.load_model(record.folder / files.GENERATOR, safe_mode=True)
        gan.ema_generator.set_weights(generator.get_weights())
    except (OSError, ValueError, KeyError) as error:
        raise ProjectError(f"The model of trial {record.trial_id} cannot be loaded: {error}") from error
    return gan
