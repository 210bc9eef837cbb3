"""Measures how long a project of 10,000 trials takes to load, over pandas reading the same rows from one file.

    python benchmarks/load.py

prints a Markdown table and the ratio. The project lies in a temporary folder: a record of some forty hyperparameters
and twenty scores, and a history of 30 epochs for each trial. Loading it is `results.load`, `trials()` and `history()`;
the peer is `pandas.read_csv` of the two tables, each written as one CSV file. Files are in the cache of the operating
system, and the median of the repeats counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tuner_gan import files, results

HYPERPARAMETERS, METRICS = 40, 20


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        write_project(folder, options.trials, options.epochs)
        found = results.load(folder)
        found.trials().to_csv(Path(name) / "trials.csv", index=False)
        found.history().to_csv(Path(name) / "history.csv", index=False)

        def ours() -> Any:
            loaded = results.load(folder)
            return loaded.trials(), loaded.history()

        def theirs() -> Any:
            return [pd.read_csv(Path(name) / f"{table}.csv", low_memory=False) for table in ("trials", "history")]

        parts: dict[str, Callable[[], Any]] = {
            "results.load": lambda: results.load(folder),
            "and trials()": found.trials,
            "and history()": found.history,
            "all three": ours,
            "pandas.read_csv of two files": theirs,
        }
        seconds = {part: _median(run, options.repeats) for part, run in parts.items()}
    print(f"{options.trials:,} trials with {options.epochs} epochs each\n\n| part | s |\n|---|---|")
    for part, value in seconds.items():
        print(f"| {part} | {value:.2f} |")
    *_, all_three, peer = seconds.values()
    print(f"\nLoading takes {all_three / peer:.1f} times as long as pandas takes for the same rows in two files.")


def _median(run: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def write_project(folder: Path, trials: int, epochs: int) -> None:
    """Writes a project folder as a search leaves it, without models: trials with random scores and histories."""
    generator = np.random.default_rng(0)
    names = [f"metric_{i}" for i in range(METRICS)]
    folder.mkdir()
    search = {
        "schema": files.SCHEMA,
        "name": "load",
        "objective": {"name": "metric_0", "direction": "min"},
        "metrics": names,
        "rung_metrics": names[:4],
        "space": {"hyperparameters": [{"name": f"hp_{i}", "kind": "Float"} for i in range(HYPERPARAMETERS)]},
    }
    (folder / files.SEARCH).write_text(json.dumps(search), encoding="utf-8")
    header = "execution,epoch,step,seconds,d_loss,g_loss," + ",".join(f"metric.{name}" for name in names[:4])
    for number in range(trials):
        own = files.trial_dir(folder, f"{number:05}")
        own.mkdir()
        metrics = dict(zip(names, generator.random(METRICS).tolist(), strict=True))
        execution = {
            "execution": 0,
            "seed": number,
            "score": metrics["metric_0"],
            "best_epoch": epochs,
            "epochs": epochs,
            "duration_s": 31.0,
            "metrics": metrics,
            "finished": True,
        }
        record = {
            "schema": files.SCHEMA,
            "trial_id": f"{number:05}",
            "status": "COMPLETED",
            "origin": "search",
            "score": metrics["metric_0"],
            "score_std": None,
            "best_epoch": epochs,
            "epochs": epochs,
            "best_execution": 0,
            "started_at": "2026-11-23T18:00:00.123456+00:00",
            "duration_s": 31.25,
            "seed": number,
            "generator_params": 100_000,
            "discriminator_params": 50_000,
            "hyperparameters": {f"hp_{i}": value for i, value in enumerate(generator.random(HYPERPARAMETERS).tolist())},
            "metrics": metrics,
            "message": None,
            "executions": [execution],
        }
        (own / files.RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        rows = [
            f"0,{epoch},{epoch * 47},{epoch * 0.7:.3f},{one[0]},{one[1]},"
            + (",".join(map(str, one[2:])) if epoch % 3 == 0 else ",,,")
            for epoch, one in enumerate(generator.random((epochs, 6)).tolist(), start=1)
        ]
        (own / files.HISTORY).write_text("\n".join([header, *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
