"""A checkpoint is read as it was written, or refused; what is lost is the execution that ran, and a warning says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from searches import (
    QUIET,
    MeanQuality,
    TinySpace,
    assert_same_search,
    blobs,
    make_tuner,
    run_search,
)

from tuner_gan import files, threads
from tuner_gan.errors import ProjectError
from tuner_gan.results.records import TrialRecord
from tuner_gan.search.checkpoint import Checkpoint, Progress
from tuner_gan.search.finalists import FinalRound
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

PROGRESS = Progress(
    execution=1,
    seed=2**31 - 1,
    first_epoch=0,
    last_epoch=700,
    ended=False,
    out_of_time=False,
    pruned=False,
    seconds=0.1,
    trial_s=1e-3,
    times={"build_s": 0.1, "compile_s": None},
    best_score=1 / 3,
    best_epoch=2,
    best_metrics={f"metric of a long name {number}": number / 3 for number in range(3000)},
    latest={},
)


def written(path: Path) -> Checkpoint:
    state: list[npt.NDArray[Any]] = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(7, np.int64),
        np.array([1, 2], np.uint32),
    ]
    checkpoint = Checkpoint(PROGRESS, state, [np.ones((2, 1), np.float32)])
    checkpoint.write(path)
    return checkpoint


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / files.CHECKPOINT
    before, after = written(path), Checkpoint.read(path)
    assert after.progress == PROGRESS
    for name in ("state", "best"):
        for one, other in zip(getattr(before, name), getattr(after, name), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert list(tmp_path.iterdir()) == [path]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """Changes one number."""
    content = path.read_bytes()
    at = content.index(np.arange(6, dtype=np.float32).tobytes())
    path.write_bytes(content[: at + 4] + bytes([content[at + 4] ^ 1]) + content[at + 5 :])


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_a_damaged_one_is_refused(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / files.CHECKPOINT
    written(path)
    damage(path)
    with pytest.raises(ProjectError, match=rf"{files.CHECKPOINT} is damaged \(.+\)$"):
        Checkpoint.read(path)


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends one of the trainings after an epoch; like a killed process, with nothing written after that."""

    trainings: int
    epochs: list[int]

    def __init__(self, training: int = -1, epoch: int = -1) -> None:
        super().__init__()
        self.at = training, epoch

    def on_train_begin(self, logs: Any = None) -> None:
        Stop.trainings += 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        Stop.epochs.append(epoch)
        if (Stop.trainings, epoch) == self.at:
            raise KeyboardInterrupt


SEARCH: dict[str, Any] = {"executions_per_trial": 2, "max_trials": 1, "eager": True}


def search(directory: Path, *callbacks: keras.callbacks.Callback, epochs: int = 3, **changes: Any) -> GANTuner:
    Stop.trainings, Stop.epochs = -1, []
    tuner = make_tuner(directory, **{**SEARCH, **changes})
    tuner.search(blobs(), epochs=epochs, callbacks=callbacks)
    return tuner


def interrupted(
    directory: Path, training: int, epoch: int, *callbacks: keras.callbacks.Callback, **changes: Any
) -> Path:
    """Runs the search until an epoch of a training begins; returns the trial's folder."""
    with pytest.raises(KeyboardInterrupt):
        search(directory, Stop(training, epoch), *callbacks, **changes)
    return directory / "search" / "trial_0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.showwarning", lambda *_, **__: None)
        return run_search(tmp_path_factory.mktemp("whole"), epochs=3, **SEARCH)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(cut, r"weights\.h5 is damaged \(.+\)"), (Path.unlink, r"weights\.h5 is missing")],
    ids=["truncated", "missing"],
)
def test_only_the_execution_that_ran_is_lost(
    damage: Callable[[Path], None], message: str, tmp_path: Path, whole: GANTuner
) -> None:
    folder = interrupted(tmp_path, 1, 2)
    damage(folder / files.CHECKPOINT)
    before = files.read_json(folder / files.RECORD)["executions"]
    assert before[0]["score"] > before[1]["score"], "an execution that is not to be written before its end"
    with pytest.warns(UserWarning, match=f"^Execution 1 of trial 0 starts again: .*{message}\\.$") as caught:
        tuner = search(tmp_path, Stop())
    assert len([one for one in caught if one.category is UserWarning]) == 1
    assert Stop.epochs == [0, 1, 2]
    assert_same_search(tuner, whole)


