from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from project_folders import SPACE, failed_json, record_json, write_project

from tuner_gan import results
from tuner_gan.errors import ConfigError
from tuner_gan.results.importance import importance_table

NAMES = list(dict.fromkeys(entry["name"] for entry in SPACE))
DTYPES = {"name": "string", "importance": "Float64", "std": "Float64"}


def sampled(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Trials whose score follows from the learning rate, and a little from the normalisation."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(count):
        values: dict[str, Any] = {
            "generator_depth": int(rng.integers(1, 5)),
            "generator_lr": float(10 ** rng.uniform(-5, -2)),
            "normalisation": str(rng.choice(["batch", "none"])),
            "batch_size": int(rng.choice([32, 64])),
            "average": bool(rng.integers(2)),
            "latent": 64,
        }
        if values["generator_depth"] > 1:
            values["generator_width_2"] = int(rng.integers(16, 65))
        score = (np.log10(values["generator_lr"]) + 3.5) ** 2 + 0.5 * (values["normalisation"] == "none")
        records.append(record_json(f"{i:04}", hyperparameters=values, score=float(score)))
    return records


def importance(folder: Path, *records: dict[str, Any], method: str = "ped_anova", **search: Any) -> pd.DataFrame:
    found = results.load(write_project(folder, *records, **search))
    with warnings.catch_warnings():
        if 4 <= len(records) < 50:
            warnings.filterwarnings("ignore", "Importance is rough", UserWarning)
        table = found.importance(method)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
    assert list(table.columns) == list(DTYPES)
    return table


@pytest.mark.parametrize("method", ["ped_anova", "fanova"])
def test_the_hyperparameter_that_made_the_score_comes_first(tmp_path: Path, method: str) -> None:
    table = importance(tmp_path / "demo", *sampled(60), method=method)
    assert sorted(table["name"]) == sorted(NAMES)
    assert table["name"][0] == "generator_lr"
    assert table["importance"][0] > 0.5
    assert table["importance"].sum() == pytest.approx(1.0)
    known = table[table["importance"].notna()]
    assert known["importance"].tolist() == sorted(known["importance"], reverse=True)
    assert (known["importance"] >= 0).all()
    assert (known["std"] >= 0).all()
    constant = table[table["name"] == "latent"]
    assert constant[["importance", "std"]].to_numpy().tolist() == [[0.0, 0.0]]
    pd.testing.assert_frame_equal(table, results.load(tmp_path / "demo").importance(method))
    quick = importance_table(results.load(tmp_path / "demo").project, method, with_std=False)
    pd.testing.assert_frame_equal(quick.drop(columns="std"), table.drop(columns="std"))
    assert quick["std"].isna().all()


def test_it_is_what_optuna_finds(tmp_path: Path) -> None:
    # Optuna's own front door, on the study that any user can make of the project.
    found = results.load(write_project(tmp_path / "demo", *sampled(60)))
    theirs = optuna.importance.get_param_importances(
        found.to_optuna(), evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1)
    )
    ours = found.importance().set_index("name")["importance"]
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value)


@pytest.mark.filterwarnings("ignore:Importance is rough:UserWarning")
@pytest.mark.parametrize(("count", "share"), [(4, 0.5), (8, 0.5), (20, 0.25), (40, 0.125)])
def test_the_best_are_five_trials_at_least_and_half_of_them_at_most(tmp_path: Path, count: int, share: float) -> None:
    found = results.load(write_project(tmp_path / "demo", *sampled(count)))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few trials have each hyperparameter
        theirs = optuna.importance.get_param_importances(found.to_optuna(), evaluator=evaluator)
    values = {name: {trial.hyperparameters.get(name) for trial in found.records} - {None} for name in theirs}
    varied = {name: value for name, value in theirs.items() if len(values[name]) > 1}  # Optuna counts all
    ours = importance_table(found.project, with_std=False).set_index("name")["importance"]
    expected = {name: varied.get(name, 0.0) / sum(varied.values()) for name in theirs}
    assert {name: ours[name] for name in theirs} == pytest.approx(expected)


