"""A project as a study of Optuna, so that what Optuna offers works on it, whichever oracle ran the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner_gan.results.checks import Value, parse_time
from tuner_gan.results.records import (
    BOOKKEEPING,
    COMPLETED,
    METRIC,
    PRUNED,
    RUNNING,
    Project,
    TrialRecord,
    read_history,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)  # a library does not print

STATES = {COMPLETED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, RUNNING: TrialState.RUNNING}
"""What Optuna calls a status; all others are `FAIL`."""


def to_study(project: Project) -> optuna.study.Study:
    """Makes a study in memory of the trials of a project, in the order of their ids.

    A hyperparameter has one distribution in all trials, wide enough for every condition under which the search space
    has it and for every value that a trial has. Steps on a logarithmic scale, which Optuna lacks, become a range.
    Hyperparameters of one value only are left out.

    Args:
        project: as `results.records.read_project` gives it.

    Returns:
        The study. Each trial has the user attributes `trial_id`, `status` and `origin`, and where they are known
        `score_std`, `seed`, `generator_params`, `discriminator_params`, `ms_per_sample`, `flags` and `message`, and its
        metrics as `metric.NAME`. The value of a PRUNED trial is its score. Intermediate values are the scores at rungs,
        by epoch.
    """
    distributions = find_distributions(project, project.trials)
    study = optuna.create_study(
        study_name=str(project.search.get("name", project.folder.name)),
        direction="minimize" if project.direction == "min" else "maximize",
        storage=optuna.storages.InMemoryStorage(),
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    study.add_trials(
        [_frozen(number, trial, distributions, project.objective) for number, trial in enumerate(project.trials)]
    )
    return study


def find_distributions(project: Project, trials: Sequence[TrialRecord]) -> dict[str, BaseDistribution]:
    """The distribution of each hyperparameter that has more than one value, by the search space and the trials."""
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for entry in project.space:
        entries.setdefault(entry["name"], []).append(entry)
    values: dict[str, list[Value]] = {name: [] for name in entries}
    for trial in trials:
        for name, value in trial.hyperparameters.items():
            values.setdefault(name, []).append(value)
    found = {}
    for name, seen in values.items():
        if not name.startswith(BOOKKEEPING):
            distribution = _distribution(entries.get(name, []), seen)
            if distribution is not None and not distribution.single():
                found[name] = distribution
    return found


def _distribution(entries: Sequence[Mapping[str, Any]], seen: Sequence[Value]) -> BaseDistribution | None:
    """One that holds all that the entries allow and all that was seen."""
    declared = [value for entry in entries for value in _declared(entry)]
    known = [*declared, *seen]
    if not known:
        return None
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if not numeric or any(entry.get("kind") not in ("Int", "Float") for entry in entries):
        return CategoricalDistribution(_distinct(known))
    numbers = [float(value) for value in known]
    low, high = min(numbers), max(numbers)
    scales = {entry.get("sampling") or "linear" for entry in entries}
    log = scales == {"log"} and low > 0
    if any(isinstance(value, float) for value in known):
        return FloatDistribution(low, high, log=log)
    steps = {entry.get("step") for entry in entries}
    step = steps.pop() if len(steps) == 1 else None
    whole = isinstance(step, int) and step > 0 and not log and all((number - low) % step == 0 for number in numbers)
    return IntDistribution(int(low), int(high), log=log, step=int(step) if whole and step is not None else 1)


def _declared(entry: Mapping[str, Any]) -> list[Value]:
    """Values that an entry of the search space allows: the ends of a range, or all choices."""
    kind = entry.get("kind")
    if kind == "Boolean":
        return [False, True]
    if kind in ("Int", "Float"):
        low, high, step = (entry.get(key) for key in ("min_value", "max_value", "step"))
        if not isinstance(low, int | float) or not isinstance(high, int | float) or low > high:
            return []
        if isinstance(step, int) and step > 0 and entry.get("sampling", "linear") in ("linear", None):
            high = low + (high - low) // step * step
        return [low, high]
    listed = entry.get("values") if kind == "Choice" else [entry.get("value")]
    return [v for v in listed if isinstance(v, bool | int | float | str)] if isinstance(listed, list) else []


def _distinct(values: Sequence[Value]) -> list[Value]:
    """Each value once, as Optuna tells choices apart: 1, 1.0 and True are one to it."""
    kept: list[Value] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _frozen(
    number: int,
    trial: TrialRecord,
    distributions: Mapping[str, BaseDistribution],
    objective: str,
) -> FrozenTrial:
    params = {name: value for name, value in trial.hyperparameters.items() if name in distributions}
    state = STATES.get(trial.status, TrialState.FAIL)
    if state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.score is None:
        state = TrialState.FAIL
    started = parse_time(trial.started_at) if trial.started_at else datetime.fromtimestamp(0, UTC)
    # Optuna's times have no zone and are local.
    start = started.astimezone().replace(tzinfo=None)
    end = start + timedelta(seconds=trial.duration_s or 0.0)
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=trial.score if state.is_finished() and state != TrialState.FAIL else None,
        values=None,
        datetime_start=start,
        datetime_complete=end if state.is_finished() else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=_attributes(trial),
        system_attrs={},
        intermediate_values=_curve(trial, objective),
    )


def _attributes(trial: TrialRecord) -> dict[str, Any]:
    told = {
        name: getattr(trial, name)
        for name in (
            "origin",
            "score_std",
            "seed",
            "generator_params",
            "discriminator_params",
            "ms_per_sample",
            "message",
        )
        if getattr(trial, name) is not None
    }
    metrics = {METRIC + name: value for name, value in trial.metrics.items()}
    flags = {"flags": list(trial.flags)} if trial.flags else {}
    return {"trial_id": trial.trial_id, "status": trial.status, **told, **flags, **metrics}


def _curve(trial: TrialRecord, objective: str) -> dict[int, float]:
    """The scores at rungs of the execution that made the best score, by epoch."""
    curve: dict[int, float] = {}
    for row in read_history(trial):
        epoch, score = row["epoch"], row.get(METRIC + objective)
        if row["execution"] == (trial.best_execution or 0) and epoch is not None and score is not None:
            curve[int(epoch)] = float(score)
    return {epoch: score for epoch, score in curve.items() if math.isfinite(score)}
