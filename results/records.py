"""A project folder as plain data: one `TrialRecord` a trial, and the rows of its history.

The search writes `record.json` through the same classes that read it. It loads neither pandas nor Keras.
Nothing that lies in a folder makes reading fail: a damaged file costs a warning and its own trial.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results.checks import (
    Key,
    Value,
    as_integer,
    as_integers,
    as_number,
    as_numbers,
    as_text,
    as_texts,
    as_time,
    as_truth,
    as_values,
    one_of,
    read_keys,
)

COMPLETED, PRUNED, FAILED = "COMPLETED", "PRUNED", "FAILED"
RUNNING, INTERRUPTED, UNREADABLE = "RUNNING", "INTERRUPTED", "UNREADABLE"
STATUSES = (COMPLETED, PRUNED, FAILED, RUNNING, INTERRUPTED, UNREADABLE)
FINALIST = "finalist"
ORIGINS = ("baseline", "search", FINALIST)
DIRECTIONS = ("min", "max")
FLAG_MEANINGS = {
    "memorising": "it reproduces training images; do not publish its output without checking.",
    "collapsed": "its images show only a small part of what the real ones show, or leave out classes.",
    "adversarial": "a second classifier sees far worse images than the one it was ranked by; do not trust its score.",
    "diverged": "its losses, its output or its scores stopped being finite numbers.",
    "constant": "it makes one image, whatever the latents.",
}
"""What each flag of a trial says of its generator; a newer version may raise others."""
HISTORY_FIXED = ("execution", "epoch", "step", "seconds", "d_loss", "g_loss")
"""Columns every history.csv starts with; columns named `metric.*` follow."""
HISTORY_INTEGERS = HISTORY_FIXED[:3]
METRIC = "metric."
BOOKKEEPING = "tuner/"
"""KerasTuner keeps its own notes among the hyperparameters under names that start so."""
Part = TypeVar("Part")
TIMES = ("build_s", "compile_s", "eval_s", "save_s")
"""Where the time of an execution goes, in seconds; a record of an earlier version has none of them."""


@dataclass(frozen=True)
class ClassRecord:
    """The generated images of one class, against the real ones of that class.

    Attributes:
        name: of the class.
        images: generated, for these scores.
        fcd: relative Frechet distance to the real images of the class; None where either are fewer than two, or the
            real ones do not vary.
        label_accuracy: share that the reference classifier takes for the class; None without such a classifier, or
            without images.
    """

    name: str
    images: int
    fcd: float | None = None
    label_accuracy: float | None = None

    @classmethod
    def from_json(cls, value: object) -> ClassRecord:
        """Checks and reads one entry of `classes` in record.json.

        Raises:
            ProjectError: a key is missing or of the wrong type.
        """
        return cls(**read_keys(value, _CLASS_KEYS))


@dataclass(frozen=True)
class ExecutionRecord:
    """One training of a trial's architecture from one seed; unknown values are None.

    Attributes:
        duration_s: seconds from the start of its training to the end of it, rungs and their files included.
        build_s: seconds to build and compile the GAN object, before the training.
        compile_s: seconds from the start of the training to the end of its first call: tracing, compilation, eight
            steps at most.
        eval_s: seconds of all scoring, at rungs and of the best epoch after the training.
        save_s: seconds to make and write generators, samples, history, state and records, but for the trial's last
            record, which cannot tell its own.
        finished: whether it was trained and scored to its end, so that it need not be run again.
    """

    execution: int
    seed: int | None = None
    score: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    duration_s: float | None = None
    build_s: float | None = None
    compile_s: float | None = None
    eval_s: float | None = None
    save_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    finished: bool | None = None

    @classmethod
    def from_json(cls, value: object) -> ExecutionRecord:
        """Checks and reads one entry of `executions` in record.json.

        Raises:
            ProjectError: a key is missing or of the wrong type.
        """
        return cls(**read_keys(value, _EXECUTION_KEYS))


@dataclass(frozen=True)
class TrialRecord:
    """One trial, as record.json tells it; what is unknown (yet) is None.

    Attributes:
        folder: the trial's own folder, `PROJECT/trial_ID`.
        origin: baseline, search or finalist, which repeats the trial that its id names; None only in an UNREADABLE
            record.
        score: the objective; `score_std` is its standard deviation over several executions.
        best_epoch: epoch of the best score, counted from 1, in execution `best_execution`.
        started_at: ISO 8601 with a time zone.
        build_s, compile_s, eval_s, save_s: seconds, sums over the executions that tell; see `ExecutionRecord`.
        hyperparameters: the active ones only.
        planned_epochs: what it was to be trained to, counted from the start; it may have ended earlier.
        ms_per_sample: milliseconds that its generator takes for an image, in batches of 64, on the search's machine.
        threads: that TensorFlow computed an operator with, on which the last digits of sums depend; None where it went
            on with another number of them, or where an earlier version did not note it.
        promoted_from: id of the trial whose last state it went on from; None for a trial that began at the start.
        flags: what is wrong with its images; see `FLAG_MEANINGS`.
        message: why the trial failed, was interrupted or cannot be read.
        killed_after: epochs in `history.csv` each time that a process was killed in it; of a trial that has a score,
            empty.
        classes: of a conditional generator, that of the best execution; empty for any other.
    """

    folder: Path
    trial_id: str
    status: str
    origin: str | None
    score: float | None = None
    score_std: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    best_execution: int | None = None
    started_at: str | None = None
    duration_s: float | None = None
    build_s: float | None = None
    compile_s: float | None = None
    eval_s: float | None = None
    save_s: float | None = None
    seed: int | None = None
    planned_epochs: int | None = None
    threads: int | None = None
    promoted_from: str | None = None
    generator_params: int | None = None
    discriminator_params: int | None = None
    ms_per_sample: float | None = None
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    message: str | None = None
    killed_after: tuple[int, ...] = ()
    executions: tuple[ExecutionRecord, ...] = ()
    classes: tuple[ClassRecord, ...] = ()

    @property
    def repeats(self) -> str | None:
        """The id of the trial that a finalist trains again; None of any other."""
        return self.trial_id.removeprefix(files.FINALIST_PREFIX) if self.origin == FINALIST else None

    @property
    def trainings(self) -> int:
        """How many trainings its scores are means of."""
        return sum(run.score is not None for run in self.executions)

    @classmethod
    def from_json(cls, value: object, folder: Path) -> TrialRecord:
        """Checks and reads the content of `folder`/record.json.

        Raises:
            ProjectError: a key is missing or of the wrong type, or the trial is not the folder's.
        """
        record = cls(folder=folder, **read_keys(value, _TRIAL_KEYS))
        if folder.name != files.TRIAL_PREFIX + record.trial_id:
            raise ProjectError(f"'trial_id' is {record.trial_id!r}, which is not the trial of the folder {folder.name}")
        return record

    def to_json(self) -> dict[str, Any]:
        """Returns the content of record.json; `from_json` gives back an equal record."""
        content = {key: value for key, value in vars(self).items() if key not in ("folder", "killed_after")}
        if self.killed_after:
            content["killed_after"] = list(self.killed_after)
        content["hyperparameters"] = dict(self.hyperparameters)
        content["metrics"] = dict(self.metrics)
        content["flags"] = list(self.flags)
        content["executions"] = [{**vars(one), "metrics": dict(one.metrics)} for one in self.executions]
        content["classes"] = [dict(vars(one)) for one in self.classes]
        return {"schema": files.SCHEMA, **content}


def _list_of(read: Callable[[object], Part], what: str) -> Callable[[Any], tuple[Part, ...]]:
    """A check for a list of parts of a record."""

    def check(value: Any) -> tuple[Part, ...]:
        if not isinstance(value, list):
            raise ValueError("a list of objects")
        try:
            return tuple(map(read, value))
        except ProjectError as error:
            raise ValueError(f"a list of {what} ({error})") from None

    return check


_CLASS_KEYS = {
    "name": Key(as_text, optional=False),
    "images": Key(as_integer, optional=False),
    "fcd": Key(as_number),
    "label_accuracy": Key(as_number),
}
_TIME_KEYS = dict.fromkeys(TIMES, Key(as_number, newer=True))
_EXECUTION_KEYS = {
    "execution": Key(as_integer, optional=False),
    "seed": Key(as_integer),
    "score": Key(as_number),
    "best_epoch": Key(as_integer),
    "epochs": Key(as_integer),
    "duration_s": Key(as_number),
    **_TIME_KEYS,
    "metrics": Key(as_numbers),
    "finished": Key(as_truth, newer=True),
}
_TRIAL_KEYS = {
    "trial_id": Key(as_text, optional=False),
    "status": Key(one_of(STATUSES[:-1]), optional=False),
    "origin": Key(one_of(ORIGINS), optional=False),
    "score": Key(as_number),
    "score_std": Key(as_number),
    "best_epoch": Key(as_integer),
    "epochs": Key(as_integer),
    "best_execution": Key(as_integer),
    "started_at": Key(as_time),
    "duration_s": Key(as_number),
    **_TIME_KEYS,
    "seed": Key(as_integer),
    "planned_epochs": Key(as_integer, newer=True),
    "threads": Key(as_integer, newer=True),
    "promoted_from": Key(as_text, newer=True),
    "generator_params": Key(as_integer),
    "discriminator_params": Key(as_integer),
    "ms_per_sample": Key(as_number, newer=True),
    "hyperparameters": Key(as_values),
    "metrics": Key(as_numbers),
    "flags": Key(as_texts, newer=True),
    "message": Key(as_text),
    "killed_after": Key(as_integers, newer=True),
    "executions": Key(_list_of(ExecutionRecord.from_json, "executions")),
    "classes": Key(_list_of(ClassRecord.from_json, "classes"), newer=True),
}


@dataclass(frozen=True)
class Project:
    """What a project folder held when it was read.

    Attributes:
        folder: as the user gave it.
        search: the content of search.json; a damaged part is left out.
        trials: in the order of their ids.
        searching: whether a living process was searching in it.
    """

    folder: Path
    search: Mapping[str, Any]
    trials: list[TrialRecord]
    searching: bool

    @property
    def objective(self) -> str:
        """Name of the metric that trials are ranked by."""
        return str(self.search["objective"]["name"]) if "objective" in self.search else "fcd"

    @property
    def direction(self) -> str:
        """Whether a lower ("min") or a higher ("max") score is better."""
        return str(self.search["objective"]["direction"]) if "objective" in self.search else "min"

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that search.json announces."""
        return list(self.search.get("metrics", ()))

    @property
    def rung_metrics(self) -> list[str]:
        """Names of the metrics that search.json announces for history.csv: all of them where it does not say."""
        return list(self.search.get("rung_metrics", self.metrics))

    @property
    def space(self) -> list[dict[str, Any]]:
        """Entries of the search space: each a dict with at least a `name`; a name may come up twice."""
        return list(self.search.get("space", {}).get("hyperparameters", ()))

    @property
    def finalists(self) -> list[str]:
        """Ids of the trials that are trained again, best first; none before they are chosen."""
        return list(self.search.get(files.FINALISTS, ()))

    @property
    def floor(self) -> float | None:
        """Score of held-out real images under the objective, where it is known."""
        floors = self.search.get("classifier", {}).get("floor")
        floor = floors.get(self.objective) if isinstance(floors, dict) else None
        return float(floor) if isinstance(floor, int | float) and math.isfinite(floor) else None


