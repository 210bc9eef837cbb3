"""A project as pandas tables, with the same columns and dtypes whatever happened in the search.

Every column is nullable: "string", "Int64", "Float64", "boolean" or "datetime64[us, UTC]", and what
is unknown or was inactive in a trial is `<NA>`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tuner_gan import files
from tuner_gan.errors import ConfigError, SelectionError, is_list_of
from tuner_gan.quality.catalogue import EVERY
from tuner_gan.results.checks import parse_time
from tuner_gan.results.histories import read_histories
from tuner_gan.results.records import BOOKKEEPING, METRIC, UNREADABLE, Project, TrialRecord, rank

HP = "hp."
TIME = "datetime64[us, UTC]"


class Column(NamedTuple):
    """A column's name, dtype and meaning. A name that ends in `*` stands for any number of columns."""

    name: str
    dtype: str
    meaning: str


METRIC_COLUMNS = Column("metric.*", "Float64", "one column a score, in the order of the search")
RUNG_COLUMNS = Column("metric.*", "Float64", "one column a score that is measured while training; <NA> between rungs")
TIME_COLUMNS = (
    Column("build_s", "Float64", "seconds to build and compile the GAN object"),
    Column("compile_s", "Float64", "seconds from the start of training to the end of its first batch: tracing, XLA"),
    Column("eval_s", "Float64", "seconds of scoring, at rungs and of the best epoch after training"),
    Column("save_s", "Float64", "seconds to make and write generators, samples, history, state and records"),
)
"""Where the time goes; a trial's are the sums over its executions. <NA> in projects of an earlier version."""

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "trials": (
        Column(
            "rank",
            "Int64",
            "place from 1: COMPLETED finalists, then other COMPLETED trials, then PRUNED ones; <NA> for all others and "
            "without a score",
        ),
        Column("trial_id", "string", "the trial's folder is trial_ID; a finalist's is final_ and that of its trial"),
        Column("status", "string", "COMPLETED, PRUNED, FAILED, RUNNING, INTERRUPTED or UNREADABLE"),
        Column("origin", "string", "baseline, search or finalist: a trial that repeats one of these from fresh seeds"),
        Column("score", "Float64", "the objective, a mean over the executions"),
        Column("score_std", "Float64", "standard deviation of the score over the executions"),
        Column("executions", "Int64", "number of trainings from different seeds"),
        Column("best_epoch", "Int64", "epoch of the best score, from 1"),
        Column("epochs", "Int64", "epochs that were trained"),
        Column("started_at", TIME, "when the trial began"),
        Column("duration_s", "Float64", "seconds it took"),
        *TIME_COLUMNS,
        Column("seed", "Int64", "the trial's seed"),
        Column("generator_params", "Int64", "parameters of the generator"),
        Column("discriminator_params", "Int64", "parameters of the discriminator"),
        Column("ms_per_sample", "Float64", "milliseconds that the generator takes for an image, in batches of 64"),
        Column("hp.*", "by kind", "a hyperparameter; <NA> where it was inactive"),
        METRIC_COLUMNS,
        Column("checkpoint", "string", "path of the generator at its best epoch, where the file is there"),
        Column("samples", "string", "path of the sample grid, where the file is there"),
        Column(
            "flags",
            "string",
            "what is wrong with its images: memorising, collapsed, adversarial, diverged or constant; "
            "<NA> for nothing found",
        ),
        Column("message", "string", "why the trial failed, was interrupted or cannot be read"),
    ),
    "executions": (
        Column("trial_id", "string", "the trial"),
        Column("execution", "Int64", "number of the training, from 0"),
        Column("seed", "Int64", "its seed"),
        Column("score", "Float64", "its objective"),
        Column("best_epoch", "Int64", "epoch of its best score, from 1"),
        Column("epochs", "Int64", "epochs that were trained"),
        Column("duration_s", "Float64", "seconds its training took; build_s and what follows training come on top"),
        *TIME_COLUMNS,
        METRIC_COLUMNS,
    ),
    "history": (
        Column("trial_id", "string", "the trial"),
        Column("execution", "Int64", "number of the training, from 0"),
        Column("epoch", "Int64", "epoch, from 1"),
        Column("step", "Int64", "training steps so far"),
        Column("seconds", "Float64", "seconds so far"),
        Column("d_loss", "Float64", "mean loss of the discriminator over the epoch"),
        Column("g_loss", "Float64", "mean loss of the generator over the epoch"),
        RUNG_COLUMNS,
    ),
    "classes": (
        Column("trial_id", "string", "the trial"),
        Column("class", "string", "name of the class"),
        Column("images", "Int64", "images of it that were generated for these scores"),
        Column("fcd", "Float64", "fcd within the class; <NA> where it has fewer than two images, generated or real"),
        Column("label_accuracy", "Float64", "share that the reference classifier takes for the class"),
    ),
    "importance": (
        Column("name", "string", "the hyperparameter, without hp."),
        Column("importance", "Float64", "how much it has to do with a good score; all sum to 1"),
        Column("std", "Float64", "standard deviation of the importance over samples of the trials"),
    ),
    "pareto": (
        Column("against", "string", "the cost: generator_params or ms_per_sample"),
        Column("cost", "Float64", "of this trial's generator"),
        Column("score", "Float64", "the objective; no trial has a better one at this cost or less"),
        Column("trial_id", "string", "the trial"),
        Column("rank", "Int64", "its place among all trials"),
    ),
}
"""The columns of each table, in their order: the one place where they are named."""


