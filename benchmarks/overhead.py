"""Measures the share of a default search that is not spent on training steps, and where it goes.

    python benchmarks/overhead.py
    python benchmarks/overhead.py -- --max-time 1m

runs `tuner-gan search`, five minutes without further arguments, in a temporary folder and prints a Markdown table from
its records. Training steps are what is left of the trials without building, first batches, scores and files. Taken off
the time inside `fit` instead, the latter make a second share, which is too high: records do not tell which scores and
files came after the training.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import command

from tuner_gan import files
from tuner_gan.results.records import TIMES, TrialRecord, read_project


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arguments", nargs="*", help="of tuner-gan search, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = command.search(Path(folder), *options.arguments)
        trials = [trial for trial in read_project(run.project).trials if trial.started_at is not None]
        seconds = _parts(run, trials)
    print(f"tuner-gan search {' '.join(options.arguments)}: {len(trials)} trials in {run.seconds:.1f} s\n")
    print("| part | s | share |\n|---|---|---|")
    for name, part in seconds.items():
        print(f"| {name} | {part:.1f} | {part / run.seconds:.1%} |")
    first = min(trials, key=lambda trial: str(trial.started_at))
    ready = (
        datetime.fromisoformat(str(first.started_at)).timestamp() + (first.build_s or 0.0) + (first.compile_s or 0.0)
    )
    print(f"\nThe first training step had ended {ready - run.started:.1f} s after the start of the command")
    executions = [execution for trial in trials for execution in trial.executions]
    inside = sum((one.compile_s or 0.0) + (one.eval_s or 0.0) + (one.save_s or 0.0) for one in executions)
    least = sum(one.duration_s or 0.0 for one in executions) - inside
    outside, most = (1.0 - training / run.seconds for training in (seconds["training steps"], least))
    print(f"\nOutside training steps: **{outside:.1%}**; {most:.1%} by the time inside `fit`")


def _parts(run: command.Run, trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Returns the seconds of each part; their sum is that of the whole command."""
    classifier = float(files.read_json(run.project / files.CLASSIFIER_DIR / files.CARD)["fit_s"])
    starts = [datetime.fromisoformat(str(trial.started_at)).timestamp() for trial in trials]
    durations = [trial.duration_s or 0.0 for trial in trials]
    first = min(starts)
    last = max(start + duration for start, duration in zip(starts, durations, strict=True))
    sums = {name: sum(getattr(trial, name) or 0.0 for trial in trials) for name in TIMES}
    # The second opinion of the finalists is the last to write into their records.
    checked = max(last, *((trial.folder / files.RECORD).stat().st_mtime for trial in trials))
    return {
        "training steps": sum(durations) - sum(sums.values()),
        "start-up: imports, data, features of real images": first - run.started - classifier,
        "training of the classifier": classifier,
        "building": sums["build_s"],
        "first batches: tracing and compiling": sums["compile_s"],
        "scores": sums["eval_s"],
        "files": sums["save_s"],
        "between trials": last - first - sum(durations),
        "second opinion of the finalists": checked - last,
        "export, table and end": run.started + run.seconds - checked,
    }


if __name__ == "__main__":
    main()
