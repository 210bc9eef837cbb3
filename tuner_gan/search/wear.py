"""How worn a process is by the trials that it has run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

TRIALS_A_WORKER = 50
BYTES_A_WORKER = 2**30
"""Trials and growth after which a worker leaves its place to a new process."""


class Wear:
    """Counts the trials of this process, and what it has grown by: TensorFlow keeps some megabytes of each."""

    def __init__(self) -> None:
        self._trials = 0
        self._after_first = 0

    def begin_trial(self) -> None:
        """Notes that a trial begins."""
        self._trials += 1

    def end_trial(self) -> None:
        """Notes that it has ended."""
        if self._trials == 1:  # what TensorFlow and the images take once would not be less in another process
            self._after_first = private_memory()

    def is_worn_out(self) -> bool:
        """Tells whether another process should go on."""
        grown = self._trials > 0 and private_memory() - self._after_first > BYTES_A_WORKER
        return self._trials >= TRIALS_A_WORKER or grown


def private_memory() -> int:
    """Returns the bytes that this process has for itself; 0 where the system does not tell.

    Mapped images are not in it on Linux. Elsewhere it is the most that the process has had, with them.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^RssAnon:\s+(\d+) kB$", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
