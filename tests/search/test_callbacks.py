"""The callback that scores, and the callbacks of users beside it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest
from searches import QUIET, MeanQuality, blobs, make_tuner, run_search

from tuner_gan import files
from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.results import load
from tuner_gan.search.callbacks import is_rung

pytestmark = QUIET


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, [1]),
        (10, list(range(1, 11))),
        (11, [2, 4, 6, 8, 10, 11]),
        (25, [3, 6, 9, 12, 15, 18, 21, 24, 25]),
        (30, list(range(3, 31, 3))),
        # Each 1.42 times as late as the one before.
        (100, [3, 4, 6, 9, 12, 17, 25, 35, 50, 70, 100]),
        (320, [8, 12, 17, 24, 35, 51, 73, 106, 153, 221, 320]),
    ],
)
def test_rungs(epochs: int, rungs: list[int]) -> None:
    assert [epoch for epoch in range(1, epochs + 1) if is_rung(epoch, epochs)] == rungs


class Seen(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes what it finds; `everything` is of the class, because each execution has its own copy."""

    everything: list[tuple[int, int, float]]

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1
        Seen.everything.append((id(self), self.epochs, logs["fcd"]))


def test_each_execution_has_copies_that_find_the_score_at_every_epoch(tmp_path: Path) -> None:
    Seen.everything = []
    original = Seen()
    tuner = make_tuner(tmp_path, executions_per_trial=2, max_trials=1)
    tuner.search(blobs(), epochs=12, callbacks=[original])
    assert original.epochs == 0
    assert [epoch for _, epoch, _ in Seen.everything] == [*range(1, 13), *range(1, 13)]
    history = tuner.results().history()
    latest = history.groupby("execution")["metric.fcd"].ffill()
    assert [score for _, _, score in Seen.everything] == list(latest)


def test_each_execution_has_a_log_of_its_own_for_tensorboard(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, executions_per_trial=2, max_trials=1, finalists=1, finalist_seeds=1, eager=True)
    log = keras.callbacks.TensorBoard(tmp_path / "logs")
    tuner.search(blobs(), epochs=1, callbacks=[log])
    assert log.log_dir == str(tmp_path / "logs")
    written = {str(path.parent.relative_to(tmp_path / "logs")) for path in tmp_path.glob("logs/**/events.*")}
    assert written == {"0/execution0/train", "0/execution1/train", "final_0/execution0/train"}


class Rising(MeanQuality):
    """Each score is worse than the one before."""

    calls = 0

    def score(self, generator: keras.Model) -> dict[str, float]:
        Rising.calls += 1
        return super().score(generator) | {"fcd": float(Rising.calls)}


def test_early_stopping(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, quality=Rising(blobs()), eager=True)
    stop = keras.callbacks.EarlyStopping(monitor="fcd", mode="min", patience=2)
    tuner.search(blobs(), epochs=9, callbacks=[stop])
    for record in tuner.results().records:
        assert record.status == "COMPLETED"
        assert record.message == "stopped by a callback after 3 of 9 epochs"
        assert (record.epochs, record.best_epoch) == (3, 1)


