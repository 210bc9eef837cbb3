"""How many threads TensorFlow computes an operator with: sums are ordered by them, so their last digits depend on it.

After thousands of training steps so do the first digits. It loads no TensorFlow.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

INSIDE_OPERATORS = "TF_NUM_INTRAOP_THREADS"
"""Environment variable that TensorFlow reads when it computes for the first time."""

OWN_CGROUPS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """How many cores this process can keep busy.

    SLURM and taskset leave it fewer than there are, Docker (`--cpus`) and Kubernetes less of their time.
    """
    return max(1, math.ceil(min([_cores(), *map(_quota, _cgroups())])))


def keep_to_quota() -> None:
    """Gives this process as many threads as it can keep busy, where its environment says nothing about them.

    TensorFlow makes one for each core, whatever the quota; when they have used that up, all of them stand still for the
    rest of a period. To be called before TensorFlow computes.
    """
    if INSIDE_OPERATORS not in os.environ and (threads := available()) < _cores():
        os.environ.update(environment(threads))


def environment(threads: int) -> dict[str, str]:
    """Environment variables that give a process so many threads, if they are set before it loads NumPy."""
    return dict.fromkeys((INSIDE_OPERATORS, "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), str(threads))


def in_use() -> int:
    """How many this process computes an operator with."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        chosen = int(tf.config.threading.get_intra_op_parallelism_threads())
        if chosen > 0:
            return chosen
    try:
        return max(0, int(os.environ.get(INSIDE_OPERATORS, ""))) or _cores()
    except ValueError:
        return _cores()


def _cores() -> int:
    """How many cores this process may run on, for each of which TensorFlow makes a thread by itself."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroups() -> Iterator[Path]:
    """The control groups of Linux that share out time to this process: its own, and those above it."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # on another system
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = CGROUPS / "cpu" if controllers else CGROUPS  # version 1, and version 2
        # A container sees its own group as the top one, whatever the name.
        own = top / name.lstrip("/")
        yield from (group for group in (own, *own.parents) if group.is_relative_to(top))


def _quota(cgroup: Path) -> float:
    """Seconds of the processors' time that a control group may use in a second."""
    try:
        if (cgroup / "cpu.max").exists():
            time, period = (cgroup / "cpu.max").read_text().split()
        else:
            time, period = ((cgroup / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(time) / int(period) if int(time) > 0 else math.inf
    except (OSError, ValueError):  # it has no limit: no such files, or "max"
        return math.inf
