"""Every oracle, by name and as an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from searches import QUIET, SHAPE, MeanQuality, TinySpace, blobs, make_tuner, run_search

from tuner_gan import files
from tuner_gan.errors import ConfigError, ProjectError, SearchError
from tuner_gan.results.tables import COLUMNS
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.names import ORACLES
from tuner_gan.search.oracle import OptunaOracle
from tuner_gan.search.oracles import make_oracle
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

FCD = keras_tuner.Objective("fcd", "min")


def check_tables(tuner: GANTuner, trials: int) -> None:
    """A full table, which agrees with what the oracle knows and holds no value of an absent layer."""
    table = tuner.results().trials()
    fixed = [column.name for column in COLUMNS["trials"] if not column.name.endswith(".*")]
    assert [name for name in table.columns if not name.startswith(("hp.", "metric."))] == fixed
    hyperparameters = ["hp.generator_depth", "hp.generator_width", "hp.generator_width_2"]
    assert [name for name in table.columns if name.startswith("hp.")] == hyperparameters
    assert list(table.status) == ["COMPLETED"] * trials
    assert table.score.is_monotonic_increasing
    needed = table.drop(columns=["score_std", "hp.generator_width_2", "flags", "message"])
    assert needed.notna().all(axis=None)
    assert list(table["hp.generator_width_2"].notna()) == list(table["hp.generator_depth"] == 2)
    scores = {trial_id: trial.score for trial_id, trial in tuner.oracle.trials.items()}
    assert scores == dict(zip(table.trial_id, table.score, strict=True))
    assert len(tuner.results().history()) == int(table.epochs.sum())


@pytest.mark.parametrize("name", ORACLES)
def test_by_name(name: str, tmp_path: Path) -> None:
    tuner = run_search(tmp_path, oracle=name, max_trials=3, max_epochs=3, epochs=1, eager=True)
    check_tables(tuner, 3)
    if name not in ("hyperband", "grid"):
        first = tuner.results().trial("0").hyperparameters
        assert first == {"generator_depth": 1, "generator_width": 4}


@pytest.mark.parametrize(
    "oracle",
    [
        keras_tuner.oracles.RandomSearchOracle(max_trials=2, seed=5),
        keras_tuner.oracles.BayesianOptimizationOracle(max_trials=2, num_initial_points=1),
        keras_tuner.oracles.GridSearchOracle(FCD, max_trials=2),
        keras_tuner.oracles.HyperbandOracle(max_epochs=1),
    ],
    ids=["random, no objective", "bayesian, no objective", "grid", "hyperband, no objective"],
)
def test_as_objects(oracle: keras_tuner.Oracle, tmp_path: Path) -> None:
    check_tables(run_search(tmp_path, oracle=oracle, epochs=1, eager=True), 2 if oracle.max_trials else 1)


def test_the_grid_is_covered_once(tmp_path: Path) -> None:
    class Flat(TinySpace):
        def sample(self, hp: keras_tuner.HyperParameters) -> Any:
            hp.Fixed("generator_width", 4)
            return super().sample(hp)

    tuner = run_search(tmp_path, oracle="grid", max_trials=None, space=Flat(widest=5), epochs=1, eager=True)
    points = [tuple(sorted(record.hyperparameters.items())) for record in tuner.results().records]
    # One layer of 4, or two of which the second has 4 or 5.
    assert len(points) == len(set(points)) == 3


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        ("hyperbnd", r"Unknown oracle 'hyperbnd' \(did you mean 'hyperband'\?\): choose one of tpe, "),
        (7, "oracle must be a name or a keras_tuner.Oracle, but got 7"),
        (
            keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("loss", "min")),
            r"must have the objective 'fcd' with direction 'min', but it has 'loss' with 'min': pass objective=",
        ),
        (keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("fcd", "max")), "but it has 'fcd' with 'max'"),
        (keras_tuner.oracles.RandomSearchOracle([FCD, keras_tuner.Objective("x", "max")]), "'multi_objective'"),
        (OptunaOracle(FCD, max_retries_per_trial=2), "max_retries_per_trial of the oracle must be 0, but got 2: a"),
        (keras_tuner.oracles.RandomSearchOracle(FCD, max_retries_per_trial=1), "must be 0, but got 1"),
    ],
    ids=["name", "type", "objective", "direction", "several", "retries", "retries of KerasTuner's"],
)
def test_an_oracle_that_does_not_fit(oracle: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tuner(tmp_path, oracle=oracle)


def test_an_oracle_that_allows_no_others_has_all_hyperparameters_of_the_space(tmp_path: Path) -> None:
    def make(own: keras_tuner.HyperParameters, **changes: Any) -> GANTuner:
        return make_tuner(tmp_path, oracle=OptunaOracle(FCD, hyperparameters=own, allow_new_entries=False), **changes)

    whole = keras_tuner.HyperParameters()
    TinySpace().sample(whole)
    make(whole)
    part = keras_tuner.HyperParameters()
    part.Int("generator_width", 4, 6)
    message = "allow_new_entries=False, but its hyperparameters lack generator_depth, generator_width_2 of the search"
    with pytest.raises(ConfigError, match=message):
        make(part, overwrite=True)
    assert (tmp_path / "search" / files.SEARCH).exists()


def test_a_metric_to_maximise(tmp_path: Path) -> None:
    class Brightest(MeanQuality):
        objective = "brightness"
        direction = "max"

    with pytest.raises(ConfigError, match="but it has 'default_objective' with 'min'"):
        make_tuner(tmp_path, quality=Brightest(blobs()), oracle=keras_tuner.oracles.RandomSearchOracle())
    table = run_search(tmp_path, quality=Brightest(blobs()), max_trials=3, epochs=1, eager=True).results().trials()
    assert table.score.is_monotonic_decreasing
    assert list(table.score) == list(table["metric.brightness"])


def one_name_twice(hp: keras_tuner.HyperParameters) -> Any:
    """Declares one name under two conditions, in both ways; returns its value."""
    kind = hp.Choice("kind", ["x", "y"])
    with hp.conditional_scope("kind", ["x"]):
        narrow = hp.Int("width", 4, 6)
    wide = hp.Int("width", 10, 20, step=5, parent_name="kind", parent_values=["y"])
    return narrow if kind == "x" else wide


@pytest.mark.parametrize("name", ["tpe", "random", "bayesian", "hyperband", "grid"])
def test_one_name_under_two_conditions(name: str, tmp_path: Path) -> None:
    oracle = make(name, tmp_path, one_name_twice)
    points = []
    for _ in range(6):
        trial = oracle.create_trial("tuner0")
        width = one_name_twice(trial.hyperparameters)
        oracle.update_trial(trial.trial_id, {"fcd": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        assert trial.hyperparameters.values["width"] == width  # what the oracle learns from
        points.append((trial.hyperparameters.values["kind"], width))
    every = [(kind, width) for kind, widths in (("x", (4, 5, 6)), ("y", (10, 15, 20))) for width in widths]
    assert set(points) <= set(every)
    assert {kind for kind, _ in points} == {"x", "y"}
    if name == "grid":
        assert points == every
        assert oracle.create_trial("tuner0").status == "STOPPED"
    if isinstance(oracle, OptunaOracle):
        drawn = [tuple(trial.params.values()) for trial in oracle.study.trials]
        assert drawn == points


def test_seeds_are_never_zero() -> None:
    seeds = [
        make_oracle("bayesian", objective="fcd", direction="min", max_trials=1, max_epochs=1, seed=seed).seed
        for seed in (0, 0, 1, 2**31)
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    assert min(seeds) > 0


def numbers(hp: keras_tuner.HyperParameters) -> None:
    hp.Float("rate", 0.0, 1.0)
    hp.Int("width", 1, 50)


def make(
    name: str, folder: Path, space: Callable[[keras_tuner.HyperParameters], object] = numbers, **settings: Any
) -> keras_tuner.Oracle:
    common: dict[str, Any] = {"objective": "fcd", "direction": "min", "max_trials": 9, "max_epochs": 3, "seed": 0}
    oracle = make_oracle(name, **common, **settings)
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "project")
    hp = keras_tuner.HyperParameters()
    space(hp)
    oracle.update_space(hp)
    return oracle


def end(oracle: keras_tuner.Oracle, score: float | None) -> dict[str, Any]:
    """Begins and ends a trial; without a score, it failed. Returns its values."""
    trial = oracle.create_trial("tuner0")
    if score is not None:
        oracle.update_trial(trial.trial_id, {"fcd": score})
    trial.status = "FAILED" if score is None else "COMPLETED"
    oracle.end_trial(trial)
    values: dict[str, Any] = trial.hyperparameters.values
    return values


@pytest.mark.parametrize("name", ["bayesian", "hyperband", "grid"])
def test_oracles_of_kerastuner_rank_no_trial_that_failed_or_runs(name: str, tmp_path: Path) -> None:
    oracle = make(name, tmp_path)
    for score in (0.5, None, 0.3):
        end(oracle, score)
    oracle.create_trial("tuner0")
    assert [trial.score for trial in oracle.get_best_trials(9)] == [0.3, 0.5]


@pytest.mark.filterwarnings("ignore:The optimal value found for dimension 0")  # three points tell no length scale
def test_a_bayesian_search_that_is_cut_draws_what_one_that_is_not_draws(tmp_path: Path) -> None:
    # About 3 seconds: KerasTuner looks for the best point of its model from 50 places.
    whole = make("bayesian", tmp_path / "whole")
    whole.num_initial_points = 2
    for score in (0.5, 0.4, 0.8):
        end(whole, score)
    cut = make("bayesian", tmp_path / "cut")
    cut.trials = dict(whole.trials)
    cut.set_state(json.loads(json.dumps(whole.get_state())))
    assert end(cut, 0.2) == end(whole, 0.2)


@pytest.mark.parametrize("own", [False, True])
def test_a_grid_that_is_cut_is_covered_once(own: bool, tmp_path: Path) -> None:
    def search(most: int | None) -> GANTuner:
        oracle = keras_tuner.oracles.GridSearchOracle(FCD, most) if own else "grid"
        space = TinySpace(widest=5)
        return run_search(tmp_path, oracle=oracle, max_trials=most, space=space, epochs=1, eager=True)

    search(2)
    tuner = search(None)
    points = [tuple(sorted(record.hyperparameters.items())) for record in tuner.results().records]
    # One layer of 4 or 5, or two of them.
    assert len(points) == len(set(points)) == 2 + 2 * 2


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("state", [files.TUNER, "oracle.json"])
def test_hyperband_goes_on_with_the_same_epochs_only(own: bool, state: str, tmp_path: Path) -> None:
    """KerasTuner's own would take those of its state, whatever it is asked for."""

    def tuner(max_epochs: int) -> GANTuner:
        mine = keras_tuner.oracles.HyperbandOracle(FCD, max_epochs=max_epochs)
        return make_tuner(tmp_path, oracle=mine if own else "hyperband", max_epochs=max_epochs)

    first = tuner(3)
    first.save()
    first.oracle.save()
    for path in tmp_path.glob("search/*.json"):
        if path.name not in (files.SEARCH, state):
            path.unlink()
    tuner(3)
    for other in (2, 9):
        message = f"longest trials have 3 epochs, not {other}: go on with max_epochs=3 .--epochs 3., choose another"
        with pytest.raises(ProjectError, match=message):
            tuner(other)


@pytest.mark.parametrize("name", ["bayesian", "grid"])
def test_after_a_row_of_failures_a_search_goes_on(name: str, tmp_path: Path) -> None:
    def search(**changes: Any) -> GANTuner:
        return run_search(tmp_path, oracle=name, max_trials=4, max_failures=2, epochs=1, eager=True, **changes)

    with pytest.raises(SearchError, match=r"^2 trials in a row failed"):
        search(max_model_size=1)
    assert list(search().results().trials().status) == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]


def test_the_limit_of_failures_of_an_oracle(tmp_path: Path) -> None:
    def search(limit: int) -> None:
        oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=4, seed=1, max_consecutive_failed_trials=limit)
        run_search(tmp_path, hypermodel=GANHyperModel(SHAPE, TinySpace()), oracle=oracle, max_model_size=1)

    with pytest.raises(SearchError, match=r"^2 trials in a row failed, the last one because: .* the limit of 1; to go"):
        search(2)
    # KerasTuner's own looks at all trials there ever were, so the same command says the same.
    with pytest.raises(SearchError, match=r"^2 trials in a row failed"):
        search(2)
    with pytest.raises(SearchError, match="All 4 trials failed"):
        search(5)
