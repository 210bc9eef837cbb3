"""Tells where the time of a training step goes: operators of TensorFlow, input pipeline and Python.

    python benchmarks/profile_step.py

prints a Markdown table of milliseconds a step for the GAN of 28 x 28 images and width 32 of `benchmarks/step.py`. An
operator's milliseconds are added up over all threads that run operators, so that they sum to more than the time that
passes. XLA makes a step one operator, so its inside is not listed. A profile slows down what it looks at: compare
its rows, and take times from `benchmarks/step.py`.
"""

from __future__ import annotations

import collections
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import step as benchmark
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

STEPS = 24
SHOWN = 12
PYTHON = "Python, outside the step"
INPUT = "input pipeline, beside the step"
WALL = "**time that passes**"
CONTAINERS = ("Process",)
"""Events around operators."""
OPERATOR_THREADS = "tf_Compute"


def main() -> None:
    """Prints the table."""
    gan = benchmark.architecture((28, 28, 1), 32)
    images = np.random.default_rng(0).integers(0, 256, (benchmark.BATCH * STEPS, *gan.image_shape), np.uint8)
    sides = {
        "textbook": benchmark.textbook(gan, images, autotune=False),
        "ours, no XLA": benchmark.ours(gan, images, xla=False),
        "ours, XLA": benchmark.ours(gan, images, xla=True),
    }
    found = {name: profile(run) for name, run in sides.items()}
    totals: collections.Counter[str] = collections.Counter()
    for name in ("textbook", "ours, no XLA"):
        totals.update(found[name])
    rest = (WALL, PYTHON, INPUT)
    operators = [name for name, _ in totals.most_common() if name not in rest][:SHOWN]
    print(f"| a step, ms | {' | '.join(sides)} |\n|---{'|---' * len(sides)}|")
    for row in (*rest, *operators):
        print(f"| {row} | {' | '.join(f'{found[name][row]:.1f}' for name in sides)} |")


def profile(run: Callable[[], object]) -> collections.Counter[str]:
    """Milliseconds a step of each operator, and of what is around them."""
    for _ in range(2):
        run()  # traces and compiles
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        tf.profiler.experimental.stop()
        [path] = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: collections.Counter[str] = collections.Counter()
    inside = 0.0
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                milliseconds = event.duration_ps / 1e9 / STEPS
                node, _, operator = name.rpartition(":")
                if line.name.startswith(OPERATOR_THREADS) and node and operator not in CONTAINERS:
                    found[operator] += milliseconds
                elif line.name == "python" and name == "multi_step_on_iterator":
                    inside += milliseconds
                elif line.name.startswith("tf_data") and operator.split("#")[0] in ("Root", "PrefetchProduce"):
                    found[INPUT] += milliseconds
    found[WALL] = 1e3 * seconds / STEPS
    found[PYTHON] = found[WALL] - inside
    return found


if __name__ == "__main__":
    main()
