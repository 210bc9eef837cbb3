from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from project_folders import failed_json, record_json, running_json, write_project, write_trial

from tuner_gan import files, results
from tuner_gan.results import study as study_module
from tuner_gan.results.records import Project, TrialRecord
from tuner_gan.results.study import find_distributions, to_study

FOLDER = Path("runs/demo")
CURVE = (
    "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd\n0,1,9,1.0,0.5,0.5,0.9\n0,2,18,2.0,0.5,0.5,\n"
    "1,1,9,1.0,0.5,0.5,0.8\n1,2,18,2.0,0.5,0.5,0.7\n"
)


def project(space: list[dict[str, Any]], *points: dict[str, Any]) -> Project:
    trials = [
        TrialRecord(FOLDER / f"trial_{i}", str(i), "COMPLETED", "search", score=1.0 + i, hyperparameters=point)
        for i, point in enumerate(points)
    ]
    return Project(FOLDER, {"space": {"hyperparameters": space}}, trials, searching=False)


def entry(kind: str, name: str = "x", **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, **rest}


@pytest.mark.parametrize(
    ("space", "points", "expected"),
    [
        ([entry("Int", min_value=1, max_value=8, step=2)], [], IntDistribution(1, 7, step=2)),
        ([entry("Int", min_value=1, max_value=8, step=2)], [{"x": 2}], IntDistribution(1, 7)),
        ([entry("Int", min_value=4, max_value=64, sampling="log", step=2)], [], IntDistribution(4, 64, log=True)),
        ([entry("Float", min_value=1e-5, max_value=0.1, sampling="log")], [], FloatDistribution(1e-5, 0.1, log=True)),
        ([entry("Float", min_value=0.0, max_value=1.0, step=0.25)], [], FloatDistribution(0.0, 1.0)),
        ([entry("Float", min_value=0.5, max_value=1.0)], [{"x": 2.0}], FloatDistribution(0.5, 2.0)),
        ([entry("Boolean")], [], CategoricalDistribution([False, True])),
        ([entry("Choice", values=["a", "b"])], [{"x": "c"}], CategoricalDistribution(["a", "b", "c"])),
        # Under two conditions, with a range each.
        (
            [entry("Int", min_value=1, max_value=4, step=1), entry("Int", min_value=8, max_value=16, step=1)],
            [],
            IntDistribution(1, 16),
        ),
        (
            [entry("Choice", values=[8, 64]), entry("Choice", values=[64, 9])],
            [],
            CategoricalDistribution([8, 64, 9]),
        ),
        # What the space does not tell, the trials do.
        ([], [{"x": 3}, {"x": 5}], IntDistribution(3, 5)),
        ([], [{"x": 3}, {"x": 0.5}], FloatDistribution(0.5, 3.0)),
        ([], [{"x": 3}, {"x": "many"}], CategoricalDistribution([3, "many"])),
        ([], [{"x": True}, {"x": False}], CategoricalDistribution([True, False])),
        # One value is nothing to compare, and the notes of KerasTuner are no hyperparameter.
        ([entry("Fixed", value=64)], [{"x": 64}], None),
        ([entry("Int", min_value=5, max_value=5)], [], None),
        ([entry("Int", min_value=9, max_value=5)], [], None),
        ([entry("Int", "tuner/epochs", min_value=1, max_value=5)], [{"tuner/epochs": 3}], None),
    ],
)
def test_a_hyperparameter_has_one_distribution(
    space: list[dict[str, Any]], points: list[dict[str, Any]], expected: Any
) -> None:
    read = project(space, *points)
    assert find_distributions(read, read.trials) == ({} if expected is None else {"x": expected})


NUMBERS = st.floats(1e-6, 1e6, allow_nan=False)
VALUES = st.one_of(st.integers(-1000, 1000), NUMBERS, st.booleans(), st.sampled_from(["a", "b", "1"]))
ENTRIES = st.one_of(
    st.builds(lambda a, b: entry("Int", min_value=min(a, b), max_value=max(a, b)), st.integers(), st.integers()),
    st.builds(
        lambda a, b, scale: entry("Float", min_value=min(a, b), max_value=max(a, b), sampling=scale),
        NUMBERS,
        NUMBERS,
        st.sampled_from(["linear", "log", "reverse_log"]),
    ),
    st.builds(lambda values: entry("Choice", values=values), st.lists(VALUES, min_size=1, max_size=4)),
    st.just(entry("Boolean")),
    st.just(entry("Int", min_value=None, max_value="5")),
    st.just(entry("Choice", values=None)),
)