def write_record(folder: Path, record: TrialRecord) -> None:
    """Writes `record` to `folder`/record.json, atomically.

    Args:
        folder: the trial's folder, `files.trial_dir(project, trial_id)`; it exists.
        record: its `folder` is not written.

    Raises:
        ProjectError: the record would not be readable again, such as a score that is NaN.
    """
    content = record.to_json()
    try:
        TrialRecord.from_json(content, folder)
    except ProjectError as error:
        raise ProjectError(f"{folder / files.RECORD} is not written: {error}.") from error
    # What has ended is not made again, so that a damaged file must not cost it.
    files.write_json(folder / files.RECORD, content, copied=record.status not in (RUNNING, INTERRUPTED))


def read_project(folder: str | Path) -> Project:
    """Reads a project folder, be it running, finished, killed or copied; it writes nothing.

    A trial that cannot be read is listed as UNREADABLE. A trial that says RUNNING while no living
    process holds the search lock is INTERRUPTED.

    Raises:
        ProjectError: the folder does not exist, cannot be listed or has no search.json, or its path is not UTF-8.
    """
    given = os.fspath(folder)
    if not given or not files.is_utf8(given):  # tables hold the paths of files in it
        raise ProjectError(f"Expected the folder of a search in UTF-8, such as runs/NAME, but got {given!r}.")
    folder = Path(folder)
    try:
        with os.scandir(folder) as entries:
            inside = {entry.name: entry.is_dir() for entry in entries}
    except FileNotFoundError:
        raise ProjectError(f"{folder} does not exist: pass the folder of a search, such as runs/NAME.") from None
    except OSError as error:
        raise ProjectError(
            f"{folder} is no folder that can be read ({error.strerror or error}): "
            "pass the folder of a search, such as runs/NAME."
        ) from error
    if files.SEARCH not in inside:
        if files.CLASSIFIER_DIR in inside:
            raise ProjectError(
                f"{folder} has no {files.SEARCH} yet: a search writes it once its reference classifier is trained, so "
                "look again in a moment; if no search runs there, start it again."
            )
        below = (folder / name for name, is_dir in sorted(inside.items()) if is_dir)
        found = [str(path) for path in below if (path / files.SEARCH).is_file()][:3]
        raise ProjectError(
            f"{folder} is no tuner_gan project (it has no {files.SEARCH}): "
            f"pass the folder of a search, such as {' or '.join(found) or 'runs/NAME'}."
        )
    # Asked before the records are read: a trial that ends in between is then never called interrupted.
    searching = files.is_searching(folder)
    search = _read_search(folder / files.SEARCH)
    names = (name for name, is_dir in sorted(inside.items()) if is_dir and _is_trial(name))
    found_trials = (_read_trial(folder / name, searching) for name in names)
    trials = sorted((trial for trial in found_trials if trial is not None), key=_id_order)
    return Project(folder, search, trials, searching)


