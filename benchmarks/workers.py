"""Measures how many trials and training steps two worker processes complete, over one.

    python benchmarks/workers.py

prints a Markdown table and the ratio. All trials have the architecture of the default space's defaults and the same
number of epochs, so that they differ in a learning rate only; each search runs alone. The rates of the whole
command count start-up, the classifier and the export, which workers do not make faster; the others count from the start
of the first trial to the end of the last one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import command

from tuner_gan.results.records import COMPLETED, read_history, read_project
from tuner_gan.search_spaces import make_space
from tuner_gan.search_spaces.base import declare

FREE, RANGE = "generator_lr", "0.0004:0.0006"
"""The hyperparameter that is still searched: it does not change the time of a step, and no trial collapses."""
HOUR = 3600.0


class Rates(NamedTuple):
    """What a search did in an hour: trials and steps by the whole command, and by its trials only."""

    trials: float
    steps: float
    trials_searching: float
    steps_searching: float


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs=2, default=(1, 2), help="the ratio is of the second to the first")
    parser.add_argument("--trials", type=int, default=6, help="that both numbers of workers divide")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--width", type=int, help="of both networks' first blocks; others in proportion")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {options.epochs} epochs a trial\n")
    print("| workers | trials an hour | steps an hour | trials an hour of searching | steps an hour of searching |")
    print("|---|---|---|---|---|", flush=True)
    found = []
    for workers in options.workers:
        found.append(_run(workers, options.trials, options.epochs, options.width))
        print(f"| {workers} | {' | '.join(f'{rate:,.0f}' for rate in found[-1])} |", flush=True)
    ratios = [f"**{many / one:.2f}**" for one, many in zip(*found, strict=True)]
    print(f"| ratio | {' | '.join(ratios)} |")


def _run(workers: int, trials: int, epochs: int, width: int | None) -> Rates:
    """Runs one search."""
    fixed = declare(make_space("dcgan", (28, 28, 1))).values
    if width is not None:
        widths = {name: value for name, value in fixed.items() if "_width" in name}
        fixed |= {name: value * width // fixed["generator_width"] for name, value in widths.items()}
    with tempfile.TemporaryDirectory() as folder:
        run = command.search(
            Path(folder),
            *("--workers", str(workers), "--max-trials", str(trials), "--epochs", str(epochs), "--pruner", "none"),
            *("--baselines", "none", "--finalists", "0", "--range", f"{FREE}={RANGE}"),
            *(f"--set={name}={str(value).lower()}" for name, value in fixed.items() if name != FREE),
        )
        done = read_project(run.project).trials
        failed = [f"trial {trial.trial_id}: {trial.message}" for trial in done if trial.status != COMPLETED]
        if failed:
            raise SystemExit(f"Trials that ended early cannot be counted: {'; '.join(failed)}.")
        steps = sum(int(read_history(trial)[-1]["step"] or 0) for trial in done)
    starts = [datetime.fromisoformat(str(trial.started_at)).timestamp() for trial in done]
    ends = [start + (trial.duration_s or 0.0) for start, trial in zip(starts, done, strict=True)]
    searching = max(ends) - min(starts)
    return Rates(*(HOUR * count / seconds for seconds in (run.seconds, searching) for count in (len(done), steps)))


if __name__ == "__main__":
    main()
