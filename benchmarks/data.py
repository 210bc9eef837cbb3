"""Measures how long a large data set takes to load and split, and the memory that this takes, alone and in workers.

    python benchmarks/data.py
    python benchmarks/data.py --suffixes .npy --search 5

prints a Markdown table, and with `--search` what a search of so many trials over each file keeps in memory. It writes a
million random images of 28 x 28 pixels to a temporary folder, loads them in a process of their own, and removes them:
0.8 GB for each kind of file, one at a time, as much for the files that workers share, and as much memory. The files
were just written, so that the disk is not measured. Private memory is what only that process has (RssAnon; Linux only);
the peak has the pages of the mapped file in it, which processes share and which the system takes back when it needs
them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tuner_gan import datasets
from tuner_gan.search.shared_data import SharedData, map_splits

MIB = 2**20
TRIAL_SECONDS = 15.0
"""That each trial of a search trains for, at most."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--suffixes", nargs="+", choices=(".npy", ".npz"), default=(".npy", ".npz"))
    parser.add_argument("--search", type=int, default=0, metavar="TRIALS", help="search over them, too")
    parser.add_argument("--search-in", help="search over this file, and print only what that kept, as JSON")
    parser.add_argument("--load", help="load this file, and print only what that took, as JSON")
    parser.add_argument("--map", help="map what is in this folder, and print only what that took, as JSON")
    options = parser.parse_args()
    if options.load or options.map:
        print(json.dumps(_measure_load(options.load) if options.load else _measure_map(options.map)))
        return
    if options.search_in:
        print(json.dumps(_measure_search(options.search_in, options.search)))
        return
    print(
        "| file | images, MiB | load, s | split, s | private after load, MiB | after split, MiB | peak, MiB "
        "| write for workers, s | a worker: map, s | private, MiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for suffix in options.suffixes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"images{suffix}"
            size = _write(path, options.images)
            found = _run("--load", str(path))
            kept = _run("--search-in", str(path), "--search", str(options.search)) if options.search else {}
        seconds = f"{found['load_s']:.2f} | {found['split_s']:.2f}"
        memory = " | ".join(f"{found[name] / MIB:.0f}" for name in ("loaded", "split", "peak"))
        workers = f"{found['write_s']:.2f} | {found['map_s']:.2f} | {found['mapped'] / MIB:.0f}"
        print(f"| `{suffix}` | {size / MIB:.0f} | {seconds} | {memory} | {workers} |", flush=True)
        if kept:
            print(f"\nPrivate after each trial, MiB: {', '.join(f'{value / MIB:.0f}' for value in kept.values())}\n")


def _run(*arguments: str) -> dict[str, float]:
    """Measures in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def _write(path: Path, count: int) -> int:
    """Returns the bytes of the images."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    if path.suffix == ".npy":
        np.save(path, images)
    else:
        np.savez(path, x=images, y=np.arange(count, dtype=np.uint8) % 10)
    return images.nbytes


def _measure_load(path: str) -> dict[str, float]:
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
    peak = _bytes("VmHWM") - peak_before
    assert len(splits.train) > len(splits.reference)
    writing = time.perf_counter()
    with SharedData(splits, Path(path).parent) as folder:
        written = time.perf_counter()
        found = _run("--map", str(folder))
    return {
        "load_s": loaded - started,
        "split_s": ended - loaded,
        "loaded": loaded_bytes,
        "split": split_bytes,
        "peak": peak,
        "write_s": written - writing,
        **found,
    }


def _measure_map(folder: str) -> dict[str, float]:
    """Seconds and private bytes of a worker that maps what was written and reads all of it, as training does."""
    before = _bytes("RssAnon")
    started = time.perf_counter()
    splits = map_splits(Path(folder))
    seconds = time.perf_counter() - started
    assert splits.train.fingerprint != splits.reference.fingerprint
    return {"map_s": seconds, "mapped": _bytes("RssAnon") - before}


def _measure_search(path: str, trials: int) -> dict[str, float]:
    """Private bytes after each of some short trials, by their names."""
    # Here, so that TensorFlow is not in the memory that the others measure.
    from tuner_gan import GANHyperModel, GANTuner, QualityEvaluator

    kept: dict[str, float] = {}

    class Watched(GANTuner):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            kept[trial.trial_id] = _bytes("RssAnon")

    data = datasets.load(path).split(seed=0)
    folder = Path(path).parent
    quality = QualityEvaluator.fit(data, directory=folder / "search")
    settings: dict[str, Any] = {"max_trials": trials, "baselines": "none", "finalists": 0, "pruner": "none"}
    names = {"directory": folder, "project_name": "search"}
    tuner = Watched(GANHyperModel(data.image_shape), quality=quality, **settings, **names)
    with contextlib.redirect_stdout(sys.stderr):
        tuner.search(data.train, epochs=1, max_trial_time=TRIAL_SECONDS, verbose=0)
    return kept


def _bytes(field: str) -> int:
    """A field of this process's status."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
