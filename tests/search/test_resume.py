"""A search that was killed, interrupted or copied goes on; one of something else is refused."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from searches import (
    QUIET,
    SHAPE,
    MeanQuality,
    TinySpace,
    blobs,
    finish,
    make_tuner,
    repeatable,
    run_search,
    started,
    until,
)

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results import load
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    """The same search as that of every process below, run in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.showwarning", lambda *_, **__: None)
        return run_search(tmp_path_factory.mktemp("whole"), epochs=3)


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def test_killed_in_the_first_trial(tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    folder = tmp_path / "search"
    with started(tmp_path, epochs=3, wait="epoch") as process:
        until((tmp_path / "waiting").exists, process)
        with pytest.raises(ProjectError, match=rf"in use by a search with process id {process.pid}: wait for it"):
            run_search(tmp_path, epochs=3)
        with pytest.raises(ProjectError, match=f"process id {process.pid}"):
            make_tuner(tmp_path, overwrite=True)
        assert list(load(folder).trials().status) == ["RUNNING"]
    (killed,) = load(folder).records
    assert killed.status == "INTERRUPTED"
    assert len(load(folder).history()) == 1
    (folder / "trial_0" / ".0123abcd.tmp.history.csv").touch()

    tuner = run_search(tmp_path, epochs=3)
    pd.testing.assert_frame_equal(repeatable(tuner), repeatable(uninterrupted))
    again = tuner.results().trial("0")
    assert (again.seed, again.hyperparameters) == (killed.seed, killed.hyperparameters)
    assert str(again.started_at) > str(killed.started_at)
    assert not list(folder.rglob("*.tmp.*"))


def test_killed_between_the_record_and_the_state(tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, epochs=3, wait="recorded", tuner_id="somebody") as process:
        until((tmp_path / "waiting").exists, process)
    (recorded,) = load(tmp_path / "search").records
    assert recorded.status == "COMPLETED"

    tuner = run_search(tmp_path, epochs=3, tuner_id="somebody else")
    kept = tuner.results().trial("0")
    assert kept == recorded
    assert tuner.oracle.get_trial("0").score == recorded.score
    pd.testing.assert_frame_equal(repeatable(tuner), repeatable(uninterrupted))
    assert sorted(path.name for path in (tmp_path / "search").glob("trial_*")) == ["trial_0", "trial_1"]


def test_interrupted_by_ctrl_c(tmp_path: Path, uninterrupted: GANTuner) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    with started(tmp_path, epochs=3, wait="epoch", seconds=2.0) as process:
        until((tmp_path / "waiting").exists, process)
        process.send_signal(signal.SIGINT)
        code, errors = finish(process)
    assert code == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    record = read(tmp_path / "search" / "trial_0" / files.RECORD)
    assert (record["status"], record["message"]) == ("INTERRUPTED", "interrupted")
    assert record["executions"][0]["epochs"] == 1

    pd.testing.assert_frame_equal(repeatable(run_search(tmp_path, epochs=3)), repeatable(uninterrupted))


def test_interrupted_and_continued_by_the_same_object(tmp_path: Path, uninterrupted: GANTuner) -> None:
    class Interrupted(GANHyperModel):
        fits = 0

        def fit(self, *args: Any, **kwargs: Any) -> Any:
            Interrupted.fits += 1
            if Interrupted.fits == 2:
                raise KeyboardInterrupt
            return super().fit(*args, **kwargs)

    tuner = make_tuner(tmp_path, hypermodel=Interrupted(SHAPE, TinySpace()))
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=3)
    first, second = tuner.results().records
    assert (first.status, second.status, second.score) == ("COMPLETED", "INTERRUPTED", None)
    tuner.search(blobs(), epochs=3)
    assert tuner.results().trial("0") == first
    pd.testing.assert_frame_equal(repeatable(tuner), repeatable(uninterrupted))


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
    tuner = run_search(tmp_path, max_trials=1, eager=True)
    for path in (tuner.folder / files.TUNER, tuner.folder / "oracle.json"):
        path.unlink()
    record = tuner.folder / "trial_0" / files.RECORD
    content = read(record)
    files.write_json(record, content | {"score": 0.0, "hyperparameters": {"generator_depth": 7}})
    assert run_search(tmp_path, max_trials=1, eager=True).results().trial("0").score == content["score"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": TinySpace(widest=9)}, r"another search space \(generator_width.*max_value 8.*not.*max_value 9"),
        ({"oracle": "grid"}, r"another oracle \(RandomOracle, not GridSearchOracle\)"),
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
    assert str(caught.value).endswith("choose another project name, or overwrite the project to start afresh.")


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
