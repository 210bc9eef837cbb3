"""Which hyperparameters mattered, by analyses of variance of Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import TrialState

from tuner_gan.errors import unknown
from tuner_gan.results.records import BOOKKEEPING, Project, TrialRecord, rank
from tuner_gan.results.study import find_distributions
from tuner_gan.results.tables import make_table

MINIMUM = 4
"""Trials below which no importance is told."""
ENOUGH = 50
"""Trials from which PED-ANOVA is at its best: five among the best tenth, as Optuna advises."""
BEST = 5
"""Trials that the best ones are at least, among which PED-ANOVA looks for what they have in common."""
REPEATS = 10
Evaluator = Callable[[Sequence[TrialRecord], int], dict[str, float]]


def importance_table(project: Project, method: str = "ped_anova", *, with_std: bool = True) -> pd.DataFrame:
    """Tells how much each hyperparameter has to do with a good score, most important first.

    The ranked trials of origin "search" count, pruned ones with their last score; trials without one do not, and
    baselines and finalists were not sampled, so that they say nothing about the space.

    Args:
        method: `"ped_anova"` asks what sets the best tenth of the trials (five at least, half of them at most) apart
            from all, and knows hyperparameters that are active in a part of the trials. `"fanova"` asks how much of
            the variance of the score each hyperparameter explains, and leaves those that are not active in all trials
            at `<NA>`.
        with_std: whether std is told, for which the importance is computed ten times more.

    Returns:
        Columns name, importance in [0, 1] (they sum to 1 unless all are 0) and std, its standard deviation over 10
        samples of the trials, drawn with replacement. What had one value in all trials has an importance of 0. With
        fewer than 4 such trials, or with one score for all of them, importance and std are `<NA>` and a UserWarning
        says what is missing; below 50 trials a UserWarning says that they are rough.

    Raises:
        ConfigError: there is no such method.

    References:
        Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
        Subspaces" (IJCAI 2023), and its extension to conditional spaces (arXiv:2601.20800); Hutter, Hoos and
        Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance" (ICML 2014).
    """
    if method not in METHODS:
        raise unknown("method", method, list(METHODS))
    ranked = [
        trial for place, trial in rank(project.trials, project.direction) if place is not None and _is_sampled(trial)
    ]
    ranked.sort(key=lambda trial: trial.trial_id)
    distributions = find_distributions(project, ranked)
    known = _names(project, ranked)
    scores = {trial.score for trial in ranked}
    if len(ranked) < MINIMUM or len(scores) == 1:
        values = "one score for all of them" if len(ranked) >= MINIMUM else f"{len(ranked)}"
        verb = "is" if values in ("1", "one score for all of them") else "are"
        _warn(
            f"Importance needs at least {MINIMUM} ranked trials of origin search with different scores, and there "
            f"{verb} {values}: let the search run longer."
        )
        return make_table("importance", [{"name": name} for name in known])
    if len(ranked) < ENOUGH:
        _warn(f"Importance is rough: it comes from {len(ranked)} trials, and {ENOUGH} make it steady. See its std.")
    evaluate = METHODS[method](project.direction, distributions)
    # What has one value only, such as a fixed one, explains nothing.
    found = {**{name: 0.0 for name in known if name not in distributions}, **evaluate(ranked, 0)}
    names = sorted(known, key=lambda name: -found.get(name, -1.0))
    spread = dict(zip(names, _bootstrap(ranked, evaluate, names), strict=True)) if with_std else {}
    rows = [
        {"name": name, "importance": found.get(name), "std": spread.get(name) if name in found else None}
        for name in names
    ]
    return make_table("importance", rows)


def _is_sampled(trial: TrialRecord) -> bool:
    return trial.origin == "search"


def _names(project: Project, trials: Sequence[TrialRecord]) -> list[str]:
    """Hyperparameters of the space in its order, then what else the trials have."""
    found = sorted({name for trial in trials for name in trial.hyperparameters})
    declared = [entry["name"] for entry in project.space]
    return [name for name in dict.fromkeys([*declared, *found]) if not name.startswith(BOOKKEEPING)]


def _bootstrap(trials: Sequence[TrialRecord], evaluate: Evaluator, names: Sequence[str]) -> NDArray[np.float64]:
    """Standard deviation of each importance over samples of the trials."""
    generator = np.random.default_rng(0)
    found = []
    for repeat in range(REPEATS):
        drawn = [trials[i] for i in generator.integers(len(trials), size=len(trials))]
        shares = evaluate(drawn, repeat) if len({trial.score for trial in drawn}) > 1 else {}
        found.append([shares.get(name, 0.0) for name in names])
    spread: NDArray[np.float64] = np.asarray(found, dtype=np.float64).reshape(REPEATS, len(names)).std(axis=0)
    return spread


def _ped_anova(direction: str, distributions: dict[str, BaseDistribution]) -> Evaluator:
    def evaluate(trials: Sequence[TrialRecord], seed: int) -> dict[str, float]:
        quantile = min(max(0.1, BEST / len(trials)), 0.5)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
        # Of one value, the densities that it compares still differ, by the numbers of trials that they come from.
        varied = {name: known for name, known in distributions.items() if _varies(trials, name)}
        raw = _quietly(evaluator, _study(trials, direction, varied), None) if varied else {}
        return _shares({**dict.fromkeys(distributions, 0.0), **raw})

    return evaluate


def _varies(trials: Sequence[TrialRecord], name: str) -> bool:
    return len({trial.hyperparameters[name] for trial in trials if name in trial.hyperparameters}) > 1


def _fanova(direction: str, distributions: dict[str, BaseDistribution]) -> Evaluator:
    def evaluate(trials: Sequence[TrialRecord], seed: int) -> dict[str, float]:
        always = [name for name in distributions if all(name in trial.hyperparameters for trial in trials)]
        # In samples of few trials the forest gives something even to what had one value.
        varied = {name: distributions[name] for name in always if _varies(trials, name)}
        study = _study(trials, direction, varied)
        raw = _quietly(FanovaImportanceEvaluator(seed=seed), study, list(varied)) if varied else {}
        return _shares({**dict.fromkeys(always, 0.0), **raw})

    return evaluate


METHODS = {"ped_anova": _ped_anova, "fanova": _fanova}


def _study(
    trials: Sequence[TrialRecord], direction: str, distributions: dict[str, BaseDistribution]
) -> optuna.study.Study:
    """The trials as ended ones, whatever their status: a pruned one has a score, too."""
    study = optuna.create_study(
        direction="minimize" if direction == "min" else "maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for trial in trials:
        params = {name: value for name, value in trial.hyperparameters.items() if name in distributions}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                value=trial.score,
                params=params,
                distributions={name: distributions[name] for name in params},
            )
        )
    return study


def _quietly(
    evaluator: PedAnovaImportanceEvaluator | FanovaImportanceEvaluator,
    study: optuna.study.Study,
    params: list[str] | None,
) -> dict[str, float]:
    with warnings.catch_warnings():
        # It tells of each hyperparameter that few trials have; our own note tells of all of them.
        warnings.simplefilter("ignore")
        return evaluator.evaluate(study, params=params)


def _shares(found: dict[str, float]) -> dict[str, float]:
    total = sum(found.values())
    return {name: value / total if total > 0 else 0.0 for name, value in found.items()}


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