def rank(trials: Iterable[TrialRecord], direction: str) -> list[tuple[int | None, TrialRecord]]:
    """Orders trials best first.

    COMPLETED finalists come first: their score is a mean over fresh seeds, and not the lucky one that they were
    chosen by. Then come the other COMPLETED trials, then PRUNED ones, each by score, ties by trial id. The others, and
    those without a score, follow in the order of their ids with the rank None.

    Args:
        direction: "min" when a lower score is better, "max" when a higher one is.

    Returns:
        Pairs of a rank, counted from 1, and its trial.
    """
    sign = -1.0 if direction == "max" else 1.0

    def order(trial: TrialRecord) -> tuple[bool, bool, float, tuple[bool, int, str]]:
        pruned = trial.status == PRUNED
        return pruned, pruned or trial.origin != FINALIST, sign * (trial.score or 0.0), _id_order(trial)

    every = list(trials)
    ranked = sorted((t for t in every if _is_ranked(t)), key=order)
    others = sorted((t for t in every if not _is_ranked(t)), key=_id_order)
    return [*enumerate(ranked, start=1), *((None, trial) for trial in others)]


def read_history(trial: TrialRecord) -> list[dict[str, int | float | None]]:
    """Reads the rows of a trial's history.csv, one an epoch and execution, in the order of the file.

    A row that cannot be read is left out with a warning; so is a last line without its end, because
    its last number may be cut. An empty or non-finite cell is None.

    Returns:
        Dicts with the keys of the file's header: `HISTORY_FIXED`, then `metric.*`. A missing file
        and one with a wrong header give no rows.
    """
    path = trial.folder / files.HISTORY
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        _warn(f"{path} cannot be read ({error.strerror or error}): trial {trial.trial_id} has no history.")
        return []
    cut = lines.pop() != ""
    header = _cells(lines[0]) if lines else []
    fixed = len(HISTORY_FIXED)
    known = tuple(header[:fixed]) == HISTORY_FIXED and all(name.startswith(METRIC) for name in header[fixed:])
    if not known or len(set(header)) < len(header):
        _warn(
            f"{path} is damaged: expected a header that starts with {','.join(HISTORY_FIXED)}, so trial "
            f"{trial.trial_id} has no history."
        )
        return []
    rows = [_history_row(header, _cells(line)) for line in lines[1:]]
    kept = [row for row in rows if row is not None]
    lost = len(rows) - len(kept) + cut
    if lost:
        _warn(f"{path} is damaged: {lost} of its lines cannot be read and {'is' if lost == 1 else 'are'} left out.")
    return kept


