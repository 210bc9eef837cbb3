"""How far a running search is: a panel for the terminal, made anew from the project folder for each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuner_gan import files
from tuner_gan.results.checks import find_part, parse_time
from tuner_gan.results.display import rich_table
from tuner_gan.results.records import (
    COMPLETED,
    FAILED,
    FINALIST,
    INTERRUPTED,
    METRIC,
    RUNNING,
    UNREADABLE,
    Project,
    TrialRecord,
    rank,
    read_history,
)
from tuner_gan.results.tables import trials_table

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP = 5
"""Trials that the live view shows."""
BLOCKS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 30
"""Scores of a curve in text at most, the latest ones."""


def progress(
    project: Project,
    epochs: int | None = None,
    max_trials: int | None = None,
    seconds_left: float | None = None,
    *,
    width: int = 100,
    now: datetime | None = None,
) -> RenderableType:
    """Shows how far a running search is; read the project anew for each frame.

    Args:
        epochs: of a whole trial; None when it is not fixed.
        max_trials: trials the search ends with, baselines included, finalists not; None when only time ends it.
        seconds_left: until the search ends; None without a limit.
        width: columns of the terminal.
        now: the time of the frame, with a time zone; the default is the clock's.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    now = now or datetime.now(UTC)
    running = [trial for trial in project.trials if trial.status == RUNNING]
    ended = _ended_trials(project)
    at_once = max(1, len(running))
    running_s = sum(_since(trial, now) for trial in running)
    bars = Table.grid(padding=(0, 2))
    of_trials = f"{len(ended)}/{max_trials}" if max_trials else str(len(ended))
    done = Text(f"{of_trials} trials ended, {_failed(ended)} failed")
    bars.add_row(done, ProgressBar(max_trials, len(ended), width=30) if max_trials else "")
    again = _ended_finalists(project)
    if project.finalists:
        count = len(project.finalists)
        done = Text(f"{len(again)}/{count} finalists trained again, {_failed(again)} failed")
        bars.add_row(done, ProgressBar(count, len(again), width=30))
    part = 0.0
    for trial in running:
        epoch, execution = _position(trial)
        part += epoch / epochs if epochs else 0.0
        of_epochs = f"{epoch}/{epochs}" if epochs else str(epoch)
        numbered = f", execution {execution}" if execution else ""
        line = Text(f"trial {trial.trial_id} ({trial.origin}{numbered}), epoch {of_epochs}")
        bars.add_row(line, ProgressBar(epochs, min(epoch, epochs), width=30) if epochs else "")
    spent = running_s + sum(trial.duration_s or 0.0 for trial in project.trials if trial.status != RUNNING)
    left = _seconds_left(project, running_s, part, max_trials, seconds_left, at_once)
    clock = Text(f"elapsed {_clock(spent / at_once)}, left {'unknown' if left is None else 'about ' + _clock(left)}")
    workers = files.count_workers(project.folder)
    if workers:
        clock.append(f", {workers} worker{'' if workers == 1 else 's'} alive")
    ranked = [trial for place, trial in rank(project.trials, project.direction) if place is not None]
    parts: list[RenderableType] = [bars, clock, Text(_best(project, ranked))]
    if ranked:
        table = trials_table(project).head(min(TOP, len(ranked)))
        parts += ["", rich_table(table, width - 4)]
    drawn = _curves(project, [*running, *ranked[:TOP]])
    if drawn:
        parts += ["", *(Text(line, no_wrap=True, overflow="crop") for line in drawn)]
    name = project.search.get("name")
    return Panel(Group(*parts), title=Text(name if isinstance(name, str) else project.folder.name), width=width)


