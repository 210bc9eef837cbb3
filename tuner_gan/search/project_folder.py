"""The folder of a search, as one process that searches in it sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results.checks import Value
from tuner_gan.results.records import COMPLETED, PRUNED, TrialRecord
from tuner_gan.search.project import check_same, read_search
from tuner_gan.search.storage import release_trial, take_trial


class ProjectFolder:
    """What a search has on disk: search.json, and the records of its trials.

    Args:
        path: of the folder.
        worker: name of this process among several that search in it together; None for one that searches alone.

    Attributes:
        path: of the folder.
        worker: as above.
        search: the content of search.json, when this process last read or wrote it.
    """

    def __init__(self, path: Path, worker: str | None) -> None:
        self.path = path
        self.worker = worker
        self.search: dict[str, Any] = {}
        self._setup_lock = files.setup_lock(path)

    def setup(self) -> contextlib.AbstractContextManager[object]:
        """What one worker at a time may do."""
        return contextlib.nullcontext() if self.worker is None else self._setup_lock

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Holds the folder for this search, or for this worker of it.

        Raises:
            ProjectError: another process is in the way; the message names it.
        """
        return files.search_lock(self.path) if self.worker is None else files.worker_lock(self.path, self.worker)

    def open(self, wanted: dict[str, Any], save: Callable[[], object] | None) -> None:
        """Writes search.json, or checks that the one there is of the same search.

        Args:
            wanted: its content for a new search.
            save: writes what belongs to a new one first; None where another process writes both.

        Raises:
            ProjectError: it is of another search, is damaged or cannot be written.
        """
        path = self.path / files.SEARCH
        if path.exists():
            with contextlib.suppress(ProjectError):  # the next line tells
                files.mend(path)
            stored = read_search(path)
            check_same(self.path, stored, wanted)
            self.search = stored
            return
        self.search = wanted
        if save is not None:
            save()
            files.write_json(path, wanted, copied=True)

    def look(self) -> dict[str, Any]:
        """search.json as it is now: other workers may have changed it."""
        if self.worker is not None:
            self.search = read_search(self.path / files.SEARCH)
        return self.search

    def write(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes search.json."""
        with self.setup():
            change(self.look())
            files.write_json(self.path / files.SEARCH, self.search, copied=True)

    def trial(self, trial_id: str) -> Path:
        """The folder of a trial."""
        return files.trial_dir(self.path, trial_id)

    def finished(
        self, trial_id: str, hyperparameters: Mapping[str, Value], statuses: Sequence[str] = (COMPLETED, PRUNED)
    ) -> TrialRecord | None:
        """Returns a trial's record: a process may be killed after it, before the oracle has heard of it.

        Args:
            trial_id: of the trial.
            hyperparameters: that it must have been trained with, among others.
            statuses: of which it must have one.
        """
        path = self.trial(trial_id) / files.RECORD
        with contextlib.suppress(ProjectError):
            record = TrialRecord.from_json(files.read_json(path), path.parent)
            if record.status in statuses and hyperparameters.items() <= record.hyperparameters.items():
                (path.parent / files.CHECKPOINT).unlink(missing_ok=True)  # killed just before that
                return record
        return None

    @contextlib.contextmanager
    def taking(self, trial_id: str) -> Iterator[bool]:
        """Takes a trial that no oracle gave out, for as long as the block runs, however it ends.

        Yields:
            Whether this process is to run it, because no other worker does.
        """
        try:
            yield self.worker is None or take_trial(self.path, trial_id)
        finally:
            release_trial(self.path, trial_id)

    def runs_trials(self) -> bool:
        """Tells whether any worker runs a trial that may become a finalist."""
        # Another worker that has waited for this one may have begun a finalist already.
        return any(
            files.is_locked(path) for path in files.trial_files(self.path, files.LOCK) if not files.is_of_finalist(path)
        )
