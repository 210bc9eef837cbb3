"""Measures how long a large data set takes to load and split, and the memory that this takes.

    python benchmarks/data.py

prints a Markdown table. It writes a million random images of 28 x 28 pixels to a temporary folder, loads them in a
process of their own, and removes them: 0.8 GB for each kind of file, one at a time, and as much memory. The file was
just written, so that the disk is not measured. Private memory is what only that process has (RssAnon; Linux only); the
peak has the pages of the mapped file in it, which processes share and which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tuner_gan import datasets

MIB = 2**20


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--suffixes", nargs="+", choices=(".npy", ".npz"), default=(".npy", ".npz"))
    parser.add_argument("--load", help="load this file, and print only what that took, as JSON")
    options = parser.parse_args()
    if options.load:
        print(json.dumps(_measure(options.load)))
        return
    print("| file | images, MiB | load, s | split, s | private after load, MiB | after split, MiB | peak, MiB |")
    print("|---|---|---|---|---|---|---|")
    for suffix in options.suffixes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"images{suffix}"
            size = _write(path, options.images)
            command = [sys.executable, __file__, "--load", str(path)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        seconds = f"{found['load_s']:.2f} | {found['split_s']:.2f}"
        memory = " | ".join(f"{found[name] / MIB:.0f}" for name in ("loaded", "split", "peak"))
        print(f"| `{suffix}` | {size / MIB:.0f} | {seconds} | {memory} |", flush=True)


def _write(path: Path, count: int) -> int:
    """Returns the bytes of the images."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    if path.suffix == ".npy":
        np.save(path, images)
    else:
        np.savez(path, x=images, y=np.arange(count, dtype=np.uint8) % 10)
    return images.nbytes


def _measure(path: str) -> dict[str, float]:
    """Seconds, and bytes beyond what the process has before it loads anything."""
    before = _bytes("RssAnon")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak of the imports
    peak_before = _bytes("VmHWM")
    started = time.perf_counter()
    data = datasets.load(path)
    loaded = time.perf_counter()
    loaded_bytes = _bytes("RssAnon") - before
    splits = data.split()
    ended = time.perf_counter()
    del data  # as a search does
    split_bytes = _bytes("RssAnon") - before
    assert len(splits.train) > len(splits.reference)
    return {
        "load_s": loaded - started,
        "split_s": ended - loaded,
        "loaded": loaded_bytes,
        "split": split_bytes,
        "peak": _bytes("VmHWM") - peak_before,
    }


def _bytes(field: str) -> int:
    """A field of this process's status."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
