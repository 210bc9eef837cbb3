"""A trial that is trained again comes to the same score, whatever ended it; what cannot be compared is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import keras
import keras_tuner
import numpy as np
import pytest
from searches import QUIET, SHAPE, EagerHyperModel, MeanQuality, TinySpace, blobs, make_tuner, run_search

from tuner_gan import files, threads
from tuner_gan.errors import ConfigError, ProjectError, SearchError, SelectionError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.results import load
from tuner_gan.results.records import TrialRecord, read_history, write_record
from tuner_gan.search.rerun import Rerun, rerun_by_settings
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

TRIAL_FILES = {
    *(files.RECORD, files.ARCHITECTURE, files.HISTORY),
    *(files.GENERATOR, files.STATE, files.SAMPLES),
    files.copy_of(Path(files.RECORD)).name,
    files.LOCK,
}


def assert_same_training(found: Rerun) -> None:
    found.check()
    assert found.before.score == found.after.score
    for one, other in zip(found.before.executions, found.after.executions, strict=True):
        assert (one.score, one.seed, one.epochs, one.best_epoch) == (
            *(other.score, other.seed, other.epochs, other.best_epoch),
        )
        assert one.metrics == other.metrics
    rows = [[{**row, "seconds": 0} for row in read_history(record)] for record in (found.before, found.after)]
    assert rows[0] == rows[1] != []


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.showwarning", lambda *_, **__: None)
        return run_search(tmp_path_factory.mktemp("whole"), executions_per_trial=2, eager=True)


def test_a_trial_comes_out_the_same_beside_the_search(searched: GANTuner) -> None:
    before = searched.results().records
    for trial_id in ("best", "1"):
        found = searched.rerun(trial_id, blobs())
        assert_same_training(found)
        assert found.after.folder == searched.folder / "reruns" / f"trial_{found.before.trial_id}"
        assert {path.name for path in found.after.folder.iterdir()} == TRIAL_FILES
        assert load(searched.folder).records == before
    (again,) = {searched.rerun("1", blobs()).after.started_at, found.after.started_at} - {found.after.started_at}
    assert str(again) > str(found.after.started_at)


def test_hyperparameters_that_a_trial_has_added_are_the_same_in_another_process(tmp_path: Path) -> None:
    class Deep(TinySpace):
        """Declares a layer's width when there is such a layer."""

        def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
            widths = tuple(hp.Int(f"width_{layer}", 4, 64) for layer in range(hp.Int("depth", 1, 3)))
            architecture = super().sample(keras_tuner.HyperParameters())
            generator = dataclasses.replace(architecture.generator, widths=widths)
            return dataclasses.replace(architecture, generator=generator)

    settings: dict[str, Any] = {"space": Deep(), "max_trials": 2, "eager": True}
    first = run_search(tmp_path, epochs=1, **settings)
    assert [len(record.hyperparameters) for record in first.results().records] == [4, 2]  # the second has three layers
    for _ in range(2):
        again = make_tuner(tmp_path, **settings)
        for record in again.results().records:
            assert again.oracle.trials[record.trial_id].hyperparameters.values == record.hyperparameters
    assert_same_training(again.rerun("1", blobs()))


