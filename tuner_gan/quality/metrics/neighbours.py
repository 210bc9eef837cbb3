"""Nearest neighbours: which samples of one set lie among those of another.

All comparisons are those of float64 differences, `<` is strict and a sample is no neighbour of itself. Time grows with
`(N + M)^2 d`; memory is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_pair
from tuner_gan.quality.metrics.distances import (
    BAND,
    Bounds,
    Flags,
    Indices,
    Points,
    blocks,
    exact_squares,
    in_threads,
    near_pairs,
    prepare,
)
from tuner_gan.quality.metrics.radii import Radius, radii


class PrecisionRecall(NamedTuple):
    """What `precision_recall_density_coverage` returns."""

    precision: float
    recall: float
    density: float
    coverage: float


class TwoSample(NamedTuple):
    """What `nearest_neighbour_two_sample` returns."""

    accuracy: float
    real: float
    fake: float


class NeighbourComparison(NamedTuple):
    """What `compare_neighbours` returns: the fields of `PrecisionRecall`, then those of `TwoSample`."""

    precision: float
    recall: float
    density: float
    coverage: float
    accuracy: float
    real: float
    fake: float


def compare_neighbours(real: npt.ArrayLike, fake: npt.ArrayLike, k: int = 5) -> NeighbourComparison:
    """All neighbour metrics from one pass over the distances.

    Args:
        real: reference features, `[N, d]`, N > k.
        fake: generated features, `[M, d]`, M > k.
        k: the neighbour that sets the radii of precision, recall, density and coverage, >= 1.

    Returns:
        The results of `precision_recall_density_coverage` and `nearest_neighbour_two_sample`.

    Raises:
        QualityError: as `frechet_distance`, or `k` is below 1 or not below the number of samples.
    """
    a, b = as_pair(real, fake)
    _check_k(k, a, "real")
    _check_k(k, b, "fake")
    x, y = prepare(a, b)
    (real_first, real_kth), (fake_first, fake_kth) = radii((x, y), (1, k))
    precise, recalled, covered = _flags(b), _flags(a), _flags(a)
    real_beaten, real_tied, fake_beaten, fake_tied = _flags(a), _flags(a), _flags(b), _flags(b)

    def search(rows: slice) -> int:
        within = 0
        for i, j, lower in near_pairs(x, rows, y, real_kth.upper, fake_kth.upper):
            # Other threads may store into the same arrays, but nothing except True is ever stored.
            pairs = _Crossing(x, y, i, j, lower)
            near, _ = pairs.compare(real_kth, i)
            within += len(near)
            covered[i[near]] = precise[j[near]] = True
            near, _ = pairs.compare(fake_kth, j)
            recalled[i[near]] = True
            near, tied = pairs.compare(real_first, i)
            real_beaten[i[near]] = real_tied[i[tied]] = True
            near, tied = pairs.compare(fake_first, j)
            fake_beaten[j[near]] = fake_tied[j[tied]] = True
        return within

    within = sum(in_threads(search, blocks(len(a), BAND)))
    right_real, right_fake = _right(real_beaten, real_tied), _right(fake_beaten, fake_tied)
    return NeighbourComparison(
        precision=float(precise.mean()),
        recall=float(recalled.mean()),
        density=within / (k * len(b)),
        coverage=float(covered.mean()),
        accuracy=(right_real + right_fake) / (len(a) + len(b)),
        real=right_real / len(a),
        fake=right_fake / len(b),
    )


def precision_recall_density_coverage(real: npt.ArrayLike, fake: npt.ArrayLike, k: int = 5) -> PrecisionRecall:
    """How many samples of each set lie in the neighbourhoods of the other.

    With `r_k(x)` the distance of x to its k-th nearest other sample of its own set, x real and y generated:

    * precision: the share of the y with `d(x, y) < r_k(x)` for some x,
    * recall: the share of the x with `d(x, y) < r_k(y)` for some y,
    * density: the mean over the y of how many x have `d(x, y) < r_k(x)`, divided by k,
    * coverage: the share of the x with `d(x, y) < r_k(x)` for some y.

    Args:
        real: reference features, `[N, d]`, N > k.
        fake: generated features, `[M, d]`, M > k.
        k: the neighbour that sets the radius, >= 1.

    Returns:
        (precision, recall, density, coverage). All lie in `[0, 1]` except density, which may exceed 1: generating only
        where real samples are dense raises it. A perfect generator has a density near 1.

    Raises:
        QualityError: as `frechet_distance`, or `k` is below 1 or not below the number of samples.

    References:
        Kynkaanniemi et al. 2019, arXiv:1904.06991 (precision, recall; there with `<=`); Naeem et al. 2020,
        arXiv:2002.09797 (density, coverage).
    """
    return PrecisionRecall(*compare_neighbours(real, fake, k)[:4])


def nearest_neighbour_two_sample(real: npt.ArrayLike, fake: npt.ArrayLike) -> TwoSample:
    """How often the nearest other sample tells whether a sample is real: leave-one-out 1-NN two-sample test.

    A sample counts 1 if its nearest other sample is of its own set, 0 if it is of the other set, and 1/2 if both are
    equally near. So exact copies of distinct real samples count 0, and two sets of one repeated sample 1/2.

    Args:
        real: reference features, `[N, d]`, N >= 2.
        fake: generated features, `[M, d]`, M >= 2; N = M, or 1/2 is not what a perfect generator shows.

    Returns:
        (accuracy over all samples, over the real ones, over the generated ones), each in `[0, 1]`. About 0.5 for a
        perfect generator, 1 for sets apart, near 0 for copies. Low for real and high for generated samples means
        dense clusters of generated samples: a mode collapse.

    Raises:
        QualityError: as `frechet_distance`.

    References:
        Lopez-Paz and Oquab 2017, arXiv:1610.06545; for GANs: Xu et al. 2018, arXiv:1806.07755.
    """
    return TwoSample(*compare_neighbours(real, fake, 1)[4:])


def coverage(real: npt.ArrayLike, fake: npt.ArrayLike, k: int = 5) -> float:
    """The share of real samples with a generated one nearer than their k-th nearest real neighbour.

    The same number as in `precision_recall_density_coverage`, without the distances between generated samples. What a
    perfect generator shows is `expected_coverage(N, M, k)`.

    Args:
        real: reference features, `[N, d]`, N > k.
        fake: generated features, `[M, d]`, M >= 2.
        k: the neighbour that sets the radius, >= 1.

    Returns:
        A number in `[0, 1]`.

    Raises:
        QualityError: as `frechet_distance`, or `k` is not in 1..N-1.

    References:
        Naeem et al. 2020, arXiv:2002.09797.
    """
    a, b = as_pair(real, fake)
    _check_k(k, a, "real")
    x, y = prepare(a, b)
    ((radius,),) = radii((x,), (k,))
    covered = _flags(a)

    def search(rows: slice) -> None:
        for i, j, lower in near_pairs(x, rows, y, radius.upper):
            near, _ = _Crossing(x, y, i, j, lower).compare(radius, i)
            covered[i[near]] = True

    in_threads(search, blocks(len(a), BAND))
    return float(covered.mean())


def expected_coverage(n: int, m: int, k: int) -> float:
    """The coverage that a perfect generator shows on average, `1 - prod_(j=1..k) (n - j) / (m + n - j)`.

    Whatever the distribution is, as long as no two distances are equal. About `1 - 2^-k` for n = m.

    Args:
        n: number of real samples, > k.
        m: number of generated samples, >= 1.
        k: the neighbour that sets the radius, >= 1.

    Returns:
        A number in `(0, 1)`.

    Raises:
        QualityError: the numbers are outside these ranges.

    References:
        Naeem et al. 2020, arXiv:2002.09797.
    """
    if not (1 <= k < n and m >= 1):
        raise QualityError(f"n must exceed k, and m and k must be at least 1, got n={n}, m={m}, k={k}.")
    j = np.arange(1, k + 1)
    return float(1.0 - np.prod((n - j) / (m + n - j)))


class _Crossing:
    """Pairs of a real and a generated sample whose distances are compared with radii of either."""

    def __init__(self, x: Points, y: Points, i: Indices, j: Indices, lower: Bounds) -> None:
        self._x, self._y, self._i, self._j = x, y, i, j
        self._lower, self._upper = lower, lower + x.slack[i] + y.slack[j]
        self._squares = np.full(len(i), np.nan)

    def compare(self, radius: Radius, of: Indices) -> tuple[Indices, Indices]:
        """Which pairs are nearer than the radius of their sample `of`, and which exactly as near."""
        nearer = self._upper < radius.lower[of]
        undecided = np.flatnonzero(~nearer & (self._lower <= radius.upper[of]))
        gap = self._exact(undecided) - radius.exact(of[undecided])
        nearer[undecided] = gap < 0.0
        return np.flatnonzero(nearer), undecided[gap == 0.0]

    def _exact(self, pairs: Indices) -> Array:
        unknown = pairs[np.isnan(self._squares[pairs])]
        self._squares[unknown] = exact_squares(self._x, self._i[unknown], self._y, self._j[unknown])
        known: Array = self._squares[pairs]
        return known


def _right(beaten: Flags, tied: Flags) -> float:
    """How many samples have their nearest other sample in their own set, ties as a half."""
    return float(np.count_nonzero(~beaten) - 0.5 * np.count_nonzero(~beaten & tied))


def _flags(samples: Array) -> Flags:
    return np.zeros(len(samples), np.bool_)


def _check_k(k: int, samples: Array, name: str) -> None:
    if not 1 <= k < len(samples):
        raise QualityError(f"k must be at least 1 and below the number of {name} samples ({len(samples)}), got {k}.")