def trials_table(project: Project) -> pd.DataFrame:
    """One row a trial, best first; see `COLUMNS["trials"]`."""
    ranked = rank(project.trials, project.direction)
    trials = [trial for _, trial in ranked]
    folders = [str(trial.folder) for trial in trials]
    own: dict[str, list[Any]] = {
        "rank": [place for place, _ in ranked],
        "executions": [None if trial.status == UNREADABLE else len(trial.executions) for trial in trials],
        "started_at": [parse_time(trial.started_at) if trial.started_at else None for trial in trials],
        "checkpoint": [_existing(folder, files.GENERATOR) for folder in folders],
        "samples": [_existing(folder, files.SAMPLES) for folder in folders],
        "flags": [", ".join(trial.flags) or None for trial in trials],
    }
    metrics = _metric_names(project.metrics, [trial.metrics for trial in trials])
    return _table("trials", trials, own, metrics, _hyperparameter_columns(project, trials))


def executions_table(project: Project) -> pd.DataFrame:
    """One row a training, in the order of the trials' ids; see `COLUMNS["executions"]`."""
    trainings = [one for trial in project.trials for one in trial.executions]
    trial_ids = [trial.trial_id for trial in project.trials for _ in trial.executions]
    metrics = _metric_names(project.metrics, [one.metrics for one in trainings])
    return _table("executions", trainings, {"trial_id": trial_ids}, metrics)


def history_table(project: Project, trials: Sequence[TrialRecord] | None = None) -> pd.DataFrame:
    """One row an epoch and execution, in the order of the trials' ids; see `COLUMNS["history"]`.

    Its metrics are those that the search measures at rungs, whether a row has them or not, then what else the
    files hold.

    Args:
        trials: whose history is read; None is every trial's.
    """
    histories = read_histories(project.trials if trials is None else trials)
    found = [name.removeprefix(METRIC) for name in histories.columns if name.startswith(METRIC)]
    count = len(histories.trial_ids)
    arrays: dict[str, Any] = {}
    for name, dtype, _ in COLUMNS["history"]:
        if name == "metric.*":
            for metric in _metric_names(project.rung_metrics, [found]):
                arrays[METRIC + metric] = _floats(histories.columns.get(METRIC + metric, np.full(count, np.nan)))
        elif name == "trial_id":
            arrays[name] = _array(histories.trial_ids, dtype)
        else:
            values = histories.columns.get(name, np.zeros(count))
            arrays[name] = _floats(values) if dtype == "Float64" else _array(values, dtype)
    return pd.DataFrame(arrays, index=pd.RangeIndex(count))


def classes_table(trial: TrialRecord) -> pd.DataFrame:
    """One row a class of a conditional generator, in the order of its labels; see `COLUMNS["classes"]`."""
    own = {"trial_id": [trial.trial_id] * len(trial.classes), "class": [one.name for one in trial.classes]}
    return _table("classes", trial.classes, own)


