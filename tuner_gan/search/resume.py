"""What an interrupted run left of a trial, and what of it can be kept."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results.checks import Value
from tuner_gan.results.records import (
    COMPLETED,
    INTERRUPTED,
    RUNNING,
    ExecutionRecord,
    TrialRecord,
    read_history,
)
from tuner_gan.search.checkpoint import Checkpoint


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A trial that can go on.

    Attributes:
        record: as the interrupted run wrote it.
        executions: the finished ones, which are not run again.
        rows: of history.csv, of these, and of the next one up to its checkpoint.
        checkpoint: of the next one; None when it starts again.
    """

    record: TrialRecord
    executions: tuple[ExecutionRecord, ...]
    rows: list[dict[str, Any]]
    checkpoint: Checkpoint | None

    @property
    def seconds(self) -> float:
        """Seconds that the trial took so far, as far as they are known."""
        noted = 0.0 if self.checkpoint is None else self.checkpoint.progress.trial_s
        return max(noted, self.record.duration_s or 0.0)


def find_unfinished(new: TrialRecord, hyperparameters: Mapping[str, Value], seeds: Sequence[int]) -> Unfinished | None:
    """Reads what an interrupted run of the same trial left in its folder.

    Args:
        new: the record of the trial as it is about to start.
        hyperparameters: their values now.
        seeds: of its executions.

    Returns:
        None when nothing can be kept: the trial starts at its beginning.

    Warns:
        UserWarning: training is lost; the warning says why.
    """
    path = new.folder / files.RECORD
    if not path.exists():
        return None
    try:
        record = TrialRecord.from_json(files.read_json(path), new.folder)
    except ProjectError as error:
        warn_of_loss(f"Trial {new.trial_id} starts again: {error}")
        return None
    # A finalist that there was time to train from some of its seeds goes on with the others.
    is_short = record.status == COMPLETED and len(record.executions) < len(seeds)
    if record.status not in (RUNNING, INTERRUPTED) and not is_short:
        return None
    same = all(getattr(record, name) == getattr(new, name) for name in ("seed", "planned_epochs", "promoted_from"))
    if not (same and hyperparameters.items() <= record.hyperparameters.items()):
        if (new.folder / files.CHECKPOINT).exists():
            warn_of_loss(
                f"Trial {new.trial_id} starts again: it was interrupted with other epochs, seeds or hyperparameters."
            )
        return None
    finished: list[ExecutionRecord] = []
    # The last one ends with the trial itself, so it goes on from its checkpoint however far it came.
    for execution, one in enumerate(record.executions[: len(seeds) - 1]):
        if not one.finished or (one.execution, one.seed) != (execution, seeds[execution]):
            break
        finished.append(one)
    running = len(finished)
    history: list[dict[str, Any]] = [dict(row) for row in read_history(record)]
    rows = [row for row in history if row["execution"] < running]
    of_running = [row for row in history if row["execution"] == running]
    checkpoint, why_not = _read_checkpoint(new.folder, running, seeds[running], of_running)
    if checkpoint is not None:
        rows += [row for row in of_running if row["epoch"] <= checkpoint.progress.last_epoch]
    elif why_not:
        which = f"Execution {running} of trial" if len(seeds) > 1 else "Trial"
        warn_of_loss(f"{which} {new.trial_id} starts again: {why_not}.")
    return Unfinished(record, tuple(finished), rows, checkpoint)


def _read_checkpoint(
    folder: Path, execution: int, seed: int, rows: Sequence[Mapping[str, Any]]
) -> tuple[Checkpoint | None, str]:
    """Reads the checkpoint of an execution; without a usable one, says why, or nothing where little is lost."""
    path = folder / files.CHECKPOINT
    try:
        checkpoint = Checkpoint.read(path) if path.exists() else None
    except ProjectError as error:
        return None, str(error)
    progress = None if checkpoint is None else checkpoint.progress
    if progress is None or (progress.execution, progress.seed) != (execution, seed):
        # In its first epoch an execution has none yet, and there may be that of the one before.
        return None, f"{path} is missing" if len(rows) > 1 else ""
    epochs = [row["epoch"] for row in rows if row["epoch"] <= progress.last_epoch]
    if epochs != list(range(progress.first_epoch + 1, progress.last_epoch + 1)):
        return None, f"{folder / files.HISTORY} is damaged: it lacks epochs before its checkpoint"
    return checkpoint, ""


def warn_of_loss(message: str) -> None:
    """Warns the caller of the search."""
    warnings.warn(message, UserWarning, stacklevel=3)
