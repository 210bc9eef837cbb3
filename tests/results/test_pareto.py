from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_folders import failed_json, record_json, write_project

from tuner_gan import results
from tuner_gan.results.pareto import COSTS, pareto_table
from tuner_gan.results.records import Project, TrialRecord

FOLDER = Path("runs/demo")


@pytest.mark.parametrize(("direction", "front"), [("min", ["0002", "0000"]), ("max", ["0002", "0001"])])
def test_a_trial_that_another_one_beats_is_left_out(tmp_path: Path, direction: str, front: list[str]) -> None:
    folder = write_project(
        tmp_path / "demo",
        record_json("0000", score=0.1, generator_params=300),
        record_json("0001", score=0.5, generator_params=300),
        record_json("0002", score=0.3, generator_params=100, ms_per_sample=0.5),
        record_json("0003", score=0.05, generator_params=None),
        failed_json("0004", generator_params=1, score=0.2),
        objective={"name": "fcd", "direction": direction},
    )
    table = results.load(folder).pareto()
    sizes = table[table.against == "generator_params"]
    assert sizes.trial_id.tolist() == front
    assert sizes.cost.tolist() == [100.0, 300.0]
    assert table[table.against == "ms_per_sample"].trial_id.tolist() == ["0002"]
    trials = results.load(folder).trials().set_index("trial_id")
    assert table["rank"].tolist() == [trials["rank"][name] for name in table.trial_id]


def test_without_trials_it_keeps_its_columns(tmp_path: Path) -> None:
    table = results.load(write_project(tmp_path / "demo")).pareto()
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "against": "string",
        "cost": "Float64",
        "score": "Float64",
        "trial_id": "string",
        "rank": "Int64",
    }


POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12)


@settings(deadline=None)
@given(points=POINTS)
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    trials = [
        TrialRecord(
            FOLDER / f"trial_{i}",
            str(i),
            "PRUNED" if i % 3 == 0 else "COMPLETED",  # which are ranked by more than their scores
            "search",
            score=score / 10,
            generator_params=size,
        )
        for i, (score, size) in enumerate(points)
    ]
    table = pareto_table(Project(FOLDER, {}, trials, searching=False))
    assert set(table.against) <= set(COSTS)
    front = table[table.against == "generator_params"]
    # By the definition: no other point is as good in both and better in one.
    expected = {
        (score, size)
        for score, size in points
        if not any(s <= score and p <= size and (s, p) != (score, size) for s, p in points)
    }
    found = [(round(score * 10), int(cost)) for score, cost in zip(front.score, front.cost, strict=True)]
    assert sorted(found) == sorted(expected)
    assert front.cost.is_monotonic_increasing