def test_a_damaged_record_costs_the_trial(tmp_path: Path, whole: GANTuner) -> None:
    folder = interrupted(tmp_path, 1, 2)
    cut(folder / files.RECORD)
    with pytest.warns(UserWarning, match=r"^Trial 0 starts again: .*record\.json is damaged"):
        tuner = search(tmp_path, Stop())
    assert Stop.epochs == [0, 1, 2, 0, 1, 2]
    assert_same_search(tuner, whole)


def test_a_history_that_lacks_epochs_costs_the_execution(tmp_path: Path, whole: GANTuner) -> None:
    folder = interrupted(tmp_path, 1, 2)
    lines = (folder / files.HISTORY).read_text().splitlines()
    (folder / files.HISTORY).write_text("\n".join(lines[:-1]) + "\n")
    with pytest.warns(UserWarning, match=r"history\.csv is damaged: it lacks epochs before its checkpoint"):
        tuner = search(tmp_path, Stop())
    assert Stop.epochs == [0, 1, 2]
    assert_same_search(tuner, whole)


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path, whole: GANTuner) -> None:
    folder = interrupted(tmp_path, 1, 2)
    last = (folder / files.HISTORY).read_text().splitlines()[-1].split(",")
    with (folder / files.HISTORY).open("a") as file:
        file.write(",".join(["1", "3", "9", "99.0", *last[4:]]) + "\n")
    tuner = search(tmp_path, Stop())
    assert Stop.epochs == [2]
    assert_same_search(tuner, whole)


