"""Measures how long the metrics of features take, against scikit-learn and SciPy, and their peak memory.

    python benchmarks/quality.py

prints a Markdown table. Each line is the median of the ratios of runs that take turns, so that what else the computer
does falls on both sides; give it a quiet computer all the same. It takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.linalg
from sklearn.neighbors import NearestNeighbors

from tuner_gan.quality import metrics

Array = npt.NDArray[np.float64]
Stats = tuple[Array, Array]

SAMPLES, FEATURES = 5_000, 64
MEMORY_SAMPLES = 10_000
LABEL_FREE: dict[str, Callable[[Array, Array], object]] = {
    "frechet_distance": metrics.frechet_distance,
    "frechet_distance_infinity": metrics.frechet_distance_infinity,
    "kernel_distance_blocks": metrics.kernel_distance_blocks,
    "monge_distance": metrics.monge_distance,
    "compare_neighbours": metrics.compare_neighbours,
    "vendi_score": lambda real, fake: metrics.vendi_score(fake),
}
"""Every metric that needs no labels. `compare_neighbours` is precision, recall, density, coverage and the 1-NN test."""


class Line(NamedTuple):
    """Seconds of both sides, medians, and the median of the ratios of pairs."""

    name: str
    ours: float
    other: float
    ratio: float
    note: str = ""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="pairs of runs for each line")
    parser.add_argument("--peak-only", action="store_true", help="print only by how much the memory grows, in MiB")
    options = parser.parse_args()
    if options.peak_only:
        print(f"{_growth(*_features(MEMORY_SAMPLES)):.0f}")
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, {options.repeats} pairs of runs a line\n")
    print("| ours | against | ours, ms | other, ms | ratio | |\n|---|---|---|---|---|---|")
    for against, lines in (
        ("scikit-learn 5-NN + np.cov", _against_scikit_learn(options.repeats)),
        ("scipy.linalg.sqrtm", _against_scipy(options.repeats)),
    ):
        for line in lines:
            times = f"{1e3 * line.ours:.1f} | {1e3 * line.other:.1f} | {line.ratio:.2f}"
            print(f"| {line.name} | {against} | {times} | {line.note} |", flush=True)
    command = [sys.executable, str(Path(__file__).resolve()), "--peak-only"]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    print(
        f"\nPeak memory of the suite for {MEMORY_SAMPLES} x {FEATURES} against as many, beyond its input: {grown} MiB"
    )
    print(f"Load {os.getloadavg()[0]:.1f} after")


def suite(real: Array, fake: Array) -> None:
    """Every label-free metric once."""
    for metric in LABEL_FREE.values():
        metric(real, fake)


def _against_scikit_learn(repeats: int) -> Iterator[Line]:
    real, fake = _features(SAMPLES)

    def reference() -> None:
        NearestNeighbors(n_neighbors=5).fit(real).kneighbors(fake)
        np.cov(real, rowvar=False)

    def every_pair() -> None:
        together = np.concatenate([real, fake])
        NearestNeighbors(n_neighbors=5).fit(together).kneighbors(together)
        np.cov(real, rowvar=False)

    shape = f"{SAMPLES} x {FEATURES} against as many"
    yield _compare(
        "**suite**", lambda: suite(real, fake), every_pair, repeats, f"{shape}, the peer: neighbours of both among both"
    )
    for name, metric in {"**suite**": suite, **LABEL_FREE, "coverage": metrics.coverage}.items():
        yield _compare(name, lambda metric=metric: metric(real, fake), reference, repeats, shape)  # type: ignore[misc]


def _against_scipy(repeats: int) -> Iterator[Line]:
    for d in (64, 256):
        real, fake = _features(SAMPLES, d)
        stats = _stats(real), _stats(fake)
        ours, other = metrics.frechet_distance(real, fake), _frechet_by_sqrtm(*stats)
        note = f"d = {d}, values differ by {abs(ours - other) / other:.0e}"
        yield _compare(
            "frechet_distance",
            lambda real=real, fake=fake: metrics.frechet_distance(real, fake),  # type: ignore[misc]
            lambda real=real, fake=fake: _frechet_by_sqrtm(_stats(real), _stats(fake)),  # type: ignore[misc]
            repeats,
            f"{SAMPLES} samples, {note}",
        )
        yield _compare(
            "frechet_distance_from_stats",
            lambda stats=stats: metrics.frechet_distance_from_stats(*stats[0], *stats[1]),  # type: ignore[misc]
            lambda stats=stats: _frechet_by_sqrtm(*stats),  # type: ignore[misc]
            repeats,
            f"the same statistics, {note}",
        )


def _frechet_by_sqrtm(real: Stats, fake: Stats) -> float:
    (m1, s1), (m2, s2) = real, fake
    root = scipy.linalg.sqrtm(s1 @ s2)
    return float(np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2.0 * np.trace(root).real)


def _stats(features: Array) -> Stats:
    return features.mean(axis=0), np.cov(features, rowvar=False)


def _features(samples: int, d: int = FEATURES) -> tuple[Array, Array]:
    """Correlated normal features of unit variance, the generated ones a little off."""
    rng = np.random.default_rng(0)
    mix = np.linalg.qr(rng.standard_normal((d, d)))[0] * np.linspace(0.5, 1.5, d)
    real, fake = (rng.standard_normal((samples, d)) @ mix for _ in range(2))
    return real, 0.95 * fake + 0.05


def _compare(name: str, ours: Callable[[], object], other: Callable[[], object], repeats: int, note: str = "") -> Line:
    times = np.empty((repeats + 1, 2))
    for row in times:
        for column, call in enumerate((ours, other)):
            started = time.perf_counter()
            call()
            row[column] = time.perf_counter() - started
    times = times[1:]  # the first run of each warms up
    first, second = np.median(times, axis=0)
    return Line(name, first, second, float(np.median(times[:, 0] / times[:, 1])), note)


def _growth(real: Array, fake: Array) -> float:
    """By how much the suite raises the memory of this process at its peak, in MiB. Linux only."""

    def kibibytes(field: str) -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split(f"{field}:")[1].split()[0])

    # What was imported has had a higher peak already, which would hide this one.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = kibibytes("VmRSS")
    suite(real, fake)
    return (kibibytes("VmHWM") - before) / 2**10


if __name__ == "__main__":
    main()
