"""What a search that goes on puts right first: damaged records, and a study that has lost trials."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.quality.evaluator import QualityEvaluator
from tuner_gan.results import load
from tuner_gan.results.records import COMPLETED, INTERRUPTED, METRIC, PRUNED, RUNNING, TrialRecord, read_history
from tuner_gan.search.callbacks import is_rung
from tuner_gan.search.oracle import LostTrial, OptunaOracle
from tuner_gan.search.storage import StudyDamagedError

STATES = {COMPLETED: "COMPLETE", PRUNED: "PRUNED", RUNNING: "RUNNING", INTERRUPTED: "RUNNING"}
"""Optuna's states of a trial, by what its record says; of any other, the trial has failed."""


def mend_records(folder: Path) -> None:
    """Puts copies in the place of damaged records; what has none is told when it is needed."""
    for path in files.trial_files(folder, files.RECORD):
        with contextlib.suppress(ProjectError):
            files.mend(path)


def mend_study(folder: Path, oracle: OptunaOracle, quality: QualityEvaluator) -> None:
    """Goes on from the study; trials that it has lost, or all of a damaged one, come back from their records.

    Args:
        folder: of the project.
        oracle: whose study is read, and written where trials are lost.
        quality: what scored the trials.

    Raises:
        ProjectError: the database cannot be used, or is a damaged one of the user's own.

    Warns:
        UserWarning: the study had lost trials, or, in a database, has some that the folder lacks, as a copied one does.
    """
    reason = ""
    try:
        oracle.reload()
    except StudyDamagedError as error:
        if oracle.storage is not None:
            raise
        reason = f"{error} "
        oracle.close()
        for suffix in ("", "-wal", "-shm"):
            path = folder / (files.STUDY + suffix)
            if path.exists():
                path.replace(path.with_name(f"damaged-{path.name}"))
        oracle.reload()
    # A folder without a record is of a trial that did not begin.
    begun = files.trial_files(folder, files.RECORD)
    names = {path.parent.name.removeprefix(files.TRIAL_PREFIX) for path in begun}
    lost = range(len(oracle.trials), 1 + max((int(name) for name in names if name.isdecimal()), default=-1))
    gone = [one for one, trial in oracle.trials.items() if trial.status == "COMPLETED" and one not in names]
    if gone and oracle.storage is not None:
        reason += (
            f"Trials {', '.join(gone)} of the study in {oracle.where} have no record in {folder}, so no table shows "
            "them: if another copy of the folder has trained them, rename one of the two, and that gets a study of its "
            "own. "
        )
    if lost:
        reason += f"Trials from {lost[0]} on are not in {oracle.where} any more and come back from their records."
    if reason:
        warnings.warn(reason.strip(), UserWarning, stacklevel=2)
    if lost:
        records = {int(one.trial_id): one for one in load(folder).records if one.trial_id.isdecimal()}
        oracle.restore([_lost_trial(number, records.get(number), oracle.pruner, quality) for number in lost])


def _lost_trial(number: int, record: TrialRecord | None, pruner: str, quality: QualityEvaluator) -> LostTrial:
    """What a record tells a study that has lost the trial; without a record, it failed."""
    if record is None:
        return LostTrial(str(number), "FAIL", {}, message="its record is lost")
    best = min if quality.direction == "min" else max
    planned = record.planned_epochs or sys.maxsize
    scores: list[float] = []
    curve: dict[int, float] = {}
    for row in read_history(record):
        score, epoch = row.get(METRIC + quality.objective), int(row["epoch"] or 0)
        if row["execution"] == 0 and score is not None:
            scores.append(score)  # the first epoch has one, too, and need be no rung
            if epoch < planned and is_rung(epoch, planned):
                curve[epoch] = best(scores)
    if pruner == "wilcoxon":
        curve = {one.execution: one.score for one in record.executions if one.finished and one.score is not None}
    state = STATES.get(record.status, "FAIL")
    message = record.message if state == "FAIL" else None
    return LostTrial(record.trial_id, state, record.hyperparameters, record.score, curve, message)
