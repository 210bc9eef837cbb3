"""The live view of a running search: it reads the project folder, and nothing else."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tuner_gan.errors import ProjectError
from tuner_gan.results.display import progress
from tuner_gan.results.records import RUNNING, Project, read_project

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

SECONDS_A_FRAME = 1.0


class LiveView:
    """Shows progress while its `with` block runs: a live panel in a terminal, else a line for each ended trial.

    Args:
        folder: the project folder.
        console: where to show it.
        epochs: of a whole trial.
        max_trials: trials the search ends with, baselines included; None when only time ends it.
        stop_at: `time.monotonic()` at which the search ends; None without a limit.
    """

    def __init__(
        self, folder: Path, console: Console, *, epochs: int, max_trials: int | None, stop_at: float | None
    ) -> None:
        self._folder = folder
        self._console = console
        self._epochs = epochs
        self._max_trials = max_trials
        self._stop_at = stop_at
        self._told: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LiveView:
        # Trials of an earlier run are in the table at the end; only new ones are news.
        with contextlib.suppress(ProjectError):
            self._told = {trial.trial_id for trial in read_project(self._folder).trials if trial.status != RUNNING}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        from rich.live import Live

        if not self._console.is_terminal:
            self._loop(None)
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._loop(live)

    def _loop(self, live: Live | None) -> None:
        last = False
        while not last:
            last = self._ended.wait(SECONDS_A_FRAME)
            with contextlib.suppress(ProjectError):
                project = read_project(self._folder)
                if live is None:
                    self._tell(project)
                else:
                    left = None if self._stop_at is None else max(0.0, self._stop_at - time.monotonic())
                    width = min(self._console.width, 120)
                    live.update(progress(project, self._epochs, self._max_trials, left, width=width), refresh=True)

    def _tell(self, project: Project) -> None:
        for trial in project.trials:
            if trial.status == RUNNING or trial.trial_id in self._told:
                continue
            self._told.add(trial.trial_id)
            score = "" if trial.score is None else f"{project.objective} {trial.score:.4g}, "
            message = f": {trial.message}" if trial.message else ""
            self._console.print(
                f"trial {trial.trial_id} ({trial.origin}): {score}{trial.status} after {trial.duration_s or 0:.0f} s"
                f"{message}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
