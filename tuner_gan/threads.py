"""How many threads TensorFlow computes an operator with: sums are ordered by them, so their last digits depend on it.

After thousands of training steps so do the first digits. It loads no TensorFlow.
"""

from __future__ import annotations

import os
import sys

INSIDE_OPERATORS = "TF_NUM_INTRAOP_THREADS"
"""Environment variable that TensorFlow reads when it computes for the first time."""


def available() -> int:
    """How many cores this process may use; SLURM, taskset and Docker leave it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        return max(0, int(os.environ.get(INSIDE_OPERATORS, ""))) or available()
    except ValueError:
        return available()
