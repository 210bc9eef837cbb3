"""Several local processes on one search: started, watched, replaced and ended here.

The parent loads no TensorFlow. Each worker is a `tuner-gan worker` of its own, with its share of the threads, or a GPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from tuner_gan import files, threads
from tuner_gan.config import SearchConfig
from tuner_gan.errors import SearchError, TunerGANError
from tuner_gan.search.interrupts import InterruptGuard

TASK = "TUNER_GAN_TASK"
"""Environment variable with the task of a worker: a storage's URL may hold a password, which a command line shows."""
WORN_OUT = 75
"""Exit code of a worker that wants to be replaced (EX_TEMPFAIL)."""
ERRORS = {error.exit_code: error for error in (TunerGANError, SearchError)}
"""By the exit codes with which the command line tells them."""
SECONDS_BETWEEN_LOOKS = 0.2
MOST_DEATHS = 3
"""Of workers in a row, before they have begun a trial, after which the search ends."""


@dataclasses.dataclass(frozen=True)
class WorkerTask:
    """What a worker is told.

    Attributes:
        config: settings of the search.
        data: folder of the images, for `map_splits`.
        name: of the worker.
        spent: seconds that the search took before the worker was started, those of earlier runs in the folder included.
    """

    config: SearchConfig
    data: str
    name: str
    spent: float

    def to_json(self) -> str:
        """Returns text from which `from_json` makes an equal task."""
        content = dataclasses.asdict(self)
        # JSON has neither tuples nor sets, and a list would pass where one of them is refused.
        content["config"]["range"] = {
            name: [type(wanted).__name__, list(wanted)] for name, wanted in self.config.range.items()
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> WorkerTask:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        kinds = {kind.__name__: kind for kind in (list, tuple, set)}
        ranges = {name: kinds[kind](wanted) for name, (kind, wanted) in content["config"]["range"].items()}
        return cls(**{**content, "config": SearchConfig(**{**content["config"], "range": ranges})})


class WorkerPool:
    """Runs the workers of a search until all of them have ended.

    Args:
        config: settings of the search, the number of workers among them.
        data: folder of the images, for `map_splits`.
        started_at: `time.monotonic()` of the command, earlier by the seconds that earlier runs in the folder took.
    """

    def __init__(self, config: SearchConfig, data: Path, started_at: float) -> None:
        self._config = config
        self._data = data
        self._started_at = started_at
        self._folder = config.folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._seen: dict[str, dict[Path, int]] = {}
        """The records there were when a worker was started, and when each was written."""
        self._deaths = 0

    def run(self) -> None:
        """Starts the workers and replaces those that are worn out or have died.

        Raises:
            TunerGANError: a worker has ended with an error, which is shown, or several in a row have died.
            KeyboardInterrupt: of Ctrl-C or SIGTERM; the workers have ended by then.
        """
        count = self._config.workers or 1
        (self._folder / files.WORKERS_DIR).mkdir(parents=True, exist_ok=True)
        with _names(self._folder, count) as names, InterruptGuard() as guard:
            places = dict(zip(names, range(count), strict=True))
            try:
                for name in names:
                    self._start(name, places[name])
                while self._running:
                    guard.check()
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                    for name, process in list(self._running.items()):
                        if process.poll() is not None:
                            del self._running[name]
                            _close(process)
                            self._look_at(name, process.returncode, places[name])
            finally:
                self._stop()

    def _start(self, name: str, place: int) -> None:
        task = WorkerTask(self._config, str(self._data), name, time.monotonic() - self._started_at)
        self._seen[name] = self._records()
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "tuner_gan", "worker"],
                env={**os.environ, TASK: task.to_json(), **_share(place, self._config.workers or 1)},
                stdin=subprocess.PIPE,  # ends with this process, however that does, and the worker with it
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is heard here, and told to each worker once
            )

    def _look_at(self, name: str, code: int, place: int) -> None:
        """Replaces a worker that is worn out or was killed; an error of one ends the search."""
        if code == 0:
            return
        if code in ERRORS:
            raise ERRORS[code](self._last_line(name).removeprefix("tuner-gan: error: "))
        if code != WORN_OUT:
            self._deaths = self._deaths + 1 if self._records() == self._seen[name] else 0
            if self._deaths >= MOST_DEATHS:
                raise SearchError(
                    f"{self._deaths} workers died before they began a trial, the last one with exit code {code}: give "
                    f"the search fewer workers, and see {self._log(name)}."
                )
        self._start(name, place)

    def _stop(self) -> None:
        """Ends all workers, which save what they do."""
        for process in self._running.values():
            process.terminate()
        try:
            for process in self._running.values():
                process.wait()
        finally:  # a second Ctrl-C
            for process in self._running.values():
                process.kill()
                _close(process)

    def _records(self) -> dict[Path, int]:
        # Times are compared for being equal only: a clock may be set back.
        return {path: path.stat().st_mtime_ns for path in files.trial_files(self._folder, files.RECORD)}

    def _log(self, name: str) -> Path:
        return self._folder / files.WORKERS_DIR / f"{name}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "a worker ended without a word"


def end_with_parent() -> None:
    """Ends this worker, as SIGTERM does, when its parent is no more."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing ever comes; a buffer's lock would stop the interpreter from ending
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _close(process: subprocess.Popen[bytes]) -> None:
    """Closes the pipe to a worker that has ended: one that lives would take it for its parent's end."""
    assert process.stdin is not None
    process.stdin.close()


@contextlib.contextmanager
def _names(folder: Path, count: int) -> Iterator[list[str]]:
    """Holds names of workers that no living one has, here or on another machine that shares the folder.

    A worker locks its name when it has loaded TensorFlow. Until then, and between its death and the next one of that
    name, another command must not take it.
    """
    host = re.sub(r"[^A-Za-z0-9_-]", "-", platform.node()) or "worker"
    names: list[str] = []
    with contextlib.ExitStack() as held:
        for number in itertools.count():
            path = folder / files.WORKERS_DIR / f"{host}-{number}{files.LOCK}"
            if path.exists() and files.is_locked(path):  # by a worker whose parent is no more
                continue
            with contextlib.suppress(filelock.Timeout):  # another command has given it
                held.enter_context(filelock.FileLock(path.with_suffix(files.NAME_LOCK), timeout=0))
                names.append(path.stem)
            if len(names) == count:
                break
        yield names


def _share(place: int, count: int) -> dict[str, str]:
    """Environment variables that give a worker its share of the machine: of the threads, and one GPU in turn.

    Args:
        place: of the worker among those of this machine, from 0.
        count: of them.
    """
    share = threads.environment(max(1, threads.available() // count))
    gpus = _gpus()
    return {**share, "CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else share


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none where there are none."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu.strip()]
    # The driver lists them here; asking TensorFlow would take their memory.
    found = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(found.iterdir())))] if found.is_dir() else []
