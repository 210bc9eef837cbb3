"""Measures a suggestion of `OptunaOracle` beside one of KerasTuner's `BayesianOptimizationOracle`.

    python benchmarks/oracle.py

prints a Markdown table: the median time of a suggestion (`create_trial`) and of a trial's end (`end_trial`), in
milliseconds, when there are so many past trials of the default space, and the ratio of suggestions. Scores are drawn at
random. KerasTuner's oracle takes seconds, so it is asked up to `--most-bayesian` past trials only; those before are
random, to get there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_tuner
import numpy as np

from tuner_gan.search import oracle
from tuner_gan.search_spaces import make_space
from tuner_gan.search_spaces.base import declare

OBJECTIVE = keras_tuner.Objective("fcd", "min")
IMAGE_SHAPE = (28, 28, 1)
SUGGESTIONS, BAYESIAN_SUGGESTIONS = 21, 5


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--past", type=int, nargs="+", default=[50, 200, 500, 1000], help="numbers of past trials")
    parser.add_argument("--most-bayesian", type=int, default=50, help="past trials of KerasTuner's oracle, at most")
    options = parser.parse_args()
    numbers = sorted(options.past)
    ours = oracle.OptunaOracle(
        objective=OBJECTIVE, max_trials=None, sampler="tpe", pruner="halving", seed=0, storage=None
    )
    found = measure(ours, numbers, SUGGESTIONS)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| past trials | OptunaOracle, ms | end | BayesianOptimizationOracle, ms | BayesianOptimization / Optuna |")
    print("|---|---|---|---|---|", flush=True)
    for past, (mine, end) in zip(numbers, found, strict=True):
        cells = "not run | "
        if past <= options.most_bayesian:
            # An oracle for each number, because all that come before it are to be random, which takes no time.
            peer = keras_tuner.oracles.BayesianOptimizationOracle(
                objective=OBJECTIVE, max_trials=None, num_initial_points=past, seed=1
            )
            [(other, _)] = measure(peer, [past], BAYESIAN_SUGGESTIONS)
            cells = f"{other:.0f} | **{other / mine:.0f}**"
        print(f"| {past} | {mine:.1f} | {end:.1f} | {cells} |", flush=True)


def measure(asked: keras_tuner.Oracle, numbers: Sequence[int], suggestions: int) -> list[tuple[float, float]]:
    """Runs trials that train nothing.

    Args:
        asked: a new oracle.
        numbers: of past trials, in ascending order, further apart than `suggestions`.
        suggestions: timed at each of them.

    Returns:
        The median time of a suggestion, and of the end of a trial, for each of `numbers`, in milliseconds.
    """
    rng = np.random.default_rng(0)
    medians, done = [], 0
    asked.verbose = 0
    with tempfile.TemporaryDirectory() as folder:
        asked._set_project_dir(folder, "search")
        asked.update_space(declare(make_space("dcgan", IMAGE_SHAPE)))
        for past in numbers:
            while done < past:
                _run_trial(asked, rng)
                done += 1
            create, end = 1e3 * np.median([_run_trial(asked, rng) for _ in range(suggestions)], axis=0)
            medians.append((float(create), float(end)))
            done += suggestions
    return medians


def _run_trial(asked: keras_tuner.Oracle, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the seconds that the oracle took to suggest a trial, and to end it."""
    started = time.perf_counter()
    trial = asked.create_trial("tuner0")
    created = time.perf_counter()
    asked.update_trial(trial.trial_id, {"fcd": float(rng.lognormal(-1.0, 0.7))})
    trial.status = "COMPLETED"
    ending = time.perf_counter()
    asked.end_trial(trial)
    return created - started, time.perf_counter() - ending


if __name__ == "__main__":
    main()
