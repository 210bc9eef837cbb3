from __future__ import annotations

from pathlib import Path

import pytest
from project_folders import METRICS, SPACE, record_json, write_project

from tuner_gan import results
from tuner_gan.errors import ConfigError, ProjectError


def test_trials_of_several_searches_are_ranked_together(tmp_path: Path) -> None:
    one = write_project(tmp_path / "one", record_json("0000", score=0.5), record_json("0001", score=0.1))
    other_space = [*SPACE, {"name": "depth_of_blocks", "kind": "Int", "default": 1, "min_value": 1, "max_value": 3}]
    two = write_project(
        tmp_path / "two",
        record_json("0000", score=0.25, hyperparameters={"depth_of_blocks": 2}),
        space={"name": "resnet", "hyperparameters": other_space},
        metrics=[*METRICS, "mind"],
    )
    table = results.compare([one, two])
    assert table.columns[:3].tolist() == ["search", "rank", "trial_id"]
    assert list(zip(table["search"], table["rank"], table["trial_id"], strict=True)) == [
        (str(one), 1, "0001"),
        (str(two), 2, "0000"),
        (str(one), 3, "0000"),
    ]
    assert table["hp.depth_of_blocks"].dtype == "Int64"
    assert table["hp.depth_of_blocks"].fillna(0).tolist() == [0, 2, 0]
    assert table["metric.mind"].isna().all()
    alone = results.load(one).trials()
    assert set(alone.columns) < set(table.columns)
    assert {name: table[name].dtype for name in alone.columns} == dict(alone.dtypes)


def test_where_more_is_better_the_highest_scores_are_first_and_named_by_their_searches(tmp_path: Path) -> None:
    objective = {"name": "coverage", "direction": "max"}
    one = write_project(tmp_path / "one", record_json(score=0.5), objective=objective)
    two = write_project(
        tmp_path / "two", record_json(score=0.75), objective=objective, space={"hyperparameters": [{"name": "unused"}]}
    )
    table = results.compare([one, two])
    assert list(zip(table["search"], table["score"], strict=True)) == [(str(two), 0.75), (str(one), 0.5)]
    assert table["hp.unused"].isna().all()


def test_searches_without_trials_are_an_empty_table(tmp_path: Path) -> None:
    table = results.compare([write_project(tmp_path / name) for name in ("one", "two")])
    assert len(table) == 0
    assert table["search"].dtype == "string"


def test_scores_of_two_classifiers_are_only_shown_when_asked_for(tmp_path: Path) -> None:
    one = write_project(tmp_path / "one", record_json(score=0.5))
    two = write_project(tmp_path / "two", record_json(score=0.25), classifier={"fingerprint": "ee"})
    with pytest.raises(ProjectError, match=r"two and .*one have different reference classifiers.* pass mixed=True"):
        results.compare([one, two])
    assert results.compare([one, two], mixed=True)["search"].tolist() == [str(two), str(one)]


def test_two_objectives_are_refused(tmp_path: Path) -> None:
    one = write_project(tmp_path / "one")
    two = write_project(tmp_path / "two", objective={"name": "kid", "direction": "min"})
    with pytest.raises(ProjectError, match=r"two ranks its trials by kid and .*one by fcd"):
        results.compare([one, two], mixed=True)
    three = write_project(tmp_path / "three", objective={"name": "fcd", "direction": "max"})
    with pytest.raises(ProjectError, match=r"three takes the highest fcd for the best and .*one the lowest: compare"):
        results.compare([one, three], mixed=True)


def test_a_folder_counts_once(tmp_path: Path) -> None:
    one = write_project(tmp_path / "one")
    with pytest.raises(ConfigError, match="different folders"):
        results.compare([one, f"{one}/"])
    with pytest.raises(ConfigError, match="different folders"):
        results.compare([one, one / ".." / "one"])
    with pytest.raises(ConfigError, match="different folders"):
        results.compare([])
    for other in (str(one), one, None, [results.load(one), results.load(one)]):
        with pytest.raises(ConfigError, match=r"Expected a list of folders of searches, such as \['runs/one', "):
            results.compare(other)  # type: ignore[arg-type]
    with pytest.raises(ProjectError, match="does not exist"):
        results.compare([one, tmp_path / "none"])
