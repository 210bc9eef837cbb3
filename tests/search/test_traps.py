"""The ten ways in which plain KerasTuner fails a GAN search, each shown beside what our tuner does."""

from __future__ import annotations

import json
import math
import os
import socket
import statistics
import sys
import types
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from keras_tuner.src.engine.tuner_utils import SaveBestEpoch
from searches import (
    QUIET,
    SHAPE,
    EagerHyperModel,
    MeanQuality,
    TinySpace,
    blobs,
    finish,
    make_tuner,
    repeatable,
    run_search,
    started,
)

from tuner_gan import files
from tuner_gan.errors import ProjectError, SearchError
from tuner_gan.gan.model import GAN
from tuner_gan.results import load
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.trial import TrialRun

pytestmark = QUIET


class Stock(keras_tuner.RandomSearch):  # type: ignore[misc]
    """KerasTuner's own random search over one hyperparameter; with `results` to return or raise, nothing is trained."""

    def __init__(self, directory: Path, results: Any = None, build: Any = None, **changes: Any) -> None:
        self.results = results
        arguments = {"objective": keras_tuner.Objective("fcd", "min"), "max_trials": 1, "project_name": "stock"}
        super().__init__(build or self.build, directory=str(directory), **(arguments | changes))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Float("rate", 0, 1)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.results, Exception):
            raise self.results
        return super().run_trial(trial, *args, **kwargs) if self.results is None else self.results

    def run(self) -> dict[str, keras_tuner.engine.trial.Trial]:
        x = np.ones((4, 2), np.float32)
        self.search(x, x[:, :1], epochs=1, verbose=0)
        trials: dict[str, keras_tuner.engine.trial.Trial] = self.oracle.trials
        return trials


