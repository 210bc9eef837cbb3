"""The kernel distance (KID): a squared maximum mean discrepancy that finite samples do not bias.

All functions use the kernel `k(x, y) = (x.y / d + 1)^3` of d features, which compares means, covariances and third
moments. A KID of another kernel, or of features of another classifier, is another number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_pair
from tuner_gan.quality.metrics.distances import blocks, in_threads

_TILE = (128, 512)
"""Pairs whose kernel a thread holds at a time, by rows and columns: two such arrays (1 MB) fit a processor's cache."""
_LARGEST = 1e45
"""The kernel has the sixth power of the features; beyond this its sums overflow."""
_BLOCKS = 20


class BlockEstimate(NamedTuple):
    """A mean over disjoint blocks and its standard error."""

    mean: float
    standard_error: float


class SubsetEstimate(NamedTuple):
    """Mean and standard deviation (ddof = 0) over subsets that overlap; `std` is **not** a standard error."""

    mean: float
    std: float


def kernel_distance(real: npt.ArrayLike, fake: npt.ArrayLike) -> float:
    """The unbiased estimate (U-statistic) of the squared maximum mean discrepancy.

    `mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)`. Time grows with
    `(N + M)^2 d`; the memory beyond the features is a few megabytes.

    Args:
        real: reference features, `[N, d]`, N >= 2, not above 1e45 in size.
        fake: generated features, `[M, d]`, M >= 2.

    Returns:
        The estimate. It scatters around 0 for a perfect generator, so it **may be negative**.

    Raises:
        QualityError: as `frechet_distance`, or features above 1e45.

    References:
        Binkowski et al. 2018, arXiv:1801.01401; the estimate: Gretton et al. 2012, "A kernel two-sample test".
    """
    return _distance(*_as_pair(real, fake), in_threads)


def kernel_distance_blocks(real: npt.ArrayLike, fake: npt.ArrayLike, block_size: int | None = None) -> BlockEstimate:
    """The mean `kernel_distance` of disjoint blocks of both sets, and its standard error.

    Both sets are cut, in their order, into `min(N, M) // block_size` nearly equal parts. The parts share no sample, so
    their distances are independent and the standard error (standard deviation with ddof = 1 over the root of the number
    of blocks) is valid, as long as the rows are in random order.

    Args:
        real: reference features, `[N, d]`.
        fake: generated features, `[M, d]`.
        block_size: samples of the smaller set in a block, >= 2. The default makes 20 blocks, or as many blocks of 2 as
            there are: 20 give the standard error itself to within 1 / sqrt(2 * 19) = 16 %. Fewer and larger blocks
            estimate a small distance more closely, but not how closely.

    Returns:
        `(mean, standard_error)`. The mean is unbiased, too; `kernel_distance` of all samples varies less.

    Raises:
        QualityError: as `kernel_distance`, or fewer than two blocks.

    References:
        Zaremba et al. 2013, "B-tests", arXiv:1307.1954.
    """
    a, b = _as_pair(real, fake)
    smaller = min(len(a), len(b))
    size = max(2, smaller // _BLOCKS) if block_size is None else block_size
    if size < 2 or smaller < 2 * size:
        raise QualityError(
            f"block_size must be at least 2 and leave two blocks, got {size} for {smaller} samples in the smaller set."
        )
    number = smaller // size
    pairs = zip(np.array_split(a, number), np.array_split(b, number), strict=True)
    values = in_threads(lambda pair: _distance(*pair, _in_turn), pairs)
    return BlockEstimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(number)))


def kernel_distance_subsets(
    real: npt.ArrayLike,
    fake: npt.ArrayLike,
    subsets: int = 100,
    subset_size: int = 1000,
    rng: np.random.Generator | np.random.RandomState | None = None,
) -> SubsetEstimate:
    """The KID as it is usually printed: mean and spread over random subsets that overlap.

    For each subset `rng.choice` draws rows of `fake` first, then rows of `real`, without replacement: the draws of
    torch-fidelity with `input1=fake, input2=real`. The spread tells how much a *subset* varies. The subsets share
    samples, so it is **not** the standard error of the mean, not even over the root of `subsets`: for that use
    `kernel_distance_blocks`.

    Args:
        real: reference features, `[N, d]`, N >= `subset_size`.
        fake: generated features, `[M, d]`, M >= `subset_size`.
        subsets: how many, >= 1.
        subset_size: rows of each set in a subset, >= 2.
        rng: where the draws come from; the default, `RandomState(2020)`, is torch-fidelity's.

    Returns:
        `(mean, std)`, the latter with ddof = 0.

    Raises:
        QualityError: as `kernel_distance`, `subsets` below 1, or `subset_size` not in 2..min(N, M).

    References:
        Binkowski et al. 2018, arXiv:1801.01401.
    """
    a, b = _as_pair(real, fake)
    if subsets < 1:
        raise QualityError(f"subsets must be at least 1, got {subsets}.")
    if not 2 <= subset_size <= min(len(a), len(b)):
        raise QualityError(
            f"subset_size must be in 2..{min(len(a), len(b))}, the size of the smaller set, got {subset_size}."
        )
    generator = np.random.RandomState(2020) if rng is None else rng
    draws = []
    for _ in range(subsets):
        of_fake = generator.choice(len(b), subset_size, replace=False)
        draws.append((generator.choice(len(a), subset_size, replace=False), of_fake))
    values = in_threads(lambda rows: _distance(a[rows[0]], b[rows[1]], _in_turn), draws)
    return SubsetEstimate(float(np.mean(values)), float(np.std(values)))


