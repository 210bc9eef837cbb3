"""Which hyperparameters mattered: permutation importance of a random forest over the trials."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tuner_gan.results.records import Project
from tuner_gan.results.tables import HP, make_table, trials_table

MINIMUM = 4
"""Trials below which no importance is told."""


def importance_table(project: Project) -> pd.DataFrame:
    """Tells how much of the score's variation each hyperparameter explains, most important first.

    A random forest learns the score of the ranked trials of origin "search" (baselines are not
    sampled, so they say nothing about the space). A hyperparameter's importance is the loss in R^2
    when its values are shuffled among the trials, as a share of all losses; a negative loss is 0.

    Returns:
        Columns name, importance in [0, 1] (they sum to 1 unless all are 0) and std, the standard
        deviation over 10 shuffles on the same scale. With fewer than 4 such trials, or with one
        score for all of them, importance and std are `<NA>` and a UserWarning says what is missing.

    References:
        Breiman, "Random Forests", Machine Learning 45 (2001), section 10.
    """
    table = trials_table(project)
    table = table[table["rank"].notna() & (table["origin"] == "search")]
    names = [str(column) for column in table.columns if str(column).startswith(HP)]
    score = table["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    short = [name.removeprefix(HP) for name in names]
    if len(score) < MINIMUM or np.all(score == score[0]):
        values = "one score for all of them" if len(score) >= MINIMUM else f"{len(score)}"
        warnings.warn(
            f"Importance needs at least {MINIMUM} ranked trials of origin search with different scores, and there "
            f"{'is' if values in ('1', 'one score for all of them') else 'are'} {values}: let the search run longer.",
            UserWarning,
            stacklevel=2,
        )
        return make_table("importance", [{"name": name} for name in short])
    if not names:
        return make_table("importance", [])
    features = np.column_stack([_codes(table[name]) for name in names])
    mean, std = _permutation_importance(features, score / np.abs(score).max())
    order = np.argsort(-mean, kind="stable")
    rows = [{"name": short[i], "importance": float(mean[i]), "std": float(std[i])} for i in order]
    return make_table("importance", rows)


def _codes(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Replaces values by their place among the distinct ones, and inactive by -1.

    A forest only uses the order of a feature, so places stand for a linear and a logarithmic scale
    alike, and no value is too large for it.
    """
    return pd.factorize(column, sort=True, use_na_sentinel=True)[0].astype(np.float64)


def _permutation_importance(
    features: NDArray[np.float64], score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature's importance, both divided by the sum of the means."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(n_estimators=100, random_state=0).fit(features, score)
    found = permutation_importance(forest, features, score, n_repeats=10, random_state=0)
    mean = np.maximum(np.asarray(found.importances_mean, dtype=np.float64), 0.0)
    std = np.asarray(found.importances_std, dtype=np.float64)
    total = mean.sum() or 1.0
    return mean / total, std / total
