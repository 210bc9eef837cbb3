"""Scores a GAN while it trains: history, best generator and samples come from this one place."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np

from tuner_gan import files
from tuner_gan.errors import DegenerateError, ProjectError
from tuner_gan.images import sample_images, save_grid
from tuner_gan.quality.guards import CLASS_KL
from tuner_gan.results.records import ClassRecord, ExecutionRecord
from tuner_gan.search.checkpoint import Checkpoint, Progress, check_room

if TYPE_CHECKING:
    from tuner_gan.gan.model import GAN
    from tuner_gan.quality.evaluator import QualityEvaluator

SCORINGS = 10
"""Epochs of a training at which it is scored, about, besides its first: scoring costs about as much as a second of
training."""
EVEN = 30
"""Epochs of the longest training that is scored evenly."""


ONE_CLASS_RUNGS = 3
"""Rungs in a row at which a training makes one class only before it is taken for hopeless,"""
ONE_CLASS_STEPS = 1000
"""and steps that it is given to begin with."""


@functools.cache
def find_rungs(epochs: int) -> tuple[int, ...]:
    """Returns the epochs (from 1) after which a training of `epochs` is scored: about ten, and the last one.

    They are even up to 30 epochs. In a longer training each comes later than the one before by the same factor, and the
    first after a fortieth of it: hopeless trials show early, and many are pruned or end with their share of the time.
    """
    if epochs <= EVEN:
        return (*range(step := math.ceil(epochs / SCORINGS), epochs, step), epochs)
    first = max(3, epochs // 40)
    factor = (epochs / first) ** (1 / SCORINGS)
    return tuple(dict.fromkeys(round(first * factor**place) for place in range(SCORINGS + 1)))


def is_rung(epoch: int, epochs: int) -> bool:
    """Tells whether a training of `epochs` is scored after `epoch` (from 1)."""
    return epoch in find_rungs(epochs)


def first_rung(epochs: int) -> int:
    """Returns the epoch (from 1) of the first rung of a training of `epochs`."""
    return find_rungs(epochs)[0]


@dataclasses.dataclass
class ExecutionTimes:
    """Where the time of one execution goes: the seconds of `ExecutionRecord`, on the monotonic clock."""

    build_s: float = 0.0
    compile_s: float | None = None
    eval_s: float = 0.0
    save_s: float = 0.0

    @contextlib.contextmanager
    def spent_on(self, name: str) -> Iterator[None]:
        """Adds the seconds that the body takes to one of the sums, also when it raises."""
        started = time.monotonic()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.monotonic() - started)


class ExecutionCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores one execution at its rungs, guards it against divergence and writes what it finds.

    After each epoch the rows of this execution are in `rows`, and a checkpoint is written that `restore` goes on from;
    at each rung that is the best so far, the first execution writes generator and samples to the trial's folder; later
    ones do so at their end, if they beat `best_elsewhere`.

    Args:
        folder: the trial's folder.
        quality: what scores the averaged generator.
        execution: which training of the trial this is, from 0.
        seed: the seed that it was trained from.
        epochs: first and last epoch of this training, from 0, the last excluded.
        earlier_rows: rows of history.csv that other executions of the trial wrote.
        best_elsewhere: the best score of the trial's other executions; None for none.
        times: where this execution's seconds are added up; it has those of building already.
        trial_started: `time.monotonic()` when the trial began, earlier by the seconds that it took before this process.
        prune: asked at each rung but the last, with its epoch and the best score so far, whether to end the training.

    Attributes:
        stop_at: `time.monotonic()` at which training ends and is scored as it is; None for never.
        max_time: seconds of training after which it does so, too; the first step, which is traced and compiled, is not
            counted. None for no limit.
        epochs_left: tells before each epoch how many there are left of those that all trials may train; the training
            ends with the last of them. None for no limit.
        initial_epoch: epoch that the training begins at or, restored, goes on from.
        seconds_before: that this execution was trained for before this process.
        ended: whether a restored execution had been stopped before its last epoch.
        finished: whether it has all its scores; the owner's to set.
    """

    def __init__(
        self,
        folder: Path,
        quality: QualityEvaluator,
        *,
        execution: int,
        seed: int,
        epochs: range,
        earlier_rows: list[dict[str, Any]],
        best_elsewhere: float | None,
        times: ExecutionTimes,
        trial_started: float,
        prune: Callable[[int, float], bool],
    ) -> None:
        super().__init__()
        self.folder = folder
        self.quality = quality
        self.execution = execution
        self.seed = seed
        self.epochs = epochs.stop
        self.initial_epoch = epochs.start
        self.stop_at: float | None = None
        self.max_time: float | None = None
        self.times = times
        self.rows = list(earlier_rows)
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.best_metrics: dict[str, float] = {}
        self.flags: tuple[str, ...] = ()
        self.classes: tuple[ClassRecord, ...] = ()
        self.last_epoch = 0
        self.out_of_time = False
        self.out_of_epochs = False
        self.pruned = False
        self.epochs_left: Callable[[], int | None] = lambda: None
        self._is_last = False  # epoch of all that there are left
        self.seconds_before = 0.0
        self.ended = False
        self.finished = False
        self._prune = prune
        self._first_epoch = epochs.start
        self._trial_started = trial_started
        self._heard = False  # of a batch
        self._best_elsewhere = best_elsewhere
        self._latest: dict[str, float] = {}
        self._best_weights: list[Any] = []
        self._started = time.monotonic()
        self._seconds = 0.0

    def restore(self, checkpoint: Checkpoint, gan: GAN) -> None:
        """Goes on from a checkpoint: the next epoch, and all after it, are those of an uninterrupted training.

        Raises:
            ValueError: it is of another GAN; nothing was changed.
        """
        gan.set_state(checkpoint.state)
        self.set_model(gan)
        progress = checkpoint.progress
        self.initial_epoch = self.last_epoch = progress.last_epoch
        self.seconds_before = self._seconds = progress.seconds
        for name, seconds in progress.times.items():
            if seconds is not None:
                setattr(self.times, name, (getattr(self.times, name) or 0.0) + seconds)
        self.best_score, self.best_epoch = progress.best_score, progress.best_epoch
        self.best_metrics, self._latest = progress.best_metrics, progress.latest
        self.ended, self.out_of_time, self.pruned = progress.ended, progress.out_of_time, progress.pruned
        self.out_of_epochs = progress.out_of_epochs
        self._best_weights = list(checkpoint.best) or gan.ema_generator.get_weights()
        if self.execution == 0:
            # The process may have ended before these files were written.
            last = gan.ema_generator.get_weights()
            gan.ema_generator.set_weights(self._best_weights)
            self._write_best()
            gan.ema_generator.set_weights(last)

    def _write_checkpoint(self) -> None:
        progress = Progress(
            execution=self.execution,
            seed=self.seed,
            first_epoch=self._first_epoch,
            last_epoch=self.last_epoch,
            ended=bool(self.model.stop_training),
            out_of_time=self.out_of_time,
            pruned=self.pruned,
            seconds=self._seconds,
            trial_s=time.monotonic() - self._trial_started,
            times=dict(vars(self.times)),
            best_score=self.best_score,
            best_epoch=self.best_epoch,
            best_metrics=self.best_metrics,
            latest=self._latest,
            out_of_epochs=self.out_of_epochs,
        )
        best = [] if self.best_epoch == self.last_epoch else self._best_weights
        with self.times.spent_on("save_s"), fatal_when_unwritable():
            check_room(self.folder, self.model)
            Checkpoint(progress, self.model.get_state(), best).write(self.folder / files.CHECKPOINT)
        self.ended = progress.ended

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stops the clock, and notes if a callback ended the training."""
        self._seconds = self.seconds_before + time.monotonic() - self._started
        if self.model.stop_training and not self.ended and self.last_epoch > self.initial_epoch:
            self._write_checkpoint()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes whether this is the last of the epochs that all trials may train."""
        left = self.epochs_left()
        self._is_last = left is not None and left <= 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes when the first batch ended, and ends the training when its time is over."""
        now = time.monotonic()
        if not self._heard:
            self._heard = True
            self.times.compile_s = (self.times.compile_s or 0.0) + now - self._started
        trained = self.seconds_before + now - self._started - (self.times.compile_s or 0.0)
        limits = ((now, self.stop_at), (trained, self.max_time))
        if any(most is not None and seconds >= most for seconds, most in limits):
            self.out_of_time = True
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the losses, scores at a rung and writes the history."""
        logs = {} if logs is None else logs
        self.last_epoch = epoch + 1
        self._seconds = self.seconds_before + time.monotonic() - self._started
        if self._is_last:
            self.out_of_epochs = self.model.stop_training = True
        losses = {name: float(logs[name]) for name in ("d_loss", "g_loss")}
        for name, value in losses.items():
            if not math.isfinite(value):
                side = "discriminator" if name == "d_loss" else "generator"
                raise DegenerateError(f"{side} loss is {value}", "diverged")
        metrics: dict[str, float] = {}
        # Every epoch, the first among them, carries the latest score, so that callbacks always find it.
        if not self._latest or is_rung(self.last_epoch, self.epochs) or self.model.stop_training:
            metrics = self._score()
        self._latest |= metrics
        logs.update(self._latest)
        self.rows.append(
            {
                "execution": self.execution,
                "epoch": self.last_epoch,
                "step": self._step(),
                "seconds": round(self._seconds, 3),
                **losses,
                **{f"metric.{name}": metrics.get(name) for name in self._rung_metrics()},
            }
        )
        with self.times.spent_on("save_s"), fatal_when_unwritable():
            write_history(self.folder / files.HISTORY, self.rows)
        if is_rung(self.last_epoch, self.epochs) and self.last_epoch < self.epochs and not self.model.stop_training:
            assert self.best_score is not None
            self.pruned = self.model.stop_training = self._prune(self.last_epoch, self.best_score)
        # In this order: a training that goes on from the checkpoint has the rows before it and the weights after it.
        self._write_checkpoint()
        # Later executions write theirs at their end: until then, the trial's generator is that of a finished one.
        if self.execution == 0 and self.best_epoch == self.last_epoch:
            self._write_best()

    def _step(self) -> int:
        return int(keras.ops.convert_to_numpy(self.model.steps))  # under a strategy it is no number

    def _rung_metrics(self) -> tuple[str, ...]:
        of_labels = self.quality.label_metrics if self.model.architecture.classes else ()
        return (*self.quality.rung_metrics, *of_labels)

    def _score(self) -> dict[str, float]:
        weights = self.model.ema_generator.get_weights()
        if not all(np.isfinite(one).all() for one in weights):
            raise DegenerateError("weights of the generator are not finite", "diverged")
        with self.times.spent_on("eval_s"):
            metrics = self.quality.score(self.model.ema_generator)
        self._check_classes(metrics)
        score = metrics[self.quality.objective]
        if not math.isfinite(score):
            raise DegenerateError(f"{self.quality.objective} is {score}", "diverged")
        if self.is_better(score, self.best_score):
            self.best_score, self.best_epoch, self.best_metrics = score, self.last_epoch, metrics
            self._best_weights = weights
        return metrics

    def _check_classes(self, metrics: Mapping[str, float]) -> None:
        """Ends a training that makes one class only, rung after rung, and does not get better.

        In the first steps many do that end well, and the longer, the lower their learning rates. Where nearly all real
        images are of one class, a good generator makes that one only: what is not out of balance enough for the flag of
        a finished trial is no ground for ending one.
        """
        if self._step() < ONE_CLASS_STEPS or self.last_epoch == self.epochs or metrics.get("class_kl", 0.0) <= CLASS_KL:
            return
        modes, score = "metric.modes", f"metric.{self.quality.objective}"
        rows = [row for row in self.rows if row["execution"] == self.execution and row.get(modes) is not None]
        rungs = [(row[modes], row[score]) for row in rows if (row["step"] or 0) >= ONE_CLASS_STEPS]
        latest = [*rungs, (metrics.get("modes"), metrics[self.quality.objective])][-ONE_CLASS_RUNGS:]
        is_better = any(self.is_better(one, latest[0][1]) for _, one in latest)
        if [count for count, _ in latest] == [1] * ONE_CLASS_RUNGS and not is_better:
            raise DegenerateError("the generator makes images of one class only", "collapsed")

    def evaluate_best(self, generator: keras.Model) -> None:
        """Gives the best epoch every score, its flags and, of a conditional generator, the scores of each class.

        Args:
            generator: of the same architecture; it gets the weights of the best epoch.
        """
        generator.set_weights(self._best_weights)
        if self.execution > 0 and self.is_best_of_trial():
            self._write_best()
        with self.times.spent_on("eval_s"):
            self.best_metrics = self.quality.evaluate(generator)
            self.flags = self.quality.flags(self.best_metrics)
            if self.model.architecture.classes:
                scores = zip(self.quality.class_names, self.quality.evaluate_classes(generator), strict=True)
                self.classes = tuple(ClassRecord(name, *score) for name, score in scores)

    def is_better(self, score: float | None, than: float | None) -> bool:
        """Tells whether a score beats another; any score beats none."""
        if score is None or than is None:
            return score is not None
        return score < than if self.quality.direction == "min" else score > than

    def is_best_of_trial(self) -> bool:
        """Tells whether its best score beats those of the trial's other executions."""
        return self.is_better(self.best_score, self._best_elsewhere)

    def _write_best(self) -> None:
        # In this thread: a thread of its own saved no time that could be measured, see docs/performance.md.
        with self.times.spent_on("save_s"):
            images = sample_images(self.model.ema_generator)
            with fatal_when_unwritable():
                with files.replacing(self.folder / files.GENERATOR) as path:
                    self.model.save_generator(path)
                save_grid(images, self.folder / files.SAMPLES)

    def record(self) -> ExecutionRecord:
        """Returns what is known of this execution now."""
        return ExecutionRecord(
            execution=self.execution,
            seed=self.seed,
            score=self.best_score,
            best_epoch=self.best_epoch,
            epochs=self.last_epoch,
            duration_s=round(self._seconds, 3),
            **{name: None if value is None else round(value, 3) for name, value in vars(self.times).items()},
            metrics=self.best_metrics,
            finished=self.finished,
        )


@contextlib.contextmanager
def fatal_when_unwritable() -> Iterator[None]:
    """Ends the search when its folder or its study cannot be written: every later trial would fail for the same reason.

    Raises:
        keras_tuner.errors.FatalRuntimeError: its argument is a `ProjectError` that says what is wrong, because Keras
            cuts off the causes of what is raised inside `fit`.
    """
    try:
        yield
    except ProjectError as error:
        raise keras_tuner.errors.FatalRuntimeError(error) from error
    except OSError as error:
        raise keras_tuner.errors.FatalRuntimeError(unwritable(error.strerror or error)) from error


def unwritable(reason: object) -> ProjectError:
    """The error for a project folder that cannot be written while a search runs."""
    return ProjectError(
        f"The search cannot write to its folder ({reason}): make room or fix the permissions, then run it again; "
        "finished trials are kept."
    )


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as CSV, atomically; a value of None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def count_epochs(path: Path) -> int:
    """Returns how many rows of `write_history` a file holds; none where there is no file yet."""
    try:
        return max(0, path.read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0