@settings(deadline=None)
@given(space=st.lists(ENTRIES, max_size=3), values=st.lists(VALUES, max_size=5))
def test_every_value_of_a_trial_is_in_the_study(space: list[dict[str, Any]], values: list[Any]) -> None:
    read = project(space, *({"x": value} for value in values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "_curve", lambda *_: {})  # these trials have no files
        study = to_study(read)
    assert [trial.value for trial in study.trials] == [1.0 + i for i in range(len(values))]
    for value, trial in zip(values, study.trials, strict=True):
        # Left out, when all have the same.
        assert trial.params in ({}, {"x": value})
    if len({(type(value), value) for value in values}) > 1 and len(set(values)) > 1:
        assert all("x" in trial.params for trial in study.trials)


def test_a_study_tells_what_the_tables_tell(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "demo",
        failed_json("0001"),
        running_json("0002"),
        record_json("0003", score=0.75, status="PRUNED"),
        record_json("final_0000", score=0.25, origin="finalist", score_std=0.01, flags=["collapsed"]),
    )
    write_trial(folder, record_json("0000", score=0.5, best_execution=1), CURVE)
    with files.search_lock(folder):
        found = results.load(folder)
    study = found.to_optuna()
    assert study.direction.name == "MINIMIZE"
    assert [(trial.user_attrs["trial_id"], trial.state, trial.value) for trial in study.trials] == [
        ("0000", TrialState.COMPLETE, 0.5),
        ("0001", TrialState.FAIL, None),
        ("0002", TrialState.RUNNING, None),
        ("0003", TrialState.PRUNED, 0.75),
        ("final_0000", TrialState.COMPLETE, 0.25),
    ]
    first, failed, _, _, final = study.trials
    assert first.params == {
        "generator_depth": 2,
        "generator_lr": 0.0002,
        "normalisation": "batch",
        "average": True,
    }
    assert first.intermediate_values == {1: 0.8, 2: 0.7}  # of the better training
    assert first.duration is not None
    assert first.duration.total_seconds() == 31.25
    assert first.user_attrs["metric.coverage"] == 0.75
    assert failed.user_attrs["message"] == "generator loss is NaN at epoch 3"
    assert (final.user_attrs["flags"], final.user_attrs["score_std"]) == (["collapsed"], 0.01)
    assert study.best_trial.user_attrs["trial_id"] == "final_0000"
    assert json.dumps([trial.user_attrs for trial in study.trials])


def test_what_optuna_offers_works_on_it(tmp_path: Path) -> None:
    records = [
        record_json(f"{i:04}", score=0.1 + i % 5, hyperparameters={"generator_depth": 1 + i % 4, "rate": 0.1 * i})
        for i in range(12)
    ]
    study = results.load(write_project(tmp_path / "demo", *records)).to_optuna()
    assert study.trials_dataframe().shape[0] == 12
    assert set(optuna.importance.get_param_importances(study)) == {"generator_depth", "rate"}
    for draw in (
        optuna.visualization.plot_optimization_history,
        optuna.visualization.plot_slice,
        optuna.visualization.plot_parallel_coordinate,
        optuna.visualization.plot_timeline,
    ):
        assert draw(study).data


def test_a_search_for_the_most_is_one_in_the_study(tmp_path: Path) -> None:
    objective = {"name": "coverage", "direction": "max"}
    folder = write_project(
        tmp_path / "demo", record_json("0000", score=0.5), record_json("0001", score=0.75), objective=objective
    )
    study = results.load(folder).to_optuna()
    assert study.best_trial.user_attrs["trial_id"] == "0001"


def test_a_completed_trial_without_a_score_and_an_empty_project(tmp_path: Path) -> None:
    study = results.load(write_project(tmp_path / "one", record_json("0000", score=None))).to_optuna()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert results.load(write_project(tmp_path / "none")).to_optuna().trials == []
