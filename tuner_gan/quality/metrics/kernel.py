"""The kernel distance (KID): a squared maximum mean discrepancy that finite samples do not bias.

All functions use the kernel `k(x, y) = (x.y / d + 1)^3` of d features, which compares means, covariances and third
moments. A KID of another kernel, or of features of another classifier, is another number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_pair

_TILE = (128, 512)
"""Pairs whose kernel is held at a time, by rows and columns: two such arrays (1 MB) fit a processor's cache."""
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
    return _distance(*_as_pair(real, fake))


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
    blocks = smaller // size
    pairs = zip(np.array_split(a, blocks), np.array_split(b, blocks), strict=True)
    values = [_distance(x, y) for x, y in pairs]
    return BlockEstimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(blocks)))


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
    values = []
    for _ in range(subsets):
        y = b[generator.choice(len(b), subset_size, replace=False)]
        x = a[generator.choice(len(a), subset_size, replace=False)]
        values.append(_distance(x, y))
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
    """u, `[N, d]`."""
    shift: Array
    """`c.u / d`, `[N]`."""


def _distance(real: Array, fake: Array) -> float:
    """The U-statistic, with a kernel that gives the same value but keeps its digits far from the origin.

    With `x = c + u`, `y = c + v`, `A = c.c/d + 1`, `s = c.u/d`, `t = c.v/d` and `r = u.v/d` the kernel is
    `(A + s + t + r)^3`. What depends on one argument alone, `(A + s)^3 + (A + t)^3 - A^3`, cancels between the three
    means; it is left out here, because it is what dwarfs the rest.
    """
    centre = real.mean(axis=0)
    d = len(centre)
    constant = float(centre @ centre) / d + 1.0
    x, y = (_Rows(a - centre, (a - centre) @ centre / d) for a in (real, fake))
    n, m = len(real), len(fake)
    within_x = (_sum_of_pairs(x, x, constant) - _sum_of_selves(x, constant)) / (n * (n - 1))
    within_y = (_sum_of_pairs(y, y, constant) - _sum_of_selves(y, constant)) / (m * (m - 1))
    return within_x + within_y - 2.0 * _sum_of_pairs(x, y, constant) / (n * m)


def _sum_of_pairs(x: _Rows, y: _Rows, constant: float) -> float:
    """The sum of the kernel over all pairs: `3 s t (2 A + s + t) + 3 r (A + s + t + r/2)^2 + r^3 / 4`."""
    s, t = x.shift, y.shift
    total = 3.0 * float(2.0 * constant * s.sum() * t.sum() + (s @ s) * t.sum() + s.sum() * (t @ t))
    right = y.centred.T / y.centred.shape[1]
    rows, columns = _TILE
    memory = np.empty((2, rows * columns))
    for i in range(0, len(s), rows):
        left, offsets = x.centred[i : i + rows], (constant + s[i : i + rows])[:, None]
        for j in range(0, len(t), columns):
            shape = (len(left), min(columns, len(t) - j))
            r, other = (part[: shape[0] * shape[1]].reshape(shape) for part in memory)
            np.matmul(left, right[:, j : j + columns], out=r)
            np.multiply(r, r, out=other)
            total += float(np.vdot(r, other)) / 4.0
            np.multiply(r, 0.5, out=other)
            other += offsets
            other += t[j : j + columns]
            other *= other
            total += 3.0 * float(np.vdot(r, other))
    return total


def _sum_of_selves(x: _Rows, constant: float) -> float:
    """The sum of the same kernel over the pairs of each sample with itself."""
    s, r = x.shift, np.einsum("ij,ij->i", x.centred, x.centred) / x.centred.shape[1]
    return float(np.sum(6.0 * s**2 * (constant + s) + 3.0 * r * (constant + 2.0 * s + r / 2.0) ** 2 + r**3 / 4.0))
