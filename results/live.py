"""The live view of a running search: it reads the project folder, and nothing else."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tuner_gan.errors import ProjectError
from tuner_gan.results.progress import progress
from tuner_gan.results.records import FINALIST, RUNNING, Project, TrialRecord, read_project

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

SECONDS_A_FRAME = 1.0


class LiveView:
    """Shows progress while its `with` block runs: a live panel in a terminal, else a line for each ended trial.

    Args:
        folder: the project folder.
        console: where to show it.
        epochs: of a whole trial; None when it is not known.
        max_trials: trials the search ends with, baselines included, finalists not; None when only time ends it.
        stop_at: `time.monotonic()` at which the search ends; None without a limit.
        classifier: returns what is told of the classifier once it is there, None until then; None to tell nothing.
    """

    def __init__(
        self,
        folder: Path,
        console: Console,
        *,
        epochs: int | None,
        max_trials: int | None,
        stop_at: float | None,
        classifier: Callable[[], str | None] | None = None,
    ) -> None:
        self._folder = folder
        self._console = console
        self._epochs = epochs
        self._max_trials = max_trials
        self._stop_at = stop_at
        self._classifier = classifier
        self._told: set[tuple[str, str, float | None]] = set()
        self._finalists: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LiveView:
        # Trials of an earlier run are in the table at the end; only new ones are news.
        with contextlib.suppress(ProjectError):
            project = read_project(self._folder)
            self._told = {_run_of(trial) for trial in project.trials if trial.status != RUNNING}
            self._finalists = project.finalists
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
            self._tell_classifier()
            with contextlib.suppress(ProjectError):
                project = read_project(self._folder)
                if live is None:
                    self._tell(project)
                else:
                    left = None if self._stop_at is None else max(0.0, self._stop_at - time.monotonic())
                    width = min(self._console.width, 120)
                    live.update(progress(project, self._epochs, self._max_trials, left, width=width), refresh=True)

    def _tell_classifier(self) -> None:
        text = None if self._classifier is None else self._classifier()
        if text is not None:
            self._console.print(text, markup=False, highlight=False)
            self._classifier = None

    def _tell(self, project: Project) -> None:
        self._tell_ended(project, [trial for trial in project.trials if trial.origin != FINALIST])
        finalists = [trial for trial in project.trials if trial.origin == FINALIST]
        if finalists and project.finalists not in ([], self._finalists):  # chosen, and there is time for them
            listed = ", ".join(project.finalists)
            self._console.print(f"finalists, trained again: {listed}", markup=False, highlight=False, soft_wrap=True)
            self._finalists = project.finalists
        self._tell_ended(project, finalists)

    def _tell_ended(self, project: Project, trials: list[TrialRecord]) -> None:
        for trial in trials:
            if trial.status == RUNNING or _run_of(trial) in self._told:
                continue
            self._told.add(_run_of(trial))
            origin = f" ({trial.origin})" if trial.origin else ""
            spread = "" if trial.score_std is None else f" ± {trial.score_std:.2g}"
            score = "" if trial.score is None else f"{project.objective} {trial.score:.4g}{spread}, "
            flags = f" ({', '.join(trial.flags)})" if trial.flags else ""
            duration = "" if trial.duration_s is None else f" after {trial.duration_s:.0f} s"
            message = f": {trial.message}" if trial.message else ""
            self._console.print(
                f"trial {trial.trial_id}{origin}: {score}{trial.status}{flags}{duration}{message}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _run_of(trial: TrialRecord) -> tuple[str, str, float | None]:
    """An interrupted trial goes on under its own id: when it has ended, it is news once more."""
    return trial.trial_id, trial.status, trial.duration_s
