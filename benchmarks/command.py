"""Runs `tuner-gan search` as a user would: in a process of its own, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

LAST = 2_000
"""Characters of its output that are shown when a command fails."""


class Run(NamedTuple):
    """A search that ended.

    Attributes:
        project: its folder.
        started: when its process was started, in seconds since the epoch.
        seconds: until the process had ended.
    """

    project: Path
    started: float
    seconds: float


def search(folder: Path, *arguments: str) -> Run:
    """Runs `tuner-gan search` with these arguments in `folder`, which has no search yet.

    Raises:
        SystemExit: it failed; the message is the end of its output.
    """
    command = [sys.executable, "-m", "tuner_gan", "search", *arguments]
    started, clock = time.time(), time.monotonic()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds = time.monotonic() - clock
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-LAST:]}")
    [project] = (folder / "runs").iterdir()
    return Run(project, started, seconds)