def _is_ranked(trial: TrialRecord) -> bool:
    return trial.status in (COMPLETED, PRUNED) and trial.score is not None


def _id_order(trial: TrialRecord) -> tuple[bool, int, str]:
    """Numbers by value, so that 10000 follows 9999, then other ids."""
    number = trial.trial_id.isdecimal()
    return not number, int(trial.trial_id) if number else 0, trial.trial_id


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _read_search(path: Path) -> dict[str, Any]:
    try:
        search = files.read_json(path)
    except ProjectError as error:
        _warn(f"{error} Trials are ranked by the lowest fcd, and columns follow from the trials.")
        return {}
    objective = search.setdefault("objective", None)
    if not isinstance(objective, dict) or not isinstance(objective.get("name"), str):
        good = False
    else:
        good = objective.get("direction") in DIRECTIONS
    if not good:
        del search["objective"]
        _warn(f"{path} is damaged: 'objective' has no name and direction, so trials are ranked by the lowest fcd.")
    checks: dict[str, Callable[[Any], bool]] = {
        "space": _is_space,
        "metrics": _is_names,
        "rung_metrics": _is_names,
        files.FINALISTS: _is_names,
        "classifier": _is_dict,
    }
    for part, is_good in checks.items():
        if part in search and not is_good(search[part]):
            del search[part]
            _warn(f"{path} is damaged: {part!r} is not what a search writes, and is ignored.")
    return search


