"""A search that was killed, interrupted or copied goes on; one of something else is refused."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import keras
import pytest
from searches import (
    QUIET,
    SHAPE,
    EagerHyperModel,
    MeanQuality,
    TinySpace,
    assert_same_search,
    blobs,
    finish,
    make_tuner,
    run_search,
    started,
    until,
)

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results import load
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET


WHOLE: dict[str, Any] = {"epochs": 3, "executions_per_trial": 2, "eager": True}
"""The search of every test here: two trials of two executions."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    """The search, run in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.showwarning", lambda *_, **__: None)
        return run_search(tmp_path_factory.mktemp("whole"), **WHOLE)


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def test_killed_in_the_first_trial(tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    folder = tmp_path / "search"
    with started(tmp_path, **WHOLE, wait="epoch") as process:
        until((tmp_path / "waiting").exists, process)
        with pytest.raises(ProjectError, match=rf"in use by a search with process id {process.pid}: wait for it"):
            run_search(tmp_path, **WHOLE)
        with pytest.raises(ProjectError, match=f"process id {process.pid}"):
            make_tuner(tmp_path, overwrite=True)
        assert list(load(folder).trials().status) == ["RUNNING"]
    (killed,) = load(folder).records
    assert killed.status == "INTERRUPTED"
    assert len(load(folder).history()) == 1
    (folder / "trial_0" / ".0123abcd.tmp.history.csv").touch()

    tuner = run_search(tmp_path, **WHOLE)
    assert_same_search(tuner, uninterrupted)
    again = tuner.results().trial("0")
    assert (again.seed, again.hyperparameters) == (killed.seed, killed.hyperparameters)
    assert again.started_at == killed.started_at
    # One epoch is not trained again: as many steps as without a checkpoint would need three.
    assert tuner.results().history("0").query("execution == 0").seconds.is_monotonic_increasing


def test_killed_between_the_record_and_the_state(tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, **WHOLE, wait="recorded", tuner_id="somebody") as process:
        until((tmp_path / "waiting").exists, process)
    (recorded,) = load(tmp_path / "search").records
    assert recorded.status == "COMPLETED"

    tuner = run_search(tmp_path, **WHOLE, tuner_id="somebody else")
    kept = tuner.results().trial("0")
    assert kept == recorded
    assert tuner.oracle.get_trial("0").score == recorded.score
    assert_same_search(tuner, uninterrupted)
    assert sorted(path.name for path in (tmp_path / "search").glob("trial_*")) == ["trial_0", "trial_1"]


class Trained(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes which epochs are trained, from 0."""

    epochs: list[int]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        Trained.epochs.append(epoch)


def go_on(directory: Path) -> GANTuner:
    """Runs the search again where a process left it."""
    Trained.epochs = []
    tuner = make_tuner(directory, executions_per_trial=2, eager=True)
    tuner.search(blobs(), epochs=3, callbacks=[Trained()])
    return tuner


@pytest.mark.parametrize(
    ("where", "trained"),
    [
        ({"training": 1, "after": 2}, [2, 0, 1, 2, 0, 1, 2]),
        ({"training": 3, "after": 1}, [1, 2]),
    ],
    ids=["first trial", "second trial"],
)
def test_killed_in_the_middle_of_an_epoch(
    where: dict[str, int], trained: list[int], tmp_path: Path, uninterrupted: GANTuner
) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, **WHOLE, wait="epoch", **where) as process:
        until((tmp_path / "waiting").exists, process)
    before = load(tmp_path / "search").records
    tuner = go_on(tmp_path)
    assert Trained.epochs == trained
    assert_same_search(tuner, uninterrupted)
    for record in before:
        if record.status == "COMPLETED":
            assert tuner.results().trial(record.trial_id) == record
        else:
            assert tuner.results().trial(record.trial_id).started_at == record.started_at
    assert {record.status for record in before} >= {"INTERRUPTED"}


@pytest.mark.parametrize(
    ("moment", "number", "trained"),
    [
        ("writing", 1, 4 * [0, 1, 2]),
        ("writing", 8, [1, 2, 0, 1, 2]),
        ("written", 8, [2, 0, 1, 2]),
    ],
)
def test_killed_while_a_checkpoint_is_written(
    moment: str, number: int, trained: list[int], tmp_path: Path, uninterrupted: GANTuner
) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, **WHOLE, die=[moment, number]) as process:
        code, errors = finish(process)
    assert code == -signal.SIGKILL, errors
    tuner = go_on(tmp_path)
    assert Trained.epochs == trained
    assert_same_search(tuner, uninterrupted)


class Killed(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the search at the beginning of an epoch of the first trial, as often as is wanted."""

    def __init__(self, epochs: list[int]) -> None:
        super().__init__()
        self.epochs = epochs

    def __deepcopy__(self, memo: Any) -> Killed:
        return self

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.epochs and self.epochs[0] == epoch:
            self.epochs.pop(0)
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("epochs", "status"),
    [([2, 2, 2], "FAILED"), ([0, 1, 1, 2], "COMPLETED")],
)
def test_a_trial_that_kills_every_process(epochs: list[int], status: str, tmp_path: Path) -> None:
    """As one does for which the memory does not suffice; one that gets on is none."""
    path = tmp_path / "search" / "trial_0" / files.RECORD
    strikes = Killed(list(epochs))
    for _ in epochs:
        tuner = make_tuner(tmp_path, oracle="tpe", eager=True)
        with pytest.raises(KeyboardInterrupt):
            tuner.search(blobs(), epochs=5, callbacks=[strikes])
        files.write_json(path, {**read(path), "status": "RUNNING"})  # what a process that is killed leaves
    tuner = make_tuner(tmp_path, oracle="tpe", eager=True)
    tuner.search(blobs(), epochs=5, callbacks=[strikes])
    first, second = (tuner.results().trial(trial_id) for trial_id in "01")
    assert (first.status, second.status) == (status, "COMPLETED")
    if status == "FAILED":
        assert first.killed_after == tuple(epochs)
        assert str(first.message).startswith(f"the process was killed 3 times in a row after {epochs[0]} epochs of")
        assert tuner.oracle.trials["0"].status == "FAILED"
    else:
        assert (first.killed_after, first.epochs) == ((), 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_by_a_signal(number: signal.Signals, tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, **WHOLE, wait="epoch", training=1, seconds=2.0) as process:
        until((tmp_path / "waiting").exists, process)
        process.send_signal(number)
        code, errors = finish(process)
    if number == signal.SIGINT:
        assert code == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")
    else:
        assert code == 1
        assert errors.rstrip().endswith("tuner_gan.search.interrupts.Terminated")
    record = read(tmp_path / "search" / "trial_0" / files.RECORD)
    assert (record["status"], record["message"]) == ("INTERRUPTED", "interrupted")
    assert [(one["epochs"], one["finished"]) for one in record["executions"]] == [(3, True), (1, False)]

    tuner = go_on(tmp_path)
    assert Trained.epochs == [1, 2, 0, 1, 2, 0, 1, 2]
    assert_same_search(tuner, uninterrupted)
    again = tuner.results().trial("0")
    assert again.started_at == record["started_at"]
    assert again.duration_s is not None
    assert again.duration_s > record["duration_s"]


def test_interrupted_and_continued_by_the_same_object(tmp_path: Path, uninterrupted: GANTuner) -> None:
    class Interrupted(EagerHyperModel):
        fits = 0

        def fit(self, *args: Any, **kwargs: Any) -> Any:
            Interrupted.fits += 1
            if Interrupted.fits == 3:
                raise KeyboardInterrupt
            return super().fit(*args, **kwargs)

    tuner = make_tuner(tmp_path, hypermodel=Interrupted(SHAPE, TinySpace()), executions_per_trial=2)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=3)
    first, second = tuner.results().records
    assert (first.status, second.status, second.score) == ("COMPLETED", "INTERRUPTED", None)
    tuner.search(blobs(), epochs=3)
    assert tuner.results().trial("0") == first
    assert_same_search(tuner, uninterrupted)


def test_more_trials_later(tmp_path: Path) -> None:
    (first,) = run_search(tmp_path, max_trials=1, eager=True).results().records
    tuner = run_search(tmp_path, max_trials=2, eager=True)
    assert tuner.results().trial("0") == first
    assert len(tuner.results()) == 2


def test_another_search_meanwhile(tmp_path: Path) -> None:
    early = make_tuner(tmp_path, eager=True)
    records = run_search(tmp_path, eager=True).results().records
    early.search(blobs(), epochs=2)
    assert early.results().records == records
    assert sorted(early.oracle.trials) == ["0", "1"]
    assert early.results().config["elapsed_s"] > 0


def test_a_record_of_other_hyperparameters_is_not_taken(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, oracle="bayesian", max_trials=1, eager=True)
    for path in (tuner.folder / files.TUNER, tuner.folder / "oracle.json"):
        path.unlink()
    record = tuner.folder / "trial_0" / files.RECORD
    content = read(record)
    files.write_json(record, content | {"score": 0.0, "hyperparameters": {"generator_depth": 7}})
    again = run_search(tmp_path, oracle="bayesian", max_trials=1, eager=True)
    assert again.results().trial("0").score == content["score"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": TinySpace(widest=9)}, r"another search space \(generator_width.*max_value 8.*not.*max_value 9"),
        ({"oracle": "grid"}, r"another oracle \(random, not GridSearchOracle\)"),
        ({"seed": 3}, r"another seed \(0, not 3\)"),
        (
            {"quality": MeanQuality(blobs(), fingerprint="d" * 64)},
            r"another reference classifier \(fingerprint cccccccccccc, not fingerprint dddddddddddd\)",
        ),
        ({"quality": MeanQuality(blobs(seed=9))}, r"another data set \(blobs, fingerprint \w{12}, not blobs, "),
    ],
    ids=["space", "oracle", "seed", "classifier", "data"],
)
def test_a_search_of_something_else_is_refused(changes: dict[str, Any], message: str, uninterrupted: GANTuner) -> None:
    folder = uninterrupted.folder
    with pytest.raises(ProjectError, match=message) as caught:
        make_tuner(folder.parent, **changes)
    assert str(caught.value).endswith(
        "choose another project name (--name), or overwrite the project (--overwrite) to start afresh."
    )


def test_other_training_images_are_refused(uninterrupted: GANTuner) -> None:
    with pytest.raises(ProjectError, match="holds a search with other training images"):
        make_tuner(uninterrupted.folder.parent).search(blobs(seed=9), epochs=3)


def test_another_objective_is_refused(tmp_path: Path) -> None:
    class Brightest(MeanQuality):
        objective = "brightness"
        direction = "max"

    make_tuner(tmp_path)
    with pytest.raises(ProjectError, match="another objective"):
        make_tuner(tmp_path, quality=Brightest(blobs()))


def test_overwrite_starts_afresh(tmp_path: Path) -> None:
    quality = MeanQuality(blobs())
    quality.save(tmp_path / "search")
    first = run_search(tmp_path, quality=quality, max_trials=1, eager=True)
    before = first.results().best
    again = run_search(tmp_path, quality=quality, max_trials=1, seed=4, overwrite=True, eager=True)
    assert again.results().config["seed"] == 4
    assert again.results().best.started_at != before.started_at
    assert (tmp_path / "search" / files.CLASSIFIER_DIR / files.CARD).exists()
