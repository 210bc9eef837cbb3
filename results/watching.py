"""The live view of a search that runs in another process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuner_gan import files
from tuner_gan.results.checks import find_part
from tuner_gan.results.live import LiveView
from tuner_gan.results.records import Project, read_project

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LOOKS = 1.0


def watch(folder: str | Path, console: Console, *, baselines: int) -> bool:
    """Shows a search until it ends: a live panel in a terminal, else a line for each trial that ends.

    Args:
        folder: of the search.
        console: where to show it; once it is quiet, as that of the command line is when nobody reads on, this ends.
        baselines: trials that a search runs before those of its space, where it runs any.

    Returns:
        Whether it was running.

    Raises:
        ProjectError: the folder is no project.
    """
    project = read_project(folder)
    if not project.searching:
        return False
    epochs, max_trials, stop_at = _plan(project, baselines)
    if not console.is_terminal:  # where nothing is seen until a trial ends
        count = len(project.trials)
        line = f"watching {project.folder}: {count} trial{'' if count == 1 else 's'} so far"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    with LiveView(project.folder, console, epochs=epochs, max_trials=max_trials, stop_at=stop_at):
        while files.is_searching(project.folder) and not console.quiet:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return True


def _plan(project: Project, baselines: int) -> tuple[int | None, int | None, float | None]:
    """Epochs of a trial, trials, and `time.monotonic()` at the end of the search; None for what nothing limits."""
    config = find_part(project.search, "config")
    max_trials = _number(config.get("max_trials"))
    if max_trials is not None and config.get("baselines") == "all":
        max_trials += baselines
    max_time, elapsed = config.get("max_time"), project.search.get("elapsed_s")
    stop_at = None
    if isinstance(max_time, int | float) and isinstance(elapsed, int | float):
        # What it noted last may be some seconds old.
        age = max(0.0, time.time() - (project.folder / files.SEARCH).stat().st_mtime)
        stop_at = time.monotonic() + max_time - elapsed - age
    return _number(config.get("epochs")), max_trials, stop_at


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
