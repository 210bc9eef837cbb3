"""What an interrupted run left of a trial, and what of it can be kept."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results.checks import Value
from tuner_gan.results.records import (
    INTERRUPTED,
    RUNNING,
    ExecutionRecord,
    TrialRecord,
    read_history,
    read_json,
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
        record = TrialRecord.from_json(read_json(path), new.folder)
    except ProjectError as error:
        warn_of_loss(f"Trial {new.trial_id} starts again: {error}")
        return None
    if record.status not in (RUNNING, INTERRUPTED):
        return None
    same = all(getattr(record, name) == getattr(new, name) for name in ("seed", "planned_epochs", "promoted_from"))
    if not (same and hyperparameters.items() <= record.hyperparameters.items()):
        if (new.folder / files.CHECKPOINT).exists():
            warn_of_loss(
                f"Trial {new.trial_id} starts again: it was interrupted with other epochs, seeds or hyperparameters."
            )
        return None
    # The last one ends with the trial itself, so it goes on from its checkpoint however far it came.
    finished = tuple(
        one
        for _, one in itertools.takewhile(
            lambda pair: pair[1].finished and (pair[1].execution, pair[1].seed) == (pair[0], seeds[pair[0]]),
            enumerate(record.executions[: len(seeds) - 1]),
        )
    )
    running = len(finished)
    rows: list[dict[str, Any]] = [dict(row) for row in read_history(record)]
    kept = [row for row in rows if row["execution"] < running]
    of_running = [row for row in rows if row["execution"] == running]
    try:
        checkpoint = Checkpoint.read(new.folder / files.CHECKPOINT)
        progress = checkpoint.progress
        if (progress.execution, progress.seed) != (running, seeds[running]):
            raise ProjectError(f"{new.folder / files.CHECKPOINT} is of another execution")
        known = [row for row in of_running if row["epoch"] <= progress.last_epoch]
        if [row["epoch"] for row in known] != list(range(progress.first_epoch + 1, progress.last_epoch + 1)):
            raise ProjectError(f"{new.folder / files.HISTORY} is damaged: it lacks epochs before its checkpoint")
        return Unfinished(record, finished, [*kept, *known], checkpoint)
    except ProjectError as error:
        # In the first epoch there is no checkpoint yet, or that of the execution before: nothing to warn of.
        if len(of_running) > 1 or "damaged" in str(error):
            which = f"execution {running} of trial" if len(seeds) > 1 else "Trial"
            warn_of_loss(f"{which[0].upper()}{which[1:]} {new.trial_id} starts again: {error}.")
    return Unfinished(record, finished, kept, None)


def warn_of_loss(message: str) -> None:
    """Warns the caller of the search."""
    warnings.warn(message, UserWarning, stacklevel=3)
