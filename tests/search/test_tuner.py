"""The tuner: what a search leaves behind, its limits of time, and how it says no."""

from __future__ import annotations

import dataclasses
import errno
import math
import re
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from searches import QUIET, SHAPE, EagerHyperModel, FullQuality, MeanQuality, TinySpace, blobs, make_tuner, run_search
from short_trainings import trained_once

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits, from_arrays
from tuner_gan.errors import ConfigError, ProjectError, SearchError, SelectionError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.precision import precision
from tuner_gan.quality import QualityEvaluator
from tuner_gan.results import load
from tuner_gan.results.records import TrialRecord
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.oracle import OptunaOracle
from tuner_gan.search.tuner import GANTuner
from tuner_gan.search_spaces import MLPSpace

pytestmark = QUIET

TRIAL_FILES = {
    files.RECORD,
    files.copy_of(Path(files.RECORD)).name,
    files.ARCHITECTURE,
    files.HISTORY,
    files.GENERATOR,
    files.STATE,
    files.SAMPLES,
    files.KERASTUNER_TRIAL,
    files.LOCK,
}


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return datasets.load("digits").split(seed=0)


@pytest.fixture(scope="module")
def searched(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    """Both tutorials, a trial and a finalist on real digits; the real evaluator's classifiers had a short training."""
    directory = tmp_path_factory.mktemp("runs")
    with trained_once():
        quality = QualityEvaluator.fit(digits, directory / "digits")
        tuner = GANTuner(
            GANHyperModel(digits.image_shape, TinySpace()),
            quality=quality,
            max_trials=1,
            finalists=1,
            finalist_seeds=2,
            directory=directory,
            project_name="digits",
        )
        tuner.search(digits.train, epochs=1)
    return tuner


def stored_architecture(folder: Path) -> GANArchitecture:
    return GANArchitecture.from_json(files.read_json(folder / files.ARCHITECTURE))


def finalist_of(tuner: GANTuner) -> str:
    """The id of its only finalist."""
    (repeated,) = tuner.results().project.finalists
    return f"final_{repeated}"


def test_baselines_come_first_and_finalists_last(searched: GANTuner) -> None:
    trials = searched.results().trials().sort_values("started_at")
    assert list(trials.trial_id) == ["tutorial_dense", "tutorial_conv", "0", finalist_of(searched)]
    assert list(trials.origin) == ["baseline", "baseline", "search", "finalist"]
    assert list(trials.status) == ["COMPLETED"] * 4
    baselines = trials[:2]
    assert list(baselines["hp.generator_lr"]) == [2e-4, 1e-3]
    assert list(baselines["hp.batch_size"]) == [32, 100]
    assert baselines["hp.generator_depth"].isna().all()
    assert sorted(searched.oracle.trials) == ["0"]


def test_the_project_folder(searched: GANTuner) -> None:
    names = {path.name for path in searched.folder.iterdir()}
    trials = {"trial_0", "trial_tutorial_dense", "trial_tutorial_conv", f"trial_{finalist_of(searched)}"}
    project = {files.SEARCH, files.STUDY, files.ARTIFACTS, files.CLASSIFIER_DIR, files.LOCK, files.PROCESS, files.REAL}
    assert names == trials | project | {files.ASK_LOCK, files.copy_of(Path(files.SEARCH)).name}
    for trial in trials:
        expected = TRIAL_FILES if trial == "trial_0" else TRIAL_FILES - {files.KERASTUNER_TRIAL, files.LOCK}
        assert {path.name for path in (searched.folder / trial).iterdir()} == expected
    content = files.read_json(searched.folder / files.SEARCH)
    assert content["config"] == {
        "epochs": 1,
        "max_epochs": None,
        "max_trials": 1,
        "max_time": None,
        "max_total_epochs": None,
        "max_trial_time": None,
        "max_failures": None,
        "max_model_size": None,
        "pruner": "halving",
        "storage": "study.db",
        "enqueue": None,
        "executions_per_trial": 1,
        "baselines": "all",
        "finalists": 1,
        "finalist_seeds": 2,
    }
    assert content["finalists"] == [searched.results().best.trial_id.removeprefix("final_")]
    quality = searched.quality
    assert content["objective"] == {"name": "fcd", "direction": "min"}
    assert content["metrics"] == [*quality.metrics, *quality.second_metrics]
    assert content["rung_metrics"] == list(quality.rung_metrics)
    assert content["data"]["images"] == len(datasets.load("digits").split(seed=0).train)
    assert content["elapsed_s"] > 0


def best_score(record: TrialRecord) -> float:
    """Of the execution whose generator is kept."""
    (best,) = [one for one in record.executions if one.execution == record.best_execution]
    return best.score or math.nan


def test_the_best_model_is_the_one_that_was_scored(searched: GANTuner, digits: DataSplits) -> None:
    best = searched.results().best
    models = searched.get_best_models(5)
    assert len(models) == 4
    images = models[0].generate(20, seed=0)
    assert images.dtype == np.uint8
    assert images.shape == (20, *digits.image_shape)
    scores = [searched.quality.score(model.ema_generator)["fcd"] for model in models]
    np.testing.assert_allclose(scores, [best_score(record) for record in searched.results().records], rtol=1e-6)
    trained = models[0].fit(digits.train.images, epochs=1, verbose=0)
    assert set(trained.history) == {"d_loss", "g_loss"}
    with pytest.raises(ConfigError, match="num_models must be at least 1, but got 0"):
        searched.get_best_models(0)
    one = searched.load_model(searched.oracle.get_trial("0"))
    assert one.architecture == stored_architecture(searched.folder / "trial_0")
    hp = searched.get_best_hyperparameters()[0]
    assert searched.hypermodel.build(hp).architecture == one.architecture
    (best.folder / files.GENERATOR).rename(best.folder / "away")
    try:
        with pytest.raises(ProjectError, match=f"The model of trial {best.trial_id} cannot be loaded"):
            searched.get_best_models()
    finally:
        (best.folder / "away").rename(best.folder / files.GENERATOR)


def test_finished_trials_are_not_run_again(
    searched: GANTuner, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(QualityEvaluator, "evaluate", refuse)
    monkeypatch.setattr(QualityEvaluator, "score", refuse)
    before = searched.results().records
    searched.search(digits.train, epochs=1)
    assert searched.results().records == before


# Scores: some at every rung, all of them at the end of a training, a second opinion for the best.


def test_a_finished_trial_has_every_score_and_its_rungs_the_cheap_ones(searched: GANTuner) -> None:
    quality, results = searched.quality, searched.results()
    for record in results.records:
        assert [name for name in record.metrics if not name.startswith("second_")] == list(quality.metrics)
        generator = keras.saving.load_model(record.folder / files.GENERATOR)
        scores = quality.evaluate(generator)
        kept = record.executions[record.best_execution or 0].metrics
        assert {name: kept[name] for name in scores} == pytest.approx(scores, rel=1e-4, abs=1e-6)
        assert record.score == pytest.approx(record.metrics["fcd"], rel=1e-6)
        if record.origin != "finalist":
            assert record.metrics == kept
            assert record.flags == quality.flags(record.metrics)
    metrics = [name for name in results.trials().columns if name.startswith("metric.")]
    assert metrics == [f"metric.{name}" for name in (*quality.metrics, *quality.second_metrics)]
    history = results.history()
    cheap = [f"metric.{name}" for name in quality.rung_metrics]
    assert [name for name in history.columns if name.startswith("metric.")] == cheap
    assert history[cheap].notna().all(axis=None)


def test_the_finalist_and_no_other_trial_has_a_second_opinion(searched: GANTuner) -> None:
    trials = searched.results().trials()
    second = trials[[f"metric.{name}" for name in searched.quality.second_metrics]]
    assert list(trials["rank"]) == [1, 2, 3, 4]
    assert second.notna().to_numpy().tolist() == [[True, True], *[[False, False]] * 3]
    assert (searched.folder / files.CLASSIFIER_DIR / files.SECOND_DIR / files.CARD).exists()
    best = searched.results().best
    generator = keras.saving.load_model(best.folder / files.GENERATOR)
    scores = QualityEvaluator.load(searched.folder).evaluate(generator, second=True)
    assert best.executions[best.best_execution or 0].metrics == pytest.approx(scores, rel=1e-4, abs=1e-6)


def test_scores_are_means_and_flags_those_of_every_training(tmp_path: Path) -> None:
    class Worse(FullQuality):
        def flags(self, scores: Any, count: int | None = None) -> tuple[str, ...]:
            return (("collapsed",), ("memorising", "collapsed"))[len(self.asked) - 1]

    tuner = run_search(tmp_path, quality=Worse(blobs()), max_trials=1, executions_per_trial=2, eager=True)
    best = tuner.results().best
    both = [execution.metrics for execution in best.executions]
    assert [set(metrics) for metrics in both] == [{"fcd", "brightness"}] * 2
    assert both[0]["brightness"] != both[1]["brightness"]
    assert best.metrics == pytest.approx({name: (both[0][name] + both[1][name]) / 2 for name in both[0]})
    assert set(best.flags) == {"memorising", "collapsed"}
    assert len(best.flags) == 2


class Flat(EagerHyperModel):
    """Generators that make one image, and hardly learn."""

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        for network in (gan.generator, gan.ema_generator):
            network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
        return gan


def test_a_constant_generator_is_a_failed_trial_with_a_flag(
    searched: GANTuner, digits: DataSplits, tmp_path: Path
) -> None:
    tuner = make_tuner(
        tmp_path, quality=searched.quality, hypermodel=Flat(SHAPE, TinySpace(learning_rate=1e-9)), max_trials=1
    )
    with pytest.raises(SearchError, match="all 500 images are the same: the generator has collapsed to a constant"):
        tuner.search(digits.train, epochs=1)
    (record,) = tuner.results().records
    assert (record.status, record.flags) == ("FAILED", ("constant",))
    assert str(record.message).endswith("which has no score (after epoch 1)")
    assert list(tuner.results().trials()["flags"]) == ["constant"]


# Objectives other than the default.


class Brightest(FullQuality):
    """More of its objective is better."""

    objective = "brightness"
    direction = "max"

    @property
    def rung_metrics(self) -> tuple[str, ...]:
        return self.metrics

    def score(self, generator: keras.Model) -> dict[str, float]:
        return MeanQuality.score(self, generator)


def test_more_can_be_better(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, quality=Brightest(blobs()), max_trials=3, epochs=3, eager=True)
    trials, history = tuner.results().trials(), tuner.results().history()
    assert list(trials.score) == sorted(trials.score, reverse=True)
    assert trials.score.nunique() == 3
    brightest = history.groupby("trial_id")["metric.brightness"].max()
    assert list(brightest[trials.trial_id]) == list(trials.score)
    assert tuner.results().config["objective"] == {"name": "brightness", "direction": "max"}
    assert tuner.oracle.get_best_trials(1)[0].trial_id == trials.trial_id[0]
    best = tuner.results().best
    assert best.trial_id == trials.trial_id[0]
    generator = keras.saving.load_model(best.folder / files.GENERATOR)
    assert MeanQuality(blobs()).score(generator)["brightness"] == pytest.approx(best.score, abs=1e-7)


def test_coverage_as_the_objective(searched: GANTuner, digits: DataSplits, tmp_path: Path) -> None:
    def tuner(objective: str) -> GANTuner:
        return GANTuner(
            GANHyperModel(digits.image_shape, TinySpace(widest=32, learning_rate=1e-2)),
            quality=QualityEvaluator.load(searched.folder, objective=objective),
            max_trials=2,
            pruner="none",
            baselines="none",
            finalists=0,
            directory=tmp_path,
            project_name="coverage",
        )

    first = tuner("coverage")
    first.search(digits.train, epochs=10)
    trials = first.results().trials()
    assert trials.score[0] == trials["metric.coverage"].max()
    assert list(trials.score) == pytest.approx(list(trials["metric.coverage"]))
    assert trials.score[0] > trials.score[1]
    config = first.results().config
    assert config["objective"] == {"name": "coverage", "direction": "max"}
    for other in ("fcd", "kid"):
        with pytest.raises(ProjectError, match="another objective"):
            tuner(other)
    tuner("coverage").search(digits.train, epochs=10)
    assert first.results().trials().equals(trials)


def test_a_failed_baseline_is_not_run_again(tmp_path: Path) -> None:
    # Too large are the tutorials, and the search goes on without them.
    tuner = run_search(tmp_path, baselines="all", max_trials=1, max_model_size=2000, eager=True)
    assert list(tuner.results().trials().status) == ["COMPLETED", "FAILED", "FAILED"]
    before = tuner.results().records
    tuner.search(blobs(), epochs=2)
    assert tuner.results().records == before


def test_no_trial_no_model(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    assert len(tuner.results().trials()) == 0
    with pytest.raises(SelectionError, match="has no trial yet"):
        tuner.get_best_models()


class Own(EagerHyperModel):
    """A user's hypermodel with a `fit` of its own, which declares another hyperparameter."""

    def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
        model.generator_optimizer.learning_rate = hp.Choice("rate", [1e-3, 1e-2])
        return super().fit(hp, model, *args, **kwargs)


def test_an_overridden_fit(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, hypermodel=Own(SHAPE, TinySpace()))
    trials = tuner.results().trials()
    assert trials["hp.rate"].isin([1e-3, 1e-2]).all()
    # Of a hyperparameter that is found while training, the first trial takes the default.
    assert trials.set_index("trial_id")["hp.rate"]["0"] == 1e-3
    again = run_search(tmp_path, hypermodel=Own(SHAPE, TinySpace()))
    assert again.results().records == tuner.results().records


class OwnGAN(GAN):
    """A user's GAN, with a weight beside those of a GAN."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def train_step(self, data: Any) -> dict[str, Any]:
        self.seen.assign_add(2.0)
        logs: dict[str, Any] = super().train_step(data)
        return logs


class Builds(GANHyperModel):
    """A user's hypermodel with a `build` of its own: another GAN, and another optimizer with momentum."""

    kind: type[GAN] = OwnGAN

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = self.kind(self.architecture(hp))
        rate = keras.optimizers.schedules.ExponentialDecay(hp.Choice("rate", [1e-3, 1e-2]), 1, 0.5)
        gan.compile(keras.optimizers.SGD(rate, momentum=0.5), run_eagerly=True)
        return gan


def test_the_best_models_are_built_as_they_were_trained(tmp_path: Path) -> None:
    tuner = run_search(
        tmp_path, hypermodel=Builds(SHAPE, TinySpace()), max_trials=1, finalists=1, finalist_seeds=1, epochs=3
    )
    records = tuner.results().records
    assert [record.origin for record in records] == ["finalist", "search"]
    trial = tuner.oracle.get_trial("0")
    values = dict(trial.hyperparameters.values)
    for gan in (*tuner.get_best_models(2), tuner.load_model(trial)):
        assert isinstance(gan, OwnGAN)
        assert float(gan.seen) == 6.0
        optimizer = gan.generator_optimizer
        assert isinstance(optimizer, keras.optimizers.SGD)
        assert float(optimizer.learning_rate) == pytest.approx(values["rate"] / 2**3)
        moments = [variable for variable in optimizer.variables if "momentum" in variable.path]
        assert moments
        assert all(np.abs(moment.numpy()).max() > 0 for moment in moments)
    assert trial.hyperparameters.values == values
    other = make_tuner(tmp_path, space=TinySpace(), max_trials=1)
    with pytest.raises(
        ProjectError, match=r"(?s)^The model of trial final_0 cannot be loaded: .*expected 1 variables, but "
    ):
        other.get_best_models()


def test_the_discriminator_is_exported_whatever_optimizer_trained_it(tmp_path: Path) -> None:
    hypermodel = Builds(SHAPE, TinySpace())
    hypermodel.kind = GAN
    tuner = run_search(tmp_path, hypermodel=hypermodel, max_trials=1)
    exported = keras.saving.load_model(tuner.export(discriminator=True) / files.DISCRIMINATOR)
    (gan,) = tuner.get_best_models()
    for one, other in zip(exported.get_weights(), gan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Hooked(GANTuner):
    """A user's tuner that overrides KerasTuner's hooks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.called: list[str] = []
        self.scores: list[float] = []
        super().__init__(*args, **kwargs)

    def on_epoch_begin(self, trial: Any, model: GAN, epoch: int, logs: Any = None) -> None:
        self.called.append(f"trial {trial.trial_id} epoch {epoch}")

    def on_batch_begin(self, trial: Any, model: GAN, batch: int, logs: Any) -> None:
        self.called.append(f"batch {batch} step {int(model.steps)}")

    def on_batch_end(self, trial: Any, model: GAN, batch: int, logs: Any = None) -> None:
        self.called.append(f"batch end {sorted(logs)} step {int(model.steps)}")

    def on_epoch_end(self, trial: Any, model: GAN, epoch: int, logs: Any = None) -> None:
        self.scores.append(logs["fcd"])
        model.stop_training = epoch == 1


def test_hooks_of_kerastuner_are_called_in_trials_of_the_oracle(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, kind=Hooked, max_trials=1, finalists=1, finalist_seeds=1, epochs=3, eager=True)
    assert isinstance(tuner, Hooked)
    assert tuner.called == [
        *("trial 0 epoch 0", "batch 0 step 0", "batch end ['d_loss', 'g_loss'] step 1"),
        *("trial 0 epoch 1", "batch 0 step 1", "batch end ['d_loss', 'g_loss'] step 2"),
    ]
    trial = tuner.results().trial("0")
    assert len(tuner.scores) == 2
    assert min(tuner.scores) == trial.score
    assert trial.message == "stopped by a callback after 2 of 3 epochs"


class Strikes(GANTuner):
    """A user's tuner whose `run_trial` fails in the first trial, before or after the training."""

    error: BaseException = ValueError("the printer is on fire")
    late = False

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        trial.hyperparameters.Choice("ink", ["cyan", "black"])
        strikes = trial.trial_id == "0"
        if strikes and not self.late:
            raise self.error
        scores = super().run_trial(trial, *args, **kwargs)
        if strikes:
            raise self.error
        return scores


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("oracle", ["random", "grid"])
def test_an_error_in_an_overridden_run_trial_costs_its_trial(
    oracle: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Strikes, "late", late)
    tuner = run_search(tmp_path, kind=Strikes, oracle=oracle, eager=True)
    other, failed = tuner.results().records
    assert (other.trial_id, other.status) == ("1", "COMPLETED")
    assert (failed.trial_id, failed.status) == ("0", "FAILED")
    assert failed.message == "ValueError: the printer is on fire"
    assert failed.hyperparameters["ink"] == "cyan"
    assert tuner.oracle.get_trial("0").status == "FAILED"
    again = run_search(tmp_path, kind=Strikes, oracle=oracle, eager=True)
    assert again.results().records == tuner.results().records


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (SearchError("enough of it"), SearchError),
        (ProjectError("enough of it"), ProjectError),
        (keras_tuner.errors.FatalRuntimeError("enough of it"), keras_tuner.errors.FatalError),
        (OSError(errno.ENOSPC, "enough of it"), ProjectError),
        (KeyboardInterrupt("enough of it"), KeyboardInterrupt),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_some_errors_in_an_overridden_run_trial_end_the_search(
    error: BaseException, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Strikes, "error", error)
    with pytest.raises(raised, match="enough of it"):
        run_search(tmp_path, kind=Strikes, eager=True)
    assert len(load(tmp_path / "search")) == 0


def test_a_run_trial_that_leaves_no_training_on_record(tmp_path: Path) -> None:
    class Scores(GANTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            return 0.5

    with pytest.raises(
        ConfigError, match=r"^run_trial must train by super\(\)\.run_trial\(trial, \.\.\.\), but trial 0 "
    ):
        run_search(tmp_path, kind=Scores)


def test_the_batch_size_may_be_a_hyperparameter_of_fit(tmp_path: Path) -> None:
    class Sized(EagerHyperModel):
        def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
            return super().fit(hp, model, *args, batch_size=hp.Choice("size", [32, 48]), **kwargs)

    tuner = run_search(tmp_path, hypermodel=Sized(SHAPE, TinySpace()), max_trials=1, epochs=1)
    assert list(tuner.results().trials()["hp.size"]) == [32]
    assert list(tuner.results().history()["step"]) == [3]


def test_a_fit_that_does_not_train(tmp_path: Path) -> None:
    class Lazy(GANHyperModel):
        def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
            return None

    with pytest.raises(SearchError, match=r"because: the training ended without a score: fit must train for an epoch"):
        run_search(tmp_path, hypermodel=Lazy(SHAPE, TinySpace()))


def test_a_build_that_gives_something_else(tmp_path: Path) -> None:
    class Odd(GANHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> Any:
            return "a GAN"

    with pytest.raises(ConfigError, match=r"build\(hp\) must return a GAN, but it returned 'a GAN'"):
        run_search(tmp_path, hypermodel=Odd(SHAPE, TinySpace()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_trials": 0}, "max_trials must be an integer from 1 or None, but got 0"),
        ({"max_trials": True}, "max_trials must be an integer from 1 or None, but got True"),
        ({"max_epochs": 0}, "max_epochs must be an integer from 1, but got 0"),
        ({"executions_per_trial": 1.5}, "executions_per_trial must be an integer from 1, but got 1.5"),
        ({"seed": -1}, "seed must be an integer from 0, but got -1"),
        ({"seed": None}, "seed must be an integer from 0, but got None"),
        ({"finalists": -1}, "finalists must be an integer from 0, but got -1"),
        ({"finalists": None}, "finalists must be an integer from 0, but got None"),
        ({"finalists": 1.0}, "finalists must be an integer from 0, but got 1.0"),
        ({"finalist_seeds": 0}, "finalist_seeds must be an integer from 1, but got 0"),
        ({"max_model_size": -5}, "max_model_size must be an integer from 1 or None, but got -5"),
        ({"max_failures": 0}, "max_failures must be an integer from 1 or None, but got 0"),
        ({"max_failures": "3"}, "max_failures must be an integer from 1 or None, but got '3'"),
        ({"baselines": "some"}, "baselines must be 'all' or 'none', but got 'some'"),
        (
            {"oracle": "grid", "enqueue": [{"generator_depth": 2}]},
            "enqueue and storage are for Optuna's samplers .*'grid'",
        ),
        ({"enqueue": [{"generator_depth": 3}]}, "generator_depth must be in 1 to 2, but got 3"),
        ({"oracle": OptunaOracle(enqueue=[{"generator_depth": 3}])}, "generator_depth must be in 1 to 2, but got 3"),
        ({"hypermodel": TinySpace()}, "hypermodel must be a GANHyperModel, but got <"),
        ({"hypermodel": GANHyperModel((16, 16, 1))}, r"same images, but got shapes \(16, 16, 1\) and \(8, 8, 1\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments_of_the_tuner(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tuner(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer from 1, but got 0"),
        ({"epochs": 2.0}, "epochs must be an integer from 1, but got 2.0"),
        ({"max_time": 0}, "max_time must be a positive number of seconds or None, but got 0"),
        ({"max_time": "5m"}, "max_time must be a positive number of seconds or None, but got '5m'"),
        ({"max_time": math.inf}, "max_time must be a positive number of seconds or None, but got inf"),
        ({"max_trial_time": math.nan}, "max_trial_time must be a positive number of seconds or None, but got nan"),
        (
            {"x": blobs().astype(np.float32)},
            r"Expected training images uint8 \[N, 8, 8, 1\], but got float32 \[96, 8, 8",
        ),
        ({"x": blobs()[:0]}, r"but got uint8 \[0, 8, 8, 1\]"),
        ({"x": blobs()[..., 0]}, r"but got uint8 \[96, 8, 8\]"),
        ({"x": "digits"}, "but got str"),
        ({"x": datasets.from_arrays(blobs()).split(seed=0)}, r"but got DataSplits: pass its train\.$"),
    ],
)
def test_wrong_arguments_of_a_search(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    with pytest.raises(ConfigError, match=message):
        tuner.search(**({"x": blobs()} | arguments))


def test_numbers_may_be_those_of_numpy(tmp_path: Path) -> None:
    none: Any = np.int64(0)
    one: Any = np.int64(1)
    names = ("max_trials", "executions_per_trial", "finalist_seeds", "max_failures", "max_epochs")
    shape: Any = tuple(np.array(SHAPE))
    tuner = make_tuner(
        tmp_path,
        hypermodel=EagerHyperModel(shape, TinySpace(), classes=none),
        enqueue=[{"generator_depth": 2 * one}],
        max_model_size=np.uint16(50_000),
        seed=none,
        finalists=none,
        **dict.fromkeys(names, one),
    )
    tuner.search(blobs(), epochs=one, max_total_epochs=one, max_time=600 * one, max_trial_time=np.float32(600) * one)
    (record,) = tuner.results().records
    assert (record.status, record.hyperparameters["generator_depth"]) == ("COMPLETED", 2)


def test_numbers_of_an_oracle_may_be_those_of_numpy(tmp_path: Path) -> None:
    one: Any = np.int64(1)
    oracle = OptunaOracle(max_trials=one, seed=one, enqueue=[{"generator_depth": 2 * one}])
    tuner = run_search(tmp_path, oracle=oracle, epochs=1, eager=True)
    assert tuner.results().best.hyperparameters["generator_depth"] == 2


@pytest.mark.parametrize("classes", [None, 1, -2, True, 2.0, "10"])
def test_a_hypermodel_for_classes_that_are_none(classes: Any) -> None:
    message = f"classes must be 0 for GANs without labels, or an integer from 2, but got {classes!r}."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        GANHyperModel(SHAPE, classes=classes)


@pytest.mark.parametrize("shape", [28, (28, 28), "mnist", None, (28, 28, 1, 1)])
def test_a_hypermodel_for_images_without_a_shape(shape: Any) -> None:
    message = f"image_shape must be (height, width, channels), but got {shape!r}."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        GANHyperModel(shape)


def test_training_on_the_reference_images_is_told(tmp_path: Path) -> None:
    images = blobs()
    quality = MeanQuality(images)
    quality._data = from_arrays(images).split(seed=0)
    tuner = make_tuner(tmp_path, quality=quality, max_trials=1, eager=True)
    with pytest.warns(UserWarning, match="^Most of the reference images are among the training images, so") as caught:
        tuner.search(images, epochs=1)
    assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]
    make_tuner(tmp_path, "split", quality=quality, max_trials=1, eager=True).search(quality._data.train, epochs=1)


def test_its_repr_says_what_it_searches_and_where(tmp_path: Path) -> None:
    what = "space TinySpace, images (8, 8, 1), oracle random, objective fcd, seed 5"
    assert repr(make_tuner(tmp_path, "tiny", seed=5)) == f"GANTuner({str(tmp_path / 'tiny')!r}: {what})"


def test_unknown_keywords_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_trial'"):
        make_tuner(tmp_path, max_trial=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'validation_data'"):
        make_tuner(tmp_path).search(blobs(), validation_data=blobs())  # type: ignore[call-arg]
    assert len(load(tmp_path / "search")) == 0


@pytest.mark.parametrize(("limit", "value"), [("max_time", 5), ("max_total_epochs", 5)])
def test_some_limits_are_not_for_a_chief_and_its_workers(
    limit: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner(tmp_path)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker")
    with pytest.raises(ConfigError, match=f"{limit} cannot be kept by KerasTuner's chief and workers"):
        tuner.search(blobs(), **{limit: value})


def test_a_data_set_is_taken_too(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, max_trials=1)
    tuner.search(datasets.from_arrays(blobs()), epochs=1)
    assert tuner.results().best.score is not None


def test_max_time(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, max_trials=50)
    started = time.monotonic()
    tuner.search(blobs(), epochs=100_000, max_time=3)
    # The trial that runs at the end is scored as it is.
    assert 3 <= time.monotonic() - started < 8
    (only,) = tuner.results().records
    assert only.status == "COMPLETED"
    assert only.score is not None
    assert only.epochs is not None
    assert only.message == f"stopped by its time limit after {only.epochs} of 100000 epochs"
    assert tuner.results().history().epoch.iloc[-1] == only.epochs

    # The time of earlier runs counts, and that before the call.
    assert tuner.results().config["elapsed_s"] >= 3
    make_tuner(tmp_path, max_trials=50).search(blobs(), epochs=100_000, max_time=3)
    tuner.search(blobs(), epochs=100_000, max_time=60, spent=60)
    assert tuner.results().records == [only]


def test_the_time_is_noted_as_it_was_asked_for_and_what_is_kept_of_it_is_not_searched_in(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, max_trials=1, finalists=1, finalist_seeds=1, eager=True)
    tuner.search(blobs(), epochs=1, max_time=200, closing=10)
    assert tuner.results().config["config"]["max_time"] == 200
    budget = tuner._budget
    assert budget.deadline == pytest.approx(budget.started + 190)
    assert budget.most_kept_s == 95
    # Less time than that is none.
    late = make_tuner(tmp_path, "late", finalists=1)
    late.search(blobs(), epochs=1, max_time=5, closing=10)
    assert len(late.results()) == 0
    assert late.results().config["config"]["max_time"] == 5


def test_max_trial_time(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, executions_per_trial=2, max_trials=1)
    started = time.monotonic()
    tuner.search(blobs(), epochs=100_000, max_time=60, max_trial_time=0.8)
    assert time.monotonic() - started < 30
    executions = tuner.results().executions()
    assert len(executions) == 2
    assert (executions.epochs < 100_000).all()
    assert executions.score.notna().all()
    # Half of a trial's time is left, or a sixteenth of the whole, at least, when one is started.
    late = make_tuner(tmp_path, "late", eager=True)
    late.search(blobs(), epochs=1, max_time=100, max_trial_time=1000, spent=94)
    assert len(late.results()) == 0
    late.search(blobs(), epochs=1, max_time=1000, max_trial_time=100_000)
    assert len(late.results()) == 2


def test_all_trials_failed(tmp_path: Path) -> None:
    with pytest.raises(
        SearchError, match=r"^All 2 trials failed; the last one because: .*loss is nan \(after epoch 1\)$"
    ):
        run_search(tmp_path, space=TinySpace(learning_rate=1e30, batch_size=32), eager=True)
    trials = load(tmp_path / "search").trials()
    assert list(trials.status) == ["FAILED", "FAILED"]
    assert list(trials["flags"]) == ["diverged", "diverged"]
    assert trials["rank"].isna().all()
    # A baseline that nobody goes on with is no usable trial either.
    record = files.read_json(tmp_path / "search" / "trial_1" / files.RECORD)
    leftover = files.trial_dir(tmp_path / "search", "tutorial_conv")
    leftover.mkdir()
    files.write_json(leftover / files.RECORD, record | {"trial_id": "tutorial_conv", "status": "INTERRUPTED"})
    with pytest.raises(SearchError, match=r"^None of 3 trials has a score, 2 failed; the last one because: .*loss is"):
        run_search(tmp_path, space=TinySpace(learning_rate=1e30, batch_size=32), eager=True)


def test_a_search_of_which_only_the_tutorials_have_a_score_says_so(tmp_path: Path) -> None:
    space = TinySpace(learning_rate=1e30, batch_size=32)
    tuner = make_tuner(tmp_path, space=space, baselines="all", max_trials=1, eager=True)
    message = r"^Only tutorials have a score: all trials of the search space failed \(1\), .*: .*loss is nan \(after "
    with pytest.warns(UserWarning, match=message) as caught:
        tuner.search(blobs(), epochs=1)
    assert caught[-1].filename == __file__


def test_a_space_for_other_images_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    hypermodel = GANHyperModel(SHAPE, MLPSpace((16, 16, 1)))
    with pytest.raises(
        ConfigError,
        match=r"The search space mlp must give .* of shape \(8, 8, 1\), but it gave one for \(16, 16, 1\): try",
    ):
        make_tuner(tmp_path, hypermodel=hypermodel)
    assert list((tmp_path / "search").iterdir()) == []


def test_a_space_that_is_for_other_images_at_some_points_fails_these_trials(tmp_path: Path) -> None:
    class Mixed(TinySpace):
        def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
            architecture = super().sample(hp)
            is_default = architecture.generator.widths == (4,)
            return architecture if is_default else dataclasses.replace(architecture, image_shape=(9, 9, 1))

    tuner = run_search(tmp_path, space=Mixed(), eager=True)
    completed, failed = tuner.results().records
    assert (completed.status, failed.status) == ("COMPLETED", "FAILED")
    assert "The search space Mixed must give a GANArchitecture for images of shape (8, 8, 1)" in str(failed.message)


@pytest.mark.parametrize("name", [files.RECORD, files.HISTORY, files.GENERATOR, files.STATE])
def test_a_full_disk_ends_the_search(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replacing = files.replacing

    def full(path: Path) -> AbstractContextManager[Path]:
        if path.parts[-2:] == ("trial_1", name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replacing(path)

    monkeypatch.setattr(files, "replacing", full)
    with pytest.raises(ProjectError, match=r"cannot write to its folder \(No space left on device\): make room"):
        run_search(tmp_path, eager=True)
    monkeypatch.undo()
    finished = load(tmp_path / "search").trial("0")
    assert finished.status == "COMPLETED"
    tuner = run_search(tmp_path, eager=True)
    assert tuner.results().trial("0") == finished
    assert list(tuner.results().trials().status) == ["COMPLETED", "COMPLETED"]


def test_a_disk_that_is_almost_full_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(ProjectError, match=r"cannot write to its folder \(No space left on device\): make room"):
        run_search(tmp_path, eager=True)
    (stopped,) = load(tmp_path / "search").records
    assert (stopped.status, stopped.message) == ("INTERRUPTED", "an error stopped the search")


def test_a_full_disk_where_kerastuner_writes(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)

    def full() -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    tuner.oracle.save = full
    with pytest.raises(ProjectError, match=r"cannot write to its folder \(No space left on device\): make room"):
        tuner.search(blobs(), epochs=1)


def test_a_distribution_strategy(tmp_path: Path) -> None:
    strategies = []

    class Watched(GANHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> GAN:
            strategies.append(tf.distribute.get_strategy())
            return super().build(hp)

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    hypermodel = Watched(SHAPE, TinySpace())
    tuner = run_search(tmp_path, hypermodel=hypermodel, max_trials=1, distribution_strategy=strategy)
    assert strategies == [strategy]
    assert tuner.results().best.score is not None
    assert isinstance(tuner.get_best_models()[0], keras.Model)


def test_the_precision_that_the_user_has_set(tmp_path: Path) -> None:
    trained: list[str] = []

    class Watched(EagerHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> GAN:
            gan = super().build(hp)
            trained.append(gan.generator.layers[1].compute_dtype)
            return gan

    with precision("mixed_float16"):
        tuner = run_search(tmp_path, hypermodel=Watched(SHAPE, TinySpace()), finalists=1, finalist_seeds=1, epochs=1)
        assert keras.config.dtype_policy().name == "mixed_float16"
    assert trained == ["float16"] * 3
    assert tuner.results().best.score is not None