def make_table(kind: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Builds a table that has only fixed columns from rows that name them."""
    return _table(kind, rows, {name: [row.get(name) for row in rows] for name, _, _ in COLUMNS[kind]})


def select(
    table: pd.DataFrame,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    top: int | None = None,
    direction: str = "min",
) -> pd.DataFrame:
    """Sorts a table, keeps its first rows and some of its columns.

    Args:
        columns: names in the order wanted; None keeps all.
        sort: a column: the largest values first where more is better, as of `metric.coverage`, else the smallest;
            with a leading "-" the largest first in any column. `<NA>` comes last.
        top: number of rows to keep, at least 1; None keeps all.
        direction: "max" where a higher score is better, as of `Project`.

    Raises:
        SelectionError: a column that the table does not have; it names the closest one.
        ConfigError: `top` is no number from 1, or `columns` is no list of names, or an empty one.
    """
    if top is not None and (not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1):
        raise ConfigError(f"Expected at least 1 row to show, got {top!r}: choose 1 or more.")
    if columns is not None and not (is_list_of(columns, str) and len(columns)):
        raise ConfigError(f"Expected a list of columns, such as ['rank', 'score'], got {columns!r}.")
    if sort is not None:
        name = sort.removeprefix("-")
        _check_column(table, name)
        ascending = name == sort and not _is_better_higher(name, direction)
        table = table.sort_values(name, ascending=ascending, na_position="last", kind="stable", ignore_index=True)
    if top is not None:
        table = table.head(top)
    if columns is not None:
        for name in columns:
            _check_column(table, name)
        table = table[list(dict.fromkeys(columns))]
    return table


def _check_column(table: pd.DataFrame, name: str) -> None:
    names = [str(column) for column in table.columns]
    if name in names:
        return
    close = [known for known in names if known in (HP + name, METRIC + name)] or difflib.get_close_matches(
        name, names, 1
    )
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise SelectionError(f"There is no column {name!r}: {hint}The columns are {', '.join(names)}.")


def _is_better_higher(column: str, direction: str) -> bool:
    if column == "score":
        return direction == "max"
    metric = EVERY.get(column.removeprefix(METRIC)) if column.startswith(METRIC) else None
    return metric is not None and metric.better == "higher"


def _existing(folder: str, name: str) -> str | None:
    path = os.path.join(folder, name)  # noqa: PTH118  # of very many trials, where pathlib takes most of the time
    return path if os.path.isfile(path) else None  # noqa: PTH113


def _metric_names(announced: list[str], found: Iterable[Iterable[str]]) -> list[str]:
    """Those the search announces, in its order, then what else was found, sorted."""
    return list(dict.fromkeys([*announced, *sorted(set[str]().union(*found))]))


def _table(
    kind: str,
    records: Sequence[Any],
    own: Mapping[str, Sequence[Any]],
    metrics: Sequence[str] = (),
    hyperparameters: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Builds a table of a row a record.

    Args:
        own: columns that are no attributes of the records.
        metrics: names of scores.
        hyperparameters: columns of these, ready.
    """
    arrays: dict[str, Any] = {}
    for name, dtype, _ in COLUMNS[kind]:
        if name == "hp.*":
            arrays |= hyperparameters or {}
        elif name == "metric.*":
            scores = [record.metrics for record in records]
            arrays |= {METRIC + metric: _array([one.get(metric) for one in scores], dtype) for metric in metrics}
        else:
            arrays[name] = _array(own[name] if name in own else [getattr(one, name) for one in records], dtype)
    return pd.DataFrame(arrays, index=pd.RangeIndex(len(records)))


def _hyperparameter_columns(project: Project, trials: list[TrialRecord]) -> dict[str, Any]:
    """One array a hyperparameter: those of the space in its order, then what else the trials have, sorted."""
    declared: dict[str, set[type]] = {}
    for entry in project.space:
        declared.setdefault(entry["name"], set()).update(_declared_types(entry))
    points = [trial.hyperparameters for trial in trials]
    names = dict.fromkeys([*declared, *sorted(set[str]().union(*points))])
    return {
        HP + name: _typed([point.get(name) for point in points], declared.get(name, set()))
        for name in names
        if not name.startswith(BOOKKEEPING)
    }


def _declared_types(entry: dict[str, Any]) -> set[type]:
    """The types of value that an entry of the search space allows; empty when it does not say."""
    simple = {"Int": int, "Float": float, "Boolean": bool}
    kind = entry.get("kind")
    if isinstance(kind, str) and kind in simple:
        return {simple[kind]}
    values = entry.get("values") if kind == "Choice" else [entry.get("value")]
    return {type(value) for value in values if value is not None} if isinstance(values, list) else set()


def _typed(values: list[Any], types: set[type]) -> Any:
    """Gives the values the narrowest dtype that holds them and the declared types; text holds anything."""
    used = types | (set(map(type, values)) - {type(None)})
    if used == {bool}:
        return _array(values, "boolean")
    whole = [value for value in values if type(value) is int] if int in used else []
    if used == {int} and all(-(2**63) <= value < 2**63 for value in whole):
        return _array(values, "Int64")
    # A whole number fits among floats (unless rounded there), but a fraction does not fit a declared Int.
    exact = all(abs(value) <= 2**53 for value in whole)
    if float in used and used <= {int, float} and types != {int} and exact:
        return _array(values, "Float64")
    return _array([None if value is None else str(value) for value in values], "string")


def _array(values: Any, dtype: Any) -> Any:
    if dtype == "Float64":
        return _floats(np.array(values, dtype=np.float64))  # None is NaN there
    return pd.array(values, dtype=dtype)


def _floats(values: NDArray[np.float64]) -> Any:
    """A column of floats in which NaN is `<NA>`."""
    return pd.arrays.FloatingArray(values, np.isnan(values))
