"""Measures the best generator that a search finds in the same time: tuner-gan, KerasTuner alone, and Optuna.

    python benchmarks/search.py

prints Markdown tables of relative Frechet distances (fcd), the smaller the better, and their ratios. Each side runs in
a process of its own, one after the other, in turns over the seeds; it takes almost three hours, which want a quiet
computer. Time counts from the start of a process: imports and the training of a side's classifier are in it.

Ours is `tuner-gan search --data FILE.npz --max-time Ns --seed S`, once for each time, and what it exported counts. The
peers, `plain_kerastuner.py` and `optuna_gan.py`, run once for the longest time, and at each time their best generator
so far counts, by their own score. What they are busy with when a time is over does not count. The last column tells
when a process ended: look there whether ours kept its times, which a busy computer may make it miss.

mnist5k is split into three, each digit in equal shares. All sides train on the same 3,000 images (x_train of FILE.npz).
They score by distances to one half of another 1,000 (x_test), each with a classifier of its own that learns from the
3,000. The judge's classifier has another seed and learns from all of the 1,000 that the sides score with, on which none
of them trains anything, and the judge compares with the last 1,000, which no side is given. The distance from these to
1,000 of the training images is the floor: that of a generator which only repeats them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import command
import numpy as np
from found import best_at

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits
from tuner_gan.quality import QualityEvaluator
from tuner_gan.results.export import load_generator

OURS = "ours"
PEERS = {
    "random": ("plain_kerastuner.py", "--tuner", "random"),
    "bayesian": ("plain_kerastuner.py", "--tuner", "bayesian"),
    "hyperband": ("plain_kerastuner.py", "--tuner", "hyperband"),
    "optuna": ("optuna_gan.py",),
}
JUDGE_SEED = 987_654
Scores = list[float | None]
"""A distance for each time; None where there was no generator yet."""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[120, 300, 600])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--workers", type=int, help="of ours, as tuner-gan search --workers")
    options = parser.parse_args()
    times: list[int] = sorted(options.seconds)
    splits = datasets.load("mnist5k").split(seed=0)
    judge = _judge(splits)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; the judge's accuracy on the "
        f"{len(splits.train):,} training images: {judge.card['accuracy']:.1%}, their fcd: {judge.floor['fcd']:.4f}\n"
    )
    heads = " | ".join(f"{seconds} s" for seconds in times)
    print(f"| side | seed | {heads} | ended after, s |\n|---|---|{'---|' * len(times)}---|", flush=True)
    scores: dict[str, list[Scores]] = {side: [] for side in options.sides}
    for seed in options.seeds:
        for side in options.sides:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                file = _write(folder, splits)
                if side == OURS:
                    found, ends = _run_ours(folder, file, times, seed, options.workers)
                else:
                    found, ends = _run_peer(folder, file, times, seed, PEERS[side])
                scores[side].append([_judged(judge, generator) for generator in found])
            ended = ", ".join(f"{seconds:.0f}" for seconds in ends)
            print(f"| {side} | {seed} | {_cells(scores[side][-1])} | {ended} |", flush=True)
    means = {side: _means(runs) for side, runs in scores.items()}
    print(f"\n| mean over seeds | {heads} |\n|---|{'---|' * len(times)}")
    for side in options.sides:
        print(f"| {side} | {_cells(means[side])} |")
    _print_ratios(means, times)
    print(f"\nLoad {os.getloadavg()[0]:.1f} after")


def _judge(splits: DataSplits) -> QualityEvaluator:
    unseen = DataSplits(
        train=splits.reference,
        reference=splits.holdout,
        holdout=splits.train,
        seed=splits.seed,
        fingerprint=f"parts of {splits.fingerprint}",
    )
    return QualityEvaluator.fit(unseen, seed=JUDGE_SEED)


def _write(folder: Path, splits: DataSplits) -> Path:
    """Writes what the sides are given: training images, and others to score with."""
    path = folder / "digits.npz"
    train, test = splits.train, splits.reference
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    return path


def _run_ours(
    folder: Path, file: Path, times: Sequence[int], seed: int, workers: int | None
) -> tuple[list[Path | None], list[float]]:
    """Returns the exported generator of each time, and the seconds that each search took."""
    found: list[Path | None] = []
    ends: list[float] = []
    for seconds in times:
        place = folder / str(seconds)
        place.mkdir()
        more = [] if workers is None else ["--workers", str(workers)]
        run = command.search(place, "--data", str(file), "--max-time", f"{seconds}s", "--seed", str(seed), *more)
        found.append(run.project / files.BEST_DIR / files.GENERATOR)
        ends.append(run.seconds)
    return found, ends


def _run_peer(
    folder: Path, file: Path, times: Sequence[int], seed: int, script: Sequence[str]
) -> tuple[list[Path | None], list[float]]:
    """Returns the best generator at each time, and the seconds after which it ended or was stopped."""
    place = folder / "peer"
    place.mkdir()
    program, *flags = script
    arguments = [str(Path(__file__).with_name(program)), str(file), str(place), "--seed", str(seed), *flags]
    started, clock = time.time(), time.monotonic()
    with (folder / "log.txt").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            process.wait(timeout=times[-1])
            log.seek(0)
            print(f"<!-- {program} ended by itself: {log.read()[-command.LAST :]} -->", flush=True)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
    ended = time.monotonic() - clock
    return [best_at(place, started + seconds) for seconds in times], [ended]


def _judged(judge: QualityEvaluator, generator: Path | None) -> float | None:
    return None if generator is None else judge.score(load_generator(generator))["fcd"]


def _means(runs: list[Scores]) -> Scores:
    """Means over seeds; None where a seed had no generator."""
    return [_mean(column) for column in zip(*runs, strict=True)]


def _mean(column: Sequence[float | None]) -> float | None:
    known = [score for score in column if score is not None]
    return statistics.fmean(known) if len(known) == len(column) else None


def _cells(scores: Scores) -> str:
    return " | ".join("none yet" if score is None else f"{score:.4f}" for score in scores)


def _print_ratios(means: dict[str, Scores], times: Sequence[int]) -> None:
    """Ours after the shortest and after the longest time, over each peer after the longest."""
    peers = [side for side in means if side != OURS]
    if OURS not in means or not peers:
        return
    print(f"\n| ratio of means | {' | '.join(f'{side} at {times[-1]} s' for side in peers)} |")
    print(f"|---|{'---|' * len(peers)}")
    for seconds, mine in dict(_ends(times, means[OURS])).items():
        cells = [_ratio(mine, means[side][-1]) for side in peers]
        print(f"| ours at {seconds} s | {' | '.join(cells)} |")


def _ends(times: Sequence[int], scores: Scores) -> Iterator[tuple[int, float | None]]:
    yield times[0], scores[0]
    yield times[-1], scores[-1]


def _ratio(mine: float | None, other: float | None) -> str:
    return "none yet" if mine is None or other is None else f"**{mine / other:.2f}**"


if __name__ == "__main__":
    main()
