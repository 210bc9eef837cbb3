"""Copies of the training set: whether generated samples are nearer to it than new real samples are.

The training side is always the whole training set: a copy of a sample that was left out would look new.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_features, shape_of
from tuner_gan.quality.metrics.distances import (
    BAND,
    Indices,
    Points,
    blocks,
    exact_squares,
    in_threads,
    near_pairs,
    prepare,
    upper_bounds,
)


class CopyingTest(NamedTuple):
    """What `copying_test` returns.

    Attributes:
        z: the statistic C_T; standard normal for samples that are as new as the test samples, and far below 0 for
            copies. It grows with the square root of the number of samples.
        share: the share of pairs (generated, test) whose generated sample is farther from the training set, ties as a
            half: about 0.5 for new samples, 0 for copies. It does not grow with the number of samples.
    """

    z: float
    share: float


def authenticity(train: npt.ArrayLike, fake: npt.ArrayLike) -> float:
    """AuthPct: the percentage of generated samples that are no closer to a training sample than its own neighbours.

    With t the training sample nearest to g (the first of several), g is authentic if `d(g, t) > min d(t, t')` over the
    other training samples t'. New samples of the same law do not reach 100, but about 50: compare with real samples
    that were held out.

    Args:
        train: features of all training samples, `[N, d]`, N >= 2.
        fake: generated features, `[M, d]`, M >= 2.

    Returns:
        A percentage in `[0, 100]`, 0 for copies. Time grows with `M N d`, never with `N^2`; memory is bounded.

    Raises:
        QualityError: an array is not `[samples, features]`, holds NaN or infinity, has fewer than two samples, or the
            numbers of features differ.

    References:
        Alaa et al. 2022, arXiv:2102.08921.
    """
    a, b = _as_sets(train=train, fake=fake)
    x, g = prepare(a, b)
    nearest, squares = _nearest(x, g, np.full(len(b), -1))
    used, which = np.unique(nearest, return_inverse=True)
    others = _nearest(x, _at(x, used), used)[1]
    return 100.0 * float(np.mean(squares > others[which]))


def memorisation(train: npt.ArrayLike, test: npt.ArrayLike, fake: npt.ArrayLike) -> float:
    """C_T with a single cell: `copying_test(train, test, fake).z`."""
    return copying_test(train, test, fake).z


def copying_test(train: npt.ArrayLike, test: npt.ArrayLike, fake: npt.ArrayLike) -> CopyingTest:
    """Whether generated samples lie nearer to the training set than new real samples do: C_T with a single cell.

    With L(s) the distance of s to its nearest training sample and U the number of pairs of one of the m generated
    samples g and one of the n test samples p with `L(g) > L(p)`, equal ones as a half (Mann-Whitney):
    `Z_U = (U - n m / 2 + 1 / 2) / sqrt(n m (n + m + 1) / 12)`.

    Args:
        train: features of all training samples, `[N, d]`, N >= 2.
        test: features of real samples that were not trained on, `[n, d]`, n >= 2.
        fake: generated features, `[m, d]`, m >= 2.

    Returns:
        (Z_U, U / (n m)). Z_U far below 0: copies; far above 0: samples unlike the training set.

    Raises:
        QualityError: as `authenticity`.

    References:
        Meehan, Chaudhuri and Dasgupta 2020, arXiv:2004.05675.
    """
    a, p, g = _as_sets(train=train, test=test, fake=fake)
    n, m = len(p), len(g)
    x, both = prepare(a, np.concatenate([p, g]))
    squares = _nearest(x, both, np.full(n + m, -1))[1]
    of_test, of_fake = np.sort(squares[:n]), squares[n:]
    below = np.searchsorted(of_test, of_fake, "left") + np.searchsorted(of_test, of_fake, "right")
    u = 0.5 * float(below.sum())
    return CopyingTest((u - n * m / 2 + 0.5) / float(np.sqrt(n * m * (n + m + 1) / 12)), u / (n * m))


def _nearest(train: Points, queries: Points, own: Indices) -> tuple[Indices, Array]:
    """The nearest training sample of each query (the first of several) and its squared distance.

    `own` names the training sample that does not count for each query; -1 for none.
    """
    limit = upper_bounds(queries, train, 1, own)
    nearest = np.full(len(own), -1)
    squares = np.full(len(own), np.inf)

    def search(rows: slice) -> None:
        for i, j, _ in near_pairs(queries, rows, train, limit):
            other = j != own[i]
            i, j = i[other], j[other]
            found = exact_squares(queries, i, train, j)
            order = np.lexsort((j, found, i))
            i, j, found = i[order], j[order], found[order]
            first = np.flatnonzero(np.diff(i, prepend=-1))
            closer = first[found[first] < squares[i[first]]]
            nearest[i[closer]], squares[i[closer]] = j[closer], found[closer]

    in_threads(search, blocks(len(own), BAND))
    return nearest, squares


def _at(points: Points, rows: Indices) -> Points:
    return Points(points.exact[rows], points.left[rows], points.right[rows], points.slack[rows], points.scale)


def _as_sets(**sets: npt.ArrayLike) -> list[Array]:
    arrays = {name: as_features(values, name) for name, values in sets.items()}
    train = arrays["train"]
    for name, array in arrays.items():
        if array.shape[1] != train.shape[1]:
            raise QualityError(
                f"train and {name} must have the same number of features, got {shape_of(train)} and "
                f"{shape_of(array)}: compute both with the same classifier."
            )
    return list(arrays.values())