def test_stopping_before_the_first_rung(tmp_path: Path) -> None:
    class AtOnce(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    tuner = make_tuner(tmp_path, max_trials=1, eager=True)
    tuner.search(blobs(), epochs=50, callbacks=[AtOnce()])
    best = tuner.results().best
    assert (best.status, best.epochs, best.best_epoch) == ("COMPLETED", 1, 1)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """A clock on which tracing takes a while, and each call of the step a second."""

    now = 100.0

    def __init__(self, tracing_s: float) -> None:
        super().__init__()
        self.tracing_s = tracing_s

    def on_train_begin(self, logs: Any = None) -> None:
        Clock.now += self.tracing_s

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        Clock.now += 1.0


@pytest.mark.parametrize("tracing_s", [0.0, 50.0])
def test_the_first_step_is_none_of_a_training_s_time(
    tracing_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("callbacks", "trial"):
        monkeypatch.setattr(f"tuner_gan.search.{module}.time", SimpleNamespace(monotonic=lambda: Clock.now))
    tuner = make_tuner(tmp_path, max_trials=1, executions_per_trial=2, eager=True)
    # One call an epoch; the clock is looked at before the callbacks of a user are.
    tuner.search(blobs(), epochs=30, max_trial_time=4.0, callbacks=[Clock(tracing_s)])
    executions = tuner.results().executions()
    assert list(executions.compile_s) == [tracing_s] * 2
    assert list(executions.epochs) == [5] * 2
    assert tuner.results().best.message == "stopped by its time limit after 5 of 30 epochs"


class Fails(keras.callbacks.Callback):  # type: ignore[misc]
    """Fails in the first execution."""

    times = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        Fails.times += 1
        if Fails.times == 2:
            raise ValueError("the printer is on fire")


def test_an_error_in_a_callback_fails_its_trial_only(tmp_path: Path) -> None:
    Fails.times = 0
    tuner = make_tuner(tmp_path)
    tuner.search(blobs(), epochs=3, callbacks=[Fails()])
    first, second = (tuner.results().trial(trial_id) for trial_id in "01")
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert first.message == "ValueError: the printer is on fire (after epoch 2)"
    assert tuner.oracle.get_trial("0").message == first.message
    assert len(first.executions) == 1
    assert first.executions[0].epochs == 2


class Uncopyable(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (["early"], "callbacks must be Keras callbacks, but one of them is 'early'"),
        (keras.callbacks.TerminateOnNaN(), "callbacks must be a list of Keras callbacks"),
        ([Uncopyable()], r"that copy\.deepcopy can copy for each execution, .*: cannot pickle"),
    ],
    ids=["no callback", "no list", "no copy"],
)
def test_callbacks_that_cannot_be_used(callbacks: Any, message: str, tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    with pytest.raises(ConfigError, match=message):
        tuner.search(blobs(), callbacks=callbacks)
    assert len(load(tuner.folder)) == 0


def test_the_history_is_there_after_each_epoch(tmp_path: Path) -> None:
    class Reads(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            rows.append(len(load(tmp_path / "search").history()))

    rows: list[int] = []
    tuner = make_tuner(tmp_path, max_trials=1, executions_per_trial=2)
    tuner.search(blobs(), epochs=2, callbacks=[Reads()])
    assert rows == [1, 2, 3, 4]


class BestSecond(MeanQuality):
    """Its second score is the best one, whatever the images."""

    def __init__(self) -> None:
        super().__init__(blobs())
        self.calls = 0

    def score(self, generator: keras.Model) -> dict[str, float]:
        self.calls += 1
        return super().score(generator) | {"fcd": abs(self.calls - 2.0)}


def test_the_best_epoch_is_evaluated_and_the_last_one_saved(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, quality=BestSecond(), max_trials=1, epochs=4)
    best, history = tuner.results().best, tuner.results().history()
    brightness = list(history["metric.brightness"])
    assert len(set(brightness)) == 4
    assert best.best_epoch == 2
    assert best.metrics["brightness"] == pytest.approx(brightness[1], abs=1e-7)
    gan = GAN(GANArchitecture.from_json(files.read_json(best.folder / files.ARCHITECTURE)), seed=best.seed)
    gan.compile()
    gan.load_weights(best.folder / files.STATE)
    assert MeanQuality(blobs()).score(gan.ema_generator)["brightness"] == pytest.approx(brightness[3], abs=1e-7)


def test_samples_and_generator_are_of_one_moment(tmp_path: Path) -> None:
    from PIL import Image

    from tuner_gan.images import generate_images, save_grid

    best = run_search(tmp_path, max_trials=1).results().best
    generator = keras.saving.load_model(best.folder / "generator.keras")
    save_grid(generate_images(generator, 64, seed=0), tmp_path / "expected.png")
    with Image.open(best.folder / "samples.png") as samples, Image.open(tmp_path / "expected.png") as expected:
        assert samples.tobytes() == expected.tobytes()


class Slow(MeanQuality):
    """Takes its time to score."""

    seconds = 0.3

    def score(self, generator: keras.Model) -> dict[str, float]:
        time.sleep(self.seconds)
        return super().score(generator)


def test_a_slow_scorer_shows_in_its_own_column_of_each_execution_and_of_the_trial(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, quality=Slow(blobs()), executions_per_trial=2, max_trials=1)
    tuner.search(blobs(), epochs=3)
    executions, trial = tuner.results().executions(), tuner.results().trials().iloc[0]
    others = ["build_s", "compile_s", "save_s"]
    assert (executions["eval_s"] >= 3 * Slow.seconds).all()
    assert (executions["duration_s"] >= executions["compile_s"] + 3 * Slow.seconds).all()
    for name in ["eval_s", *others]:
        assert (executions[name] > 0).all(), name
        # The last record is written after the executions' own times are known.
        assert trial[name] == pytest.approx(executions[name].sum(), abs=0.01), name


def test_a_slow_build_shows_in_its_own_column_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the build advances."""
    now = 100.0
    tuner = make_tuner(tmp_path, max_trials=1)
    build = tuner.hypermodel.build

    def slow(hp: Any) -> GAN:
        nonlocal now
        now += 0.5
        gan: GAN = build(hp)
        return gan

    monkeypatch.setattr(tuner.hypermodel, "build", slow)
    monkeypatch.setattr("tuner_gan.search.callbacks.time", SimpleNamespace(monotonic=lambda: now))
    tuner.search(blobs(), epochs=2)
    trial = tuner.results().trials().iloc[0]
    assert [trial[name] for name in ("build_s", "compile_s", "eval_s", "save_s")] == [0.5, 0, 0, 0]


def test_a_second_execution_is_not_compiled_again(tmp_path: Path, traced: list[GAN]) -> None:
    tuner = make_tuner(tmp_path, executions_per_trial=3, max_trials=1)
    tuner.search(blobs(), epochs=2)
    assert len(traced) == 1
    assert tuner.results().executions()["score"].nunique() == 3