def _as_pair(real: npt.ArrayLike, fake: npt.ArrayLike) -> tuple[Array, Array]:
    a, b = as_pair(real, fake)
    largest = max(np.abs(a).max(), np.abs(b).max())
    if largest > _LARGEST:
        raise QualityError(f"features must not exceed {_LARGEST:g} in size for this kernel, got {largest:g}.")
    return a, b


class _Rows(NamedTuple):
    """One set, centred: x = c + u."""

    centred: Array
    """`u / d^(1/2)`, `[N, d]`."""
    shift: Array
    """`c.u / d`, `[N]`."""


_Band = tuple[_Rows, _Rows, slice, float]
"""Two sets, some rows of the first, and what the sum over their pairs is multiplied with."""
_Run = Callable[[Callable[[_Band], float], Iterable[_Band]], list[float]]


def _in_turn(work: Callable[[_Band], float], bands: Iterable[_Band]) -> list[float]:
    """In place of `in_threads` where each thread has a distance of its own to compute."""
    return [work(band) for band in bands]


def _distance(real: Array, fake: Array, run: _Run) -> float:
    """The U-statistic, with a kernel that gives the same value but keeps its digits far from the origin.

    With `x = c + u`, `y = c + v`, `A = c.c/d + 1`, `s = c.u/d`, `t = c.v/d` and `r = u.v/d` the kernel is
    `(A + s + t + r)^3`. What depends on one argument alone, `(A + s)^3 + (A + t)^3 - A^3`, cancels between the three
    means. It is left out here, because it is what dwarfs the rest: `3 s t (2 A + s + t) + 3 r (A + s + t + r/2)^2 +
    r^3 / 4` remains.
    """
    centre = real.mean(axis=0)
    d = len(centre)
    constant = float(centre @ centre) / d + 1.0
    x, y = (_Rows((a - centre) / np.sqrt(d), (a - centre) @ centre / d) for a in (real, fake))
    n, m = len(real), len(fake)
    in_x, in_y = 1.0 / (n * (n - 1)), 1.0 / (m * (m - 1))
    bands = [
        (one, two, rows, factor)
        for one, two, factor in ((x, x, in_x), (y, y, in_y), (x, y, -2.0 / (n * m)))
        for rows in blocks(len(one.shift), _TILE[0])
    ]
    all_pairs = sum(run(lambda band: _sum_of_pairs(*band[:3], constant) * band[3], bands))
    return all_pairs - in_x * _sum_of_selves(x, constant) - in_y * _sum_of_selves(y, constant)


def _sum_of_pairs(x: _Rows, y: _Rows, rows: slice, constant: float) -> float:
    """The sum of that kernel over all pairs of the rows of x and of all y."""
    s, t = x.shift[rows], y.shift
    total = 3.0 * float(2.0 * constant * s.sum() * t.sum() + (s @ s) * t.sum() + s.sum() * (t @ t))
    memory = np.empty((2, len(s) * min(_TILE[1], len(t))))
    for columns in blocks(len(t), _TILE[1]):
        shape = (len(s), len(t[columns]))
        r, other = (part[: shape[0] * shape[1]].reshape(shape) for part in memory)
        np.matmul(x.centred[rows], y.centred[columns].T, out=r)
        np.multiply(r, r, out=other)
        total += float(np.vdot(r, other)) / 4.0
        np.multiply(r, 0.5, out=other)
        other += (constant + s)[:, None]
        other += t[columns]
        other *= other
        total += 3.0 * float(np.vdot(r, other))
    return total


def _sum_of_selves(x: _Rows, constant: float) -> float:
    """The sum of that kernel over the pairs of each sample with itself."""
    s, r = x.shift, np.einsum("ij,ij->i", x.centred, x.centred)
    return float(np.sum(6.0 * s**2 * (constant + s) + 3.0 * r * (constant + 2.0 * s + r / 2.0) ** 2 + r**3 / 4.0))