def test_a_rerun_that_was_interrupted_goes_on(searched: GANTuner, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = MeanQuality.evaluate

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(MeanQuality, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched.rerun("0", blobs())
    monkeypatch.setattr(MeanQuality, "evaluate", evaluate)
    target = searched.folder / "reruns" / "trial_0"
    first = files.read_json(target / files.RECORD)["started_at"]
    found = searched.rerun("0", blobs())
    assert found.after.started_at == first
    assert_same_training(found)


def test_one_process_at_a_time_trains_a_trial_again(searched: GANTuner) -> None:
    target = searched.folder / "reruns" / "trial_1"
    files.create_folder(target)
    with (
        filelock.FileLock(target / files.LOCK),
        pytest.raises(ProjectError, match=r"^Trial 1 is being trained again by another process: wait for it"),
    ):
        searched.rerun("1", blobs())
    assert_same_training(searched.rerun("1", blobs()))


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Time passes by a second with every call that trains."""

    now = 100.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        Clock.now += 1.0


def test_a_time_limit_in_the_midst_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: Clock.now)
    for module in ("callbacks", "trial"):
        monkeypatch.setattr(f"tuner_gan.search.{module}.time", clock)
    images = blobs(640)  # 20 steps an epoch, in three calls
    tuner = make_tuner(tmp_path, max_trials=1, eager=True, space=TinySpace(batch_size=32))
    tuner.search(images, epochs=30, max_trial_time=4.0, callbacks=[Clock()])
    best = tuner.results().best
    assert best.message == "stopped by its time limit after 2 of 30 epochs"
    assert [row["step"] for row in read_history(best)] == [20, 36]
    found = tuner.rerun("best", images)
    assert_same_training(found)
    assert found.after.planned_epochs == 30


class StopsAt(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 1


def test_a_callback_that_ended_it_before_a_rung(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, max_trials=1, eager=True)
    tuner.search(blobs(), epochs=30, callbacks=[StopsAt()])
    best = tuner.results().best
    assert [row["metric.fcd"] is None for row in read_history(best)] == [False, True]
    assert_same_training(tuner.rerun("best", blobs()))


def test_a_promoted_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = make_tuner(tmp_path, oracle="hyperband", max_epochs=3, max_trials=4, seed=1, eager=True)
    tuner.search(blobs())
    (promoted,) = (record for record in tuner.results().records if record.promoted_from is not None)
    assert_same_training(tuner.rerun(promoted.trial_id, blobs()))

    # Its model is loaded without that of the trial that it went on from.
    load_weights, loaded = GAN.load_weights, []

    def noted(gan: GAN, path: Path) -> None:
        loaded.append(path)
        load_weights(gan, path)

    monkeypatch.setattr(GAN, "load_weights", noted)
    gan = tuner.load_model(tuner.oracle.get_trial(promoted.trial_id))
    assert int(gan.generator_optimizer.iterations) == read_history(promoted)[-1]["step"]
    assert loaded == [promoted.folder / files.STATE]


def test_a_finalist_is_trained_by_the_user_s_own_fit(tmp_path: Path) -> None:
    class Twice(EagerHyperModel):
        def fit(self, hp: Any, model: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
            return super().fit(hp, model, np.concatenate([images, images[::-1]]), *args, **kwargs)

    hypermodel = Twice(SHAPE, TinySpace(batch_size=32))
    tuner = run_search(tmp_path, hypermodel=hypermodel, finalists=1, finalist_seeds=2)
    found = tuner.rerun("best", blobs())
    assert found.before.origin == "finalist"
    assert read_history(found.before)[0]["step"] == 6  # 96 images would be three steps
    assert_same_training(found)


def test_another_score_is_refused(searched: GANTuner) -> None:
    record = searched.results().trial("0")
    assert record.score is not None
    other = dataclasses.replace(record, score=record.score + 1e-12)
    with pytest.raises(SearchError, match=rf"^Trial 0 scored {record.score} .* again, not {other.score}: .*machine"):
        Rerun(other, record).check()
    with pytest.raises(SearchError, match=r": keras 3, not 2\.$"):
        Rerun(other, record, "keras 3, not 2").check()
    Rerun(record, record).check()


def test_another_number_of_threads_is_told(searched: GANTuner, tmp_path: Path) -> None:
    now = searched.results().trial("0").threads
    assert now == threads.in_use()
    changed(searched, tmp_path, threads=64)
    found = make_tuner(tmp_path, executions_per_trial=2, eager=True).rerun("0", blobs())
    assert (found.before.threads, found.after.threads) == (64, now)
    told = f"{now} threads of TensorFlow, not 64 (set TF_NUM_INTRAOP_THREADS=64)"
    assert found.changes == told
    with pytest.raises(SearchError, match=rf"{re.escape(told)}\.$"):
        dataclasses.replace(found, after=dataclasses.replace(found.after, score=-1.0)).check()


def test_a_trial_that_fails_this_time(searched: GANTuner, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> Any:
        raise ValueError("the printer is on fire")

    monkeypatch.setattr(MeanQuality, "score", fails)
    with pytest.raises(SearchError, match="Trial 0 failed when it was trained again: ValueError: the printer is on"):
        searched.rerun("0", blobs())


def changed(searched: GANTuner, to: Path, **changes: Any) -> TrialRecord:
    """Trial 0 with another record, in a copy of the project."""
    import shutil

    project = shutil.copytree(searched.folder, to / "search")
    record = dataclasses.replace(load(project).trial("0"), **changes)
    write_record(record.folder, record)
    return record


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"status": "FAILED", "score": None},
            SelectionError,
            r"^Trial 0 has no final score .*\(it is FAILED\)",
        ),
        ({"status": "INTERRUPTED"}, SelectionError, r"^Trial 0 has no final score .*\(it is INTERRUPTED\)"),
        ({"planned_epochs": None}, ProjectError, "does not say from which seeds or for how many steps it was trained"),
        ({"executions": ()}, ProjectError, "does not say from which seeds"),
    ],
)
def test_a_trial_that_cannot_be_trained_again(
    changes: dict[str, Any], error: type[Exception], message: str, searched: GANTuner, tmp_path: Path
) -> None:
    changed(searched, tmp_path, **changes)
    tuner = make_tuner(tmp_path, executions_per_trial=2, eager=True)
    with pytest.raises(error, match=message):
        tuner.rerun("0", blobs())


def test_other_images_are_refused(searched: GANTuner) -> None:
    with pytest.raises(ProjectError, match="was searched with other training images or labels"):
        searched.rerun("0", blobs(seed=9))


def test_a_search_made_in_python_is_not_for_the_command_line(searched: GANTuner) -> None:
    with pytest.raises(
        ConfigError, match=r"does not say how its data were loaded.*: call GANTuner\.rerun\(trial_id, x\)"
    ):
        rerun_by_settings(searched.folder, "0")
