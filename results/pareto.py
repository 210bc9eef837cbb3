"""The trials that nothing beats: no other one has a better score at the same cost or less."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tuner_gan.results.records import Project, rank
from tuner_gan.results.tables import make_table

COSTS = ("generator_params", "ms_per_sample")
"""What a generator costs: its size, and the time that an image takes."""


def pareto_table(project: Project) -> pd.DataFrame:
    """Tells the Pareto fronts of the score against each cost of a generator; see `COLUMNS["pareto"]`.

    Returns:
        For each cost in turn the ranked trials for which no other one has as good a score at as little cost and is
        better in one of the two, cheapest first; so their scores get better from row to row. Of trials that are alike
        in both, the best ranked one is told.
    """
    return make_table("pareto", [row for cost in COSTS for row in _front(project, cost)])


def _front(project: Project, cost: str) -> list[dict[str, Any]]:
    sign = 1.0 if project.direction == "min" else -1.0
    found = [
        (float(spent), sign * trial.score, place, trial)
        for place, trial in rank(project.trials, project.direction)
        if place is not None and trial.score is not None and (spent := getattr(trial, cost)) is not None
    ]
    rows: list[dict[str, Any]] = []
    best = float("inf")
    for spent, loss, place, trial in sorted(found, key=lambda one: one[:3]):
        if loss < best:
            best = loss
            rows.append(
                {"against": cost, "cost": spent, "score": trial.score, "trial_id": trial.trial_id, "rank": place}
            )
    return rows