def test_a_hyperparameter_counts_where_it_is_active(tmp_path: Path) -> None:
    records = sampled(60)
    for record in records:
        width = record["hyperparameters"].get("generator_width_2")
        record["score"] = 9.0 + int(record["trial_id"]) / 1000 if width is None else abs(width - 20) / 10
    folder = tmp_path / "demo"
    table = importance(folder, *records)
    # The second width, and the depth that decides whether there is one.
    assert table["name"][0] == "generator_width_2"
    assert table.set_index("name")["importance"]["generator_width_2"] > 0.5
    alone = results.load(folder).importance("fanova").set_index("name")["importance"]
    assert alone["generator_width_2"] is pd.NA
    assert alone["generator_depth"] > 0


@pytest.mark.parametrize("method", ["ped_anova", "fanova"])
def test_what_had_one_value_in_all_trials_explains_nothing(tmp_path: Path, method: str) -> None:
    records = sampled(6)
    for record in records:
        record["hyperparameters"] |= {"generator_depth": 2, "generator_width_2": 32, "batch_size": 64}
    table = importance(tmp_path / "demo", *records, method=method).set_index("name")
    for name in ("generator_depth", "generator_width_2", "batch_size"):
        assert (table["importance"][name], table["std"][name]) == (0.0, 0.0)
    assert table["importance"]["generator_lr"] > 0
    for record in records:
        record["hyperparameters"] = {"generator_depth": 2}
    alone = importance(tmp_path / "alone", *records, method=method)
    assert alone["importance"].fillna(0.0).tolist() == [0.0] * len(alone)


def test_few_trials_are_told_to_be_rough(tmp_path: Path) -> None:
    found = results.load(write_project(tmp_path / "demo", *sampled(12)))
    with pytest.warns(UserWarning, match="rough: it comes from 12 trials, and 50 make it steady"):
        table = found.importance()
    steady = importance(tmp_path / "steady", *sampled(80)).set_index("name")["std"]
    assert table.set_index("name")["std"]["generator_lr"] > steady["generator_lr"]


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown method 'fanov' \(did you mean 'fanova'\?\)"):
        importance(tmp_path / "demo", method="fanov")


def test_only_ranked_trials_of_the_search_count(tmp_path: Path) -> None:
    records = sampled(12)
    for record in records[:4]:
        record["status"] = "PRUNED"
    plain = importance(tmp_path / "plain", *records)
    others = [
        record_json("0100", origin="baseline", score=100.0, hyperparameters={"generator_depth": 1}),
        record_json("0101", origin="finalist", score=100.0, hyperparameters={"generator_depth": 2}),
        record_json("0102", score=None),
        failed_json("0103"),
    ]
    pd.testing.assert_frame_equal(plain, importance(tmp_path / "others", *records, *others))


def test_extreme_values_are_borne(tmp_path: Path) -> None:
    records = sampled(6)
    for i, record in enumerate(records):
        record["hyperparameters"]["generator_lr"] = 1e300 * (i + 1)
        record["score"] = 1.7e308 * (-1) ** i
    assert importance(tmp_path / "demo", *records)["importance"].notna().all()


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "there are 0"),
        (sampled(1), "there is 1"),
        (sampled(3), "there are 3"),
        ([failed_json(f"000{i}") for i in range(5)], "there are 0"),
        ([record_json(f"000{i}", origin="baseline", score=float(i)) for i in range(5)], "there are 0"),
        ([record_json(f"000{i}") for i in range(5)], "there is one score for all of them"),
    ],
    ids=["empty", "one", "three", "all failed", "baselines only", "constant"],
)
def test_too_little_to_tell(tmp_path: Path, records: list[dict[str, Any]], why: str) -> None:
    with pytest.warns(UserWarning, match=f"at least 4 ranked trials of origin search with different scores, .*{why}"):
        table = importance(tmp_path / "demo", *records)
    assert table["name"].tolist() == NAMES
    assert table[["importance", "std"]].isna().all(axis=None)


def test_a_space_without_hyperparameters_has_no_importance(tmp_path: Path) -> None:
    records = [record_json(f"000{i}", score=float(i), hyperparameters={}) for i in range(5)]
    assert importance(tmp_path / "demo", *records, space={"hyperparameters": []}).empty