@pytest.mark.parametrize(("execution", "epoch", "expected"), [(0, 2, None), (1, 1, None), (0, 0, 64)])
def test_a_trial_that_goes_on_with_another_number_of_threads_has_none(
    execution: int, epoch: int, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted(tmp_path, execution, epoch)
    before = files.read_json(folder / files.RECORD)["threads"]
    assert before == threads.in_use()
    monkeypatch.setattr(threads, "in_use", lambda: 64)
    records = search(tmp_path, Stop()).results().records
    assert records[0].threads == expected


def test_generator_and_samples_that_were_not_written_any_more_are(tmp_path: Path, whole: GANTuner) -> None:
    folder = interrupted(tmp_path, 0, 2)
    (folder / files.GENERATOR).unlink()
    (folder / files.SAMPLES).unlink()
    tuner = search(tmp_path, Stop())
    assert_same_search(tuner, whole)
    assert (folder / files.SAMPLES).read_bytes() == (whole.folder / "trial_0" / files.SAMPLES).read_bytes()


def test_other_epochs_start_the_trial_again(tmp_path: Path) -> None:
    interrupted(tmp_path, 1, 2)
    with pytest.warns(UserWarning, match="starts again: it was interrupted with other epochs, seeds or hyperparameter"):
        tuner = search(tmp_path, Stop(), epochs=2)
    assert Stop.epochs == [0, 1, 0, 1]
    assert tuner.results().best.planned_epochs == 2


def test_another_architecture_of_the_same_hyperparameters_starts_the_trial_again(tmp_path: Path) -> None:
    interrupted(tmp_path, 1, 2)
    with pytest.warns(UserWarning, match="Trial 0 starts again: its architecture is another one now"):
        tuner = search(tmp_path, Stop(), space=TinySpace(learning_rate=1e-2))
    assert Stop.epochs == [0, 1, 2, 0, 1, 2]
    assert_same_search(tuner, run_search(tmp_path / "other", epochs=3, space=TinySpace(learning_rate=1e-2), **SEARCH))


class Rising(MeanQuality):
    """Scores the brightness, whose best epoch is seldom the last."""

    def score(self, generator: keras.Model) -> dict[str, float]:
        scores = super().score(generator)
        return scores | {"fcd": scores["brightness"]}


@pytest.mark.parametrize("direction", [1, -1])
def test_the_best_epoch_before_the_interruption_stays_the_best(direction: int, tmp_path: Path) -> None:
    class Signed(Rising):
        def score(self, generator: keras.Model) -> dict[str, float]:
            scores = super().score(generator)
            return scores | {"fcd": direction * scores["fcd"]}

    arguments: dict[str, Any] = {**SEARCH, "executions_per_trial": 1}
    expected = run_search(tmp_path / "whole", epochs=6, quality=Signed(blobs()), **arguments)
    interrupted(tmp_path, 0, 4, epochs=6, quality=Signed(blobs()), executions_per_trial=1)
    tuner = search(tmp_path, Stop(), epochs=6, quality=Signed(blobs()), executions_per_trial=1)
    assert Stop.epochs == [4, 5]
    assert_same_search(tuner, expected)


class StopsAt(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 1


class FailsOnce(MeanQuality):
    """The process ends while the best epoch is evaluated."""

    ended = False

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        if not FailsOnce.ended:
            FailsOnce.ended = True
            raise KeyboardInterrupt
        return super().evaluate(images, labels, second=second)


def test_what_a_callback_had_ended_is_not_trained_on(tmp_path: Path) -> None:
    expected = search(tmp_path / "whole", Stop(), StopsAt(), epochs=5, quality=MeanQuality(blobs()))
    assert expected.results().best.message == "stopped by a callback after 2 of 5 epochs"
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, StopsAt(), epochs=5, quality=FailsOnce(blobs()))
    tuner = search(tmp_path, Stop(), StopsAt(), epochs=5, quality=MeanQuality(blobs()))
    assert Stop.epochs == [0, 1]  # of the second execution
    assert_same_search(tuner, expected)


class EndsAt(MeanQuality):
    """The process ends while the best epoch of one of the trainings is evaluated."""

    evaluated = 0

    def __init__(self, number: int) -> None:
        super().__init__(blobs())
        self.number = number

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        self.evaluated += 1
        if self.evaluated == self.number:
            raise KeyboardInterrupt
        return super().evaluate(images, labels, second=second)


@pytest.mark.parametrize(
    ("settings", "limit", "number", "epochs"),
    [
        ({}, 3, 1, [3]),
        ({}, 2, 1, [2]),
        ({"executions_per_trial": 2}, 3, 1, [3]),
        ({"executions_per_trial": 2}, 5, 2, [5]),
        ({"max_trials": 4, "oracle": "bayesian"}, 4, 2, [3, 1]),
        ({"finalists": 1, "finalist_seeds": 2}, 7, 2, [3, 4]),
        ({"finalists": 1, "finalist_seeds": 2}, 7, 3, [3, 4]),
        ({"baselines": "all"}, 2, 1, [2]),
    ],
)
def test_a_training_that_ended_with_the_budget_of_epochs_is_scored_after_all(
    settings: dict[str, Any],
    limit: int,
    number: int,
    epochs: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuner_gan.search.tuner.PRESETS", ("tutorial_conv",))

    def run(directory: Path, number: int) -> GANTuner:
        changes = {"executions_per_trial": 1, "quality": EndsAt(number), **settings}
        tuner = make_tuner(directory, **{**SEARCH, **changes})
        tuner.search(blobs(), epochs=3, max_total_epochs=limit)
        return tuner

    expected = run(tmp_path / "whole", 0)
    trained = [len(expected.results().history(record.trial_id)) for record in expected.results().records]
    assert sorted(trained) == sorted(epochs)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, number)
    tuner = run(tmp_path, 0)
    assert_same_search(tuner, expected)
    assert {trial.status for trial in tuner.oracle.trials.values()} <= {"COMPLETED"}


def test_an_interrupted_training_is_scored_as_it_is_when_its_epochs_are_spent(tmp_path: Path) -> None:
    interrupted(tmp_path, 0, 2)
    Stop.epochs = []
    tuner = make_tuner(tmp_path, **SEARCH)
    tuner.search(blobs(), epochs=3, max_total_epochs=2, callbacks=[Stop()])
    (record,) = tuner.results().records
    assert Stop.epochs == []
    assert (record.status, record.message) == ("COMPLETED", "stopped by the limit of epochs after 2 of 3 epochs")


def test_a_training_that_a_callback_ended_says_so_also_when_its_epochs_are_spent(tmp_path: Path) -> None:
    class Enough(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            self.model.stop_training = epoch == 1

    with pytest.raises(KeyboardInterrupt):
        make_tuner(tmp_path, **SEARCH, quality=EndsAt(1)).search(blobs(), epochs=3, callbacks=[Enough()])
    tuner = make_tuner(tmp_path, **SEARCH)
    tuner.search(blobs(), epochs=3, max_total_epochs=2, callbacks=[Enough()])
    (record,) = tuner.results().records
    assert (record.status, record.message) == ("COMPLETED", "stopped by a callback after 2 of 3 epochs")


def test_an_epoch_that_is_trained_again_counts_once(tmp_path: Path) -> None:
    interrupted(tmp_path, 0, 2)
    path = tmp_path / "search" / "trial_0" / files.HISTORY
    path.write_text(path.read_text() + path.read_text().splitlines()[-1].replace("0,2,2,", "0,3,3,") + "\n")
    Stop.epochs = []
    tuner = make_tuner(tmp_path, **SEARCH)
    tuner.search(blobs(), epochs=3, max_total_epochs=3, callbacks=[Stop()])
    assert Stop.epochs == [2]
    assert list(tuner.results().history().epoch) == [1, 2, 3]


def test_a_trial_that_was_begun_is_scored_when_the_time_of_trials_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FinalRound, "needed_s", lambda _self, _ranked, most: most)  # all that may be
    interrupted(tmp_path, 0, 2)
    path = tmp_path / "search" / files.SEARCH
    files.write_json(path, files.read_json(path) | {"elapsed_s": 60.0})
    tuner = make_tuner(tmp_path, **{**SEARCH, "max_trials": 5, "finalists": 1, "finalist_seeds": 1})
    tuner.search(blobs(), epochs=3, max_time=100.0)
    finalist, trial = tuner.results().records
    assert (trial.status, trial.message) == (
        "COMPLETED",
        "stopped by its time limit after 2 of 3 epochs; there was time for 1 of 2 trainings",
    )
    assert (finalist.trial_id, finalist.status) == ("final_0", "COMPLETED")


def test_a_time_limit_counts_the_seconds_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted(tmp_path, 0, 2, epochs=50, executions_per_trial=1)
    checkpoint = Checkpoint.read(folder / files.CHECKPOINT)
    vars(checkpoint.progress)["seconds"] = 1000.0
    checkpoint.write(folder / files.CHECKPOINT)
    Stop.trainings, Stop.epochs = -1, []
    tuner = make_tuner(tmp_path, **{**SEARCH, "executions_per_trial": 1})
    tuner.search(blobs(), epochs=50, max_trial_time=900.0, callbacks=[Stop()])
    best = tuner.results().best
    assert Stop.epochs == [2]
    assert (best.epochs, best.message) == (3, "stopped by its time limit after 3 of 50 epochs")
    assert best.executions[0].duration_s is not None
    assert 1000 < best.executions[0].duration_s < 1900


def test_the_search_s_time_is_noted_while_a_trial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner_gan.search.tuner.SECONDS_TO_NOTE", 0.0)

    class Reads(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            noted.append(files.read_json(tmp_path / "search" / files.SEARCH)["elapsed_s"])
            time.sleep(0.01)

    noted: list[float] = []
    tuner = make_tuner(tmp_path, max_trials=1, eager=True)
    tuner.search(blobs(), epochs=3, callbacks=[Reads()])
    assert 0 < noted[0] < noted[1] < noted[2]


def test_a_trial_that_was_begun_is_ended_however_little_time_is_left(tmp_path: Path) -> None:
    interrupted(tmp_path, 0, 2)
    path = tmp_path / "search" / files.SEARCH
    files.write_json(path, files.read_json(path) | {"elapsed_s": 0.0})
    tuner = make_tuner(tmp_path, **{**SEARCH, "max_trials": 5})
    # With less than a sixteenth of the time left, no new one begins.
    tuner.search(blobs(), epochs=3, max_time=1000.0, max_trial_time=10_000.0, spent=950.0)
    assert [record.status for record in tuner.results().records] == ["COMPLETED"]


def test_a_promoted_trial_goes_on_too(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"oracle": "hyperband", "max_epochs": 3, "max_trials": 4, "seed": 1, "eager": True}

    def run(directory: Path, *callbacks: keras.callbacks.Callback) -> GANTuner:
        Stop.trainings, Stop.epochs = -1, []
        tuner = make_tuner(directory, **arguments)
        tuner.search(blobs(), callbacks=callbacks)
        return tuner

    expected = run(tmp_path / "whole", Stop())
    (promoted,) = (record for record in expected.results().records if record.promoted_from is not None)
    assert list(expected.results().history(promoted.trial_id).epoch) == [2, 3]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stop(int(promoted.trial_id), 2))
    tuner = run(tmp_path, Stop())
    assert Stop.epochs == [2]
    assert_same_search(tuner, expected)


def test_a_record_of_an_earlier_version_begins_again(tmp_path: Path, whole: GANTuner) -> None:
    folder = interrupted(tmp_path, 1, 2)
    content = files.read_json(folder / files.RECORD)
    del content["planned_epochs"], content["promoted_from"]
    for execution in content["executions"]:
        del execution["finished"]
    files.write_json(folder / files.RECORD, content)
    (folder / files.CHECKPOINT).unlink()
    assert TrialRecord.from_json(content, folder).executions[0].finished is None
    tuner = search(tmp_path, Stop())
    assert Stop.epochs == [0, 1, 2, 0, 1, 2]
    assert_same_search(tuner, whole)