@pytest.fixture
def no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboard.plugins", "tensorboard.plugins.hparams"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def stand_in_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What KerasTuner imports of tensorboard and does not use without a TensorBoard callback."""
    for name in ("tensorboard", "tensorboard.plugins", "tensorboard.plugins.hparams"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    vars(sys.modules["tensorboard.plugins.hparams"])["api"] = types.ModuleType("api")


def strict_json(folder: Path) -> list[Any]:
    """Reads every JSON file below a folder; a bare NaN or Infinity is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in a JSON file")

    paths = [path for path in sorted(folder.rglob("*.json")) if path.is_file()]
    return [json.loads(path.read_text(), parse_constant=refuse) for path in paths]


def test_trap_01_no_tensorboard(tmp_path: Path, no_tensorboard: None) -> None:
    (failed,) = Stock(tmp_path).run().values()
    assert failed.status == "FAILED"
    assert "tensorboard" in failed.message

    trials = run_search(tmp_path).results().trials()
    assert list(trials.status) == ["COMPLETED", "COMPLETED"]


def test_trap_02_a_gan_is_built_at_once(tmp_path: Path, stand_in_tensorboard: None) -> None:
    class Unbuilt(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.network(x)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = Unbuilt()
        model.compile("adam", "mse")
        return model

    stock = Stock(tmp_path, build=build, objective=keras_tuner.Objective("loss", "min"), max_model_size=1)
    (oversized,) = stock.run().values()
    assert oversized.status == "COMPLETED"  # three parameters, and none was counted

    with pytest.raises(SearchError, match=r"have \d+ parameters, more than the limit of 600"):
        run_search(tmp_path, "large", max_trials=1, max_model_size=600)
    (record,) = load(tmp_path / "large").records
    assert record.status == "FAILED"
    assert record.generator_params is not None
    assert record.discriminator_params is not None
    assert str(record.generator_params + record.discriminator_params) in str(record.message)

    tuner = run_search(tmp_path, max_trials=1, max_model_size=2000)
    gan = tuner.get_best_models()[0]
    gan.save(tmp_path / "gan.keras")
    for before, after in zip(gan.get_weights(), GAN.load(tmp_path / "gan.keras").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_trap_02_hyperband_goes_on_from_the_saved_state(tmp_path: Path) -> None:
    seen: dict[str, list[Any]] = {}

    class Watched(GANHyperModel):
        def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
            first = kwargs["initial_epoch"]
            seen[f"from {first}"] = [np.copy(weight) for weight in model.get_weights()]
            result = super().fit(hp, model, *args, **kwargs)
            seen[f"to {kwargs['epochs']} {len(seen)}"] = [np.copy(weight) for weight in model.get_weights()]
            return result

    # Three trials of one epoch; the best of them goes on to the third epoch.
    tuner = make_tuner(
        tmp_path, hypermodel=Watched(SHAPE, TinySpace()), oracle="hyperband", max_epochs=3, max_trials=4, seed=1
    )
    tuner.search(blobs())
    promoted = tuner.oracle.get_trial("3").hyperparameters.values
    earlier = tuner.results().history(promoted["tuner/trial_id"])
    later = tuner.results().history("3")
    assert (
        promoted["tuner/trial_id"]
        == min(
            (record for record in tuner.results().records if record.trial_id != "3"),
            key=lambda record: record.score or 0,
        ).trial_id
    )
    assert list(earlier.step) == [1]
    assert list(later.epoch) == [2, 3]
    assert list(later.step) == [2, 3]
    table = tuner.results().trials()
    assert sorted(table.epochs) == [1, 1, 1, 3]
    assert not [name for name in table.columns if "tuner/" in name]
    ends = [weights for name, weights in seen.items() if name.startswith("to 1 ")]
    started = seen["from 1"]
    assert any(
        len(weights) == len(started)
        and all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(weights, started, strict=True))
        for weights in ends
    )


def test_trap_03_optimizer_state_survives(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, max_trials=1)
    record = tuner.results().best
    (gan,) = tuner.get_best_models()
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert int(optimizer.iterations) == int(gan.steps) == 2
        momenta = [variable for variable in optimizer.variables if "momentum" in variable.path]
        assert momenta
        assert all(np.abs(momentum.numpy()).max() > 0 for momentum in momenta)

    unbuilt = GAN(gan.architecture, seed=0)
    unbuilt.generator_optimizer, unbuilt.discriminator_optimizer = keras.optimizers.Adam(), keras.optimizers.Adam()
    keras.Model.compile(unbuilt, optimizer=unbuilt.generator_optimizer)
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        unbuilt.load_weights(record.folder / files.STATE)
    assert int(unbuilt.generator_optimizer.iterations) == 0


class BestInTheMiddle(MeanQuality):
    """Its third score is the best one, whatever the images."""

    def __init__(self) -> None:
        super().__init__(blobs())
        self.calls = 0

    def score(self, generator: keras.Model) -> dict[str, float]:
        self.calls += 1
        return super().score(generator) | {"fcd": 1.0 + abs(self.calls - 3)}


def test_trap_04_scores_only_at_rungs(tmp_path: Path) -> None:
    saves = []
    stock = SaveBestEpoch(keras_tuner.Objective("fcd", "min"), str(tmp_path / "x.weights.h5"))
    stock._save_model = lambda: saves.append(True)
    for logs in ({"fcd": 0.1}, {}, {"fcd": 0.2}):
        stock.on_epoch_end(0, logs)
    assert len(saves) == 2  # the epoch without a score has overwritten the best weights

    tuner = run_search(tmp_path, quality=BestInTheMiddle(), max_trials=1, epochs=12)
    history, best = tuner.results().history(), tuner.results().best
    scored = history[history["metric.fcd"].notna()]
    assert list(history.epoch) == list(range(1, 13))
    assert list(scored.epoch) == [1, 2, 4, 6, 8, 10, 12]
    assert best.best_epoch == 4
    assert best.score == 1.0
    generator = keras.saving.load_model(best.folder / files.GENERATOR)
    brightness = MeanQuality(blobs()).score(generator)["brightness"]
    assert brightness == pytest.approx(best.metrics["brightness"], abs=1e-7)
    assert brightness == pytest.approx(scored["metric.brightness"].iloc[2], abs=1e-7)


class NaNFirst(EagerHyperModel):
    """The first three trials diverge."""

    def __init__(self) -> None:
        super().__init__(SHAPE, TinySpace(batch_size=32))  # the losses of later steps tell
        self.built = 0

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        self.built += 1
        if self.built <= 3:
            gan.generator_optimizer.learning_rate = gan.discriminator_optimizer.learning_rate = 1e30
        return gan


@pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning")  # KerasTuner's, of a score that is NaN
def test_trap_05_divergence(tmp_path: Path) -> None:
    (failed,) = Stock(tmp_path, results=math.nan).run().values()
    assert failed.message is None
    with pytest.raises(AssertionError, match="NaN in a JSON file"):
        strict_json(tmp_path)

    failing = Stock(tmp_path, keras_tuner.errors.FailedTrialError("no"), max_trials=5, project_name="three")
    with pytest.raises(RuntimeError, match="consecutive failures"):
        failing.run()

    tuner = run_search(tmp_path / "ours", hypermodel=NaNFirst(), max_trials=4)
    trials = tuner.results().trials()
    assert list(trials.status) == ["COMPLETED", "FAILED", "FAILED", "FAILED"]
    told = r"(generator|discriminator) loss is (nan|inf) \(after epoch [12]\)"
    assert trials.message[1:].str.fullmatch(told).all()
    assert trials["flags"].isna()[0]
    assert list(trials["flags"][1:]) == ["diverged"] * 3
    assert trials.score[1:].isna().all()
    contents = strict_json(tmp_path / "ours")
    assert len(contents) > 6
    for trial_id in trials.trial_id[1:]:
        assert tuner.oracle.get_trial(trial_id).score is None


def test_trap_05_infinity_is_no_score(tmp_path: Path) -> None:
    class Infinite(MeanQuality):
        def score(self, generator: keras.Model) -> dict[str, float]:
            return super().score(generator) | {"fcd": math.inf}

    with pytest.raises(SearchError, match=r"^All 2 trials failed; the last one because: fcd is inf \(after epoch 1\)$"):
        run_search(tmp_path, quality=Infinite(blobs()), eager=True)
    for record in load(tmp_path / "search").records:
        assert (record.status, record.score, record.flags) == ("FAILED", None, ("diverged",))
        assert len(record.executions) == 1
    strict_json(tmp_path)


def test_trap_06_every_execution_is_kept(tmp_path: Path) -> None:
    (averaged,) = Stock(tmp_path, results=[1.0, 3.0], objective=None).run().values()
    assert json.loads(json.dumps(averaged.metrics.get_config()))["metrics"]["default_objective"]["observations"] == [
        {"value": [2.0], "step": 0}
    ]

    results = run_search(tmp_path, executions_per_trial=3, max_trials=1).results()
    (trial,) = results.trials().itertuples()
    executions, history = results.executions(), results.history()
    scores = list(executions.score)
    assert list(executions.execution) == [0, 1, 2]
    assert len(set(executions.seed)) == len(set(scores)) == 3
    assert list(history.groupby("execution").epoch.count()) == [2, 2, 2]
    assert trial.executions == 3
    assert trial.score == pytest.approx(sum(scores) / 3)
    assert trial.score_std == pytest.approx(statistics.stdev(scores))
    lowest = history.groupby("execution")["metric.fcd"].min()
    assert list(lowest) == scores
    # The generator on disk is that of the best execution.
    generator = keras.saving.load_model(trial.checkpoint)
    assert MeanQuality(blobs()).score(generator)["fcd"] == pytest.approx(min(scores), abs=1e-7)


def test_trap_07_seeds(tmp_path: Path) -> None:
    assert Stock(tmp_path, seed=0).oracle.seed != 0

    tuner = run_search(tmp_path, "zero", seed=0)
    again = run_search(tmp_path, "again", seed=0)
    other = run_search(tmp_path, "other", seed=1)
    assert tuner.results().config["seed"] == 0
    pd.testing.assert_frame_equal(repeatable(tuner), repeatable(again))
    pd.testing.assert_frame_equal(
        tuner.results().history().drop(columns="seconds"), again.results().history().drop(columns="seconds")
    )
    assert not set(repeatable(tuner).score) & set(repeatable(other).score)
    assert not set(repeatable(tuner).seed) & set(repeatable(other).seed)
    with pytest.raises(ProjectError, match=r"another seed \(1, not 0\)"):
        make_tuner(tmp_path, "other", seed=0)


MOST_GROWTH_MB = 1.0
"""A trial, on average; 0.16 MB were measured, and 7.8 MB at least with KerasTuner's own tuner."""


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_trap_08_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Over 10 seconds: growth shows only over a dozen trials.
    after_each = []
    train = TrialRun.train

    def measured(self: TrialRun, *args: Any, **kwargs: Any) -> Any:
        record = train(self, *args, **kwargs)
        after_each.append(resident_mb())
        return record

    monkeypatch.setattr(TrialRun, "train", measured)
    run_search(tmp_path, max_trials=12, epochs=1)
    growth = (after_each[-1] - after_each[2]) / 9
    assert growth < MOST_GROWTH_MB


def test_trap_09_files_are_replaced_and_may_be_damaged(tmp_path: Path) -> None:
    stock = Stock(tmp_path, results=1.0)
    stock.run()
    oracle_file = tmp_path / "stock" / "oracle.json"
    inode = oracle_file.stat().st_ino
    stock.save()
    assert oracle_file.stat().st_ino == inode  # written in place
    oracle_file.write_text("")
    with pytest.raises(json.JSONDecodeError):
        Stock(tmp_path, results=1.0)

    tuner = run_search(tmp_path, oracle="bayesian", max_trials=2, eager=True)
    folder = tuner.folder
    before = repeatable(tuner)
    for name in (files.TUNER, files.SEARCH):
        os.link(folder / name, tmp_path / name)
    tuner.search(blobs(), epochs=2)
    for name in (files.TUNER, files.SEARCH):
        assert not (folder / name).samefile(tmp_path / name)  # replaced as a whole: a reader never sees a part
    assert not list(folder.rglob("*.tmp.*"))

    whole = {path: path.read_bytes() for path in (folder / files.TUNER, folder / "oracle.json")}
    for damage in (b"", whole[folder / files.TUNER][:100], b"null", b"[]", b'{"oracle": {}, "trials": {}}'):
        (folder / files.TUNER).write_bytes(damage)
        again = run_search(tmp_path, oracle="bayesian", max_trials=2, eager=True)
        pd.testing.assert_frame_equal(repeatable(again), before)
        assert again.oracle.remaining_trials() == 0
    for path in (folder / "oracle.json", folder / "trial_0" / "trial.json"):
        path.write_bytes(b"")
    pd.testing.assert_frame_equal(repeatable(run_search(tmp_path, oracle="bayesian", max_trials=2, eager=True)), before)
    for path in whole:
        path.write_bytes(b"{")
    with pytest.raises(ProjectError, match=r"are damaged, so the search cannot go on .* overwrite the project"):
        make_tuner(tmp_path, oracle="bayesian")
    pd.testing.assert_frame_equal(
        load(folder).trials().drop(columns=["started_at", "duration_s", "ms_per_sample"])[before.columns], before
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_trap_10_chief_and_worker(tmp_path: Path) -> None:
    # About 15 seconds: two processes that load TensorFlow.
    shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    arguments: dict[str, Any] = {"max_trials": 3, "max_model_size": 1000, "baselines": "all", "finalists": 2}
    # Given, and not drawn: what is drawn depends on which of the trials have been built by then.
    arguments["enqueue"] = [{"generator_depth": 1, "generator_width": width} for width in (4, 8, 5)]
    with (
        started(tmp_path, environment=shared | {"KERASTUNER_TUNER_ID": "chief"}, **arguments) as chief,
        started(tmp_path, environment=shared | {"KERASTUNER_TUNER_ID": "tuner0"}, **arguments) as worker,
    ):
        for process in (worker, chief):
            code, errors = finish(process)
            assert code == 0, errors
    results = load(tmp_path / "search")
    assert results.config["config"]["baselines"] == "none"  # whatever was asked for
    trials = results.trials()
    sizes = trials.generator_params + trials.discriminator_params
    assert list(sizes > 1000) == list(trials.status == "FAILED")
    assert sorted(trials.status) == ["COMPLETED", "COMPLETED", "FAILED"], sizes
    assert set(trials.origin) == {"search"}
    assert trials.message.dropna().str.contains("more than the limit of 1000").all()
    history = results.history()
    for trial in results.records:
        if trial.score is not None:
            assert trial.score == history[history.trial_id == trial.trial_id]["metric.fcd"].min()
            assert float(np.float32(trial.score)) != trial.score
    assert not (tmp_path / "search" / files.TUNER).exists()


def test_trap_10_a_worker_neither_deletes_nor_writes_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(tmp_path, max_trials=1, eager=True)
    shown = {path: path.stat().st_mtime_ns for path in (tmp_path / "search").rglob("*") if path.is_file()}
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker1")
    worker = make_tuner(tmp_path, overwrite=True)
    worker.save()
    assert shown == {path: path.stat().st_mtime_ns for path in (tmp_path / "search").rglob("*") if path.is_file()}
    with pytest.raises(ProjectError, match="another seed"):
        make_tuner(tmp_path, seed=5, overwrite=True)
    make_tuner(tmp_path, "unborn")
    assert not list((tmp_path / "unborn").iterdir())


def test_trap_10_a_chief_goes_on_from_its_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = run_search(tmp_path, max_trials=2, eager=True)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=4)
    with pytest.raises(ProjectError, match="another oracle"):
        make_tuner(tmp_path, oracle=oracle)
    chief = make_tuner(tmp_path, max_trials=4)
    chief.save()
    assert not (tmp_path / "search" / files.TUNER).exists()
    # What a worker reports reaches the oracle only.
    trial = chief.oracle.create_trial("worker1")
    monkeypatch.undo()
    alone = make_tuner(tmp_path, max_trials=4)
    assert sorted(alone.oracle.trials) == ["0", "1", trial.trial_id]
    assert alone.oracle.create_trial("tuner0").trial_id == trial.trial_id
    assert {name: one.score for name, one in alone.oracle.trials.items()} == {
        record.trial_id: record.score for record in tuner.results().records
    } | {trial.trial_id: None}


def test_trap_10_failures_do_not_block_the_chief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    chief = make_tuner(tmp_path, oracle=keras_tuner.oracles.RandomSearchOracle(max_trials=4))
    for _ in range(4):
        trial = chief.oracle.create_trial("worker1")
        trial.status = "FAILED"
        chief.oracle.end_trial(trial)
    assert chief.oracle.create_trial("worker1").status == "STOPPED"
