"""Nearest neighbours: which samples of one set lie among those of another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_pair

_BLOCK = 2**20
"""Entries of a distance matrix held at a time (8 MB)."""


def coverage(real: npt.ArrayLike, fake: npt.ArrayLike, k: int = 5) -> float:
    """The share of real samples with a generated one nearer than their k-th nearest real neighbour.

    Strict `<`, the sample itself excluded. For a perfect generator and N = M the expectation is about `1 - 2^-k`
    (0.969 for k = 5). Time grows with `N (N + M) d`; memory is bounded.

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
    if not 1 <= k < len(a):
        raise QualityError(f"k must be at least 1 and below the number of real samples ({len(a)}), got {k}.")
    # |x - y|^2 = |x|^2 + |y|^2 - 2 x.y is fast and inexact. Centring keeps its error small, and every row that the
    # error could decide either way (copies, ties) is computed again from the differences, which are exact there.
    centre = a.mean(axis=0)
    x, y = a - centre, b - centre
    norm_x, norm_y = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    tolerance = 16.0 * (a.shape[1] + 8) * np.finfo(np.float64).eps * float(max(norm_x.max(), norm_y.max()))
    covered = 0
    step = max(1, _BLOCK // max(len(a), len(b)))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        own = x[rows] @ (-2.0 * x.T)
        own += norm_x
        own[np.arange(len(own)), np.arange(start, start + len(own))] = np.inf
        radius = np.partition(own, k - 1, axis=1)[:, k - 1]
        other = x[rows] @ (-2.0 * y.T)
        other += norm_y
        gap = radius - other.min(axis=1)
        covered += int(np.count_nonzero(gap > tolerance))
        for row in start + np.flatnonzero(np.abs(gap) <= tolerance):
            covered += _is_covered(a, b, int(row), k)
    return covered / len(a)


def _is_covered(real: Array, fake: Array, row: int, k: int) -> bool:
    """Decides one real sample from exact differences."""
    own = np.square(np.delete(real, row, axis=0) - real[row]).sum(axis=1)
    other = np.square(fake - real[row]).sum(axis=1)
    return bool(other.min() < np.partition(own, k - 1)[k - 1])