def _is_dict(part: Any) -> bool:
    return isinstance(part, dict)


def _is_names(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(name, str) for name in part)


def _is_space(part: Any) -> bool:
    entries = part.get("hyperparameters") if isinstance(part, dict) else None
    return isinstance(entries, list) and all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries)


def _is_trial(name: str) -> bool:
    return name.startswith(files.TRIAL_PREFIX) and name != files.TRIAL_PREFIX


def _read_trial(folder: Path, searching: bool) -> TrialRecord | None:
    """Reads one trial; None when it has no record yet."""
    path = folder / files.RECORD
    try:
        content = files.read_json(path)
    except ProjectError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        return _unreadable(folder, str(error))
    try:
        record = TrialRecord.from_json(content, folder)
    except ProjectError as error:
        return _unreadable(folder, f"{path} is damaged: {error}.")
    if record.status == RUNNING and not searching:
        message = record.message or "The search stopped before this trial ended."
        return dataclasses.replace(record, status=INTERRUPTED, message=message)
    return record


def _unreadable(folder: Path, message: str) -> TrialRecord:
    trial_id = folder.name.removeprefix(files.TRIAL_PREFIX)
    _warn(f"Trial {trial_id} is left out of the ranking: {message}")
    return TrialRecord(folder, trial_id, UNREADABLE, origin=None, message=message)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line.removesuffix("\r")]), [])
    except csv.Error:
        return []


def _history_row(header: list[str], cells: list[str]) -> dict[str, int | float | None] | None:
    row: dict[str, int | float | None] = {}
    try:
        for name, cell in zip(header, cells, strict=True):
            if name in HISTORY_INTEGERS:
                row[name] = as_integer(_whole(cell))
            else:
                number = float(cell or "nan")
                row[name] = number if math.isfinite(number) else None
    except ValueError:
        return None
    return row


def _whole(cell: str) -> int:
    """A whole number; one with nothing but zeros behind its point is one, too."""
    try:
        return int(cell)
    except ValueError:
        number = float(cell)
        if not number.is_integer():
            raise
        return int(number)
