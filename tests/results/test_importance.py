from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project_folders import SPACE, failed_json, record_json, write_project

from tuner_gan import results

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


def importance(folder: Path, *records: dict[str, Any], **search: Any) -> pd.DataFrame:
    table = results.load(write_project(folder, *records, **search)).importance()
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
    assert list(table.columns) == list(DTYPES)
    return table


def test_the_hyperparameter_that_made_the_score_comes_first(tmp_path: Path) -> None:
    table = importance(tmp_path / "demo", *sampled(40))
    assert sorted(table["name"]) == sorted(NAMES)
    assert table["name"][:2].tolist() == ["generator_lr", "normalisation"]
    assert table["importance"][0] > 0.6
    assert table["importance"].sum() == pytest.approx(1.0)
    assert table["importance"].tolist() == sorted(table["importance"], reverse=True)
    assert (table["importance"] >= 0).all()
    assert (table["std"] >= 0).all()
    constant = table[table["name"] == "latent"]
    assert constant[["importance", "std"]].to_numpy().tolist() == [[0.0, 0.0]]
    pd.testing.assert_frame_equal(table, results.load(tmp_path / "demo").importance())


def test_being_inactive_is_a_value_of_its_own(tmp_path: Path) -> None:
    records = sampled(30)
    for record in records:
        record["score"] = 1.0 if "generator_width_2" in record["hyperparameters"] else 9.0
        record["hyperparameters"]["generator_depth"] = 2
    table = importance(tmp_path / "demo", *records)
    assert table["name"][0] == "generator_width_2"
    assert table["importance"][0] > 0.9


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