def _curves(project: Project, trials: Sequence[TrialRecord]) -> list[str]:
    """The scores of trials at their rungs as lines of blocks, all on one scale: the lower the block, the lower."""
    found: list[tuple[str, list[float]]] = []
    for trial in trials:
        rows = [(row["execution"], row.get(METRIC + project.objective)) for row in read_history(trial)]
        last = max((execution or 0 for execution, _ in rows), default=0)
        scores = [float(score) for execution, score in rows if execution == last and score is not None]
        if scores:
            found.append((trial.trial_id, scores[-CURVE_WIDTH:]))
    values = [score for _, scores in found for score in scores]
    if not values:
        return []
    log = min(values) > 0
    low, high = ((math.log(end) if log else end) for end in (min(values), max(values)))
    width = max(len(trial_id) for trial_id, _ in found)

    def block(score: float) -> str:
        place = ((math.log(score) if log else score) - low) / ((high - low) or 1.0)
        return BLOCKS[min(int(place * len(BLOCKS)), len(BLOCKS) - 1)]

    return [
        f"{trial_id:>{width}}  {''.join(map(block, scores))}  {project.objective} {scores[-1]:.4g}"
        for trial_id, scores in found
    ]


def _position(running: TrialRecord) -> tuple[int, int]:
    """Epoch and execution that a running trial has reached."""
    rows = read_history(running)
    return max(((int(row["execution"] or 0), int(row["epoch"] or 0)) for row in rows), default=(0, 0))[::-1]


def _since(running: TrialRecord, now: datetime) -> float:
    """Seconds a running trial has taken."""
    if running.started_at is None:
        return 0.0
    return max(0.0, (now - parse_time(running.started_at)).total_seconds())


def _failed(trials: list[TrialRecord]) -> int:
    return sum(trial.status in (FAILED, UNREADABLE) for trial in trials)


def _ended_trials(project: Project) -> list[TrialRecord]:
    """All but finalists; one that was interrupted has not ended, as it goes on when the search does."""
    going = (RUNNING, INTERRUPTED)
    return [trial for trial in project.trials if trial.status not in going and trial.origin != FINALIST]


def _ended_finalists(project: Project) -> list[TrialRecord]:
    """Those of the present choice; an earlier one may have left others."""
    ids = {files.FINALIST_PREFIX + trial_id for trial_id in project.finalists}
    return [trial for trial in project.trials if trial.trial_id in ids and trial.status in (COMPLETED, FAILED)]


def _seconds_left(
    project: Project, running_s: float, part: float, max_trials: int | None, limit: float | None, at_once: int
) -> float | None:
    """Estimates the rest from the mean duration of a trial; before one has ended, from the running ones' part."""
    ended = _ended_trials(project)
    timed = [trial for trial in ended if trial.status == COMPLETED and trial.duration_s]
    total = sum(trial.duration_s or 0.0 for trial in timed)
    each = total / len(timed) if timed else running_s / part if part else None
    limits = [] if limit is None else [max(0.0, limit)]
    if max_trials is not None and each is not None:
        training = total / max(1, sum(len(trial.executions) for trial in timed)) if timed else each
        trials = 0 if project.finalists else max(0, max_trials - len(ended))
        rest = each * trials + training * _trainings_left(project)
        limits.append(max(0.0, rest - running_s) / at_once)
    return min(limits, default=None)


def _trainings_left(project: Project) -> int:
    """Trainings of finalists that have not ended; before they are chosen, of as many as were asked for."""
    asked = find_part(project.search, "config")
    count, seeds = (asked[name] if isinstance(asked.get(name), int) else 0 for name in ("finalists", "finalist_seeds"))
    waiting = len(project.finalists) - len(_ended_finalists(project)) if project.finalists else count
    return max(0, waiting * seeds)


def _best(project: Project, ranked: list[TrialRecord]) -> str:
    floor = "" if project.floor is None else f"; held-out real images {project.floor:.4g}"
    if not ranked:
        return f"no trial has a score yet{floor}"
    return f"best {project.objective} {ranked[0].score:.4g} (trial {ranked[0].trial_id}){floor}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
