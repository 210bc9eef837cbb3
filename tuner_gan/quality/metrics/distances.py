"""Which samples can lie near which: certified bounds of all distances, and exact distances of the few that matter.

The distances of all pairs come from one product of matrices, `|x - y|^2 / 2 = |x|^2 / 2 + |y|^2 / 2 - x.y`. That is
fast in float32 and inexact, so it is used as a bound only: the norms are made smaller by more than any rounding error,
which turns the product into a lower bound, and adding twice as much back gives an upper bound. Bounds decide nearly
every comparison. The rest is decided by `exact_squares`, from float64 differences, as brute force would.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from tuner_gan.quality.metrics.arrays import Array

Indices = npt.NDArray[np.intp]
Bounds = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Task = TypeVar("Task")
Result = TypeVar("Result")

BAND = 500
"""Rows of a distance matrix that one thread works on."""
_CHUNK = 500
"""Columns of a tile: 500 x 500 float32 (1 MB) stay in the cache of a core between the product and the comparisons."""
_BATCH = 2**16
"""Pairs that are handed on together, at least (except the last)."""
_SAMPLED = 5
"""One point of so many is looked at for a first bound of the distance to the nearest ones."""
_GROUPS = 8
"""Groups of sampled points for every neighbour that is sought: so many that two neighbours seldom share one."""
_PAIRS = 2**12
"""Pairs of samples whose differences are held at a time."""
_ONE_AT_A_TIME = threading.Lock()


class Points(NamedTuple):
    """Samples with what bounds their distances; made by `prepare`.

    Attributes:
        exact: float64 `[N, d]`, the samples themselves.
        left, right: float32 `[N, d + 2]`; `left_i . right_j` is a lower bound of half the squared distance.
        slack: float32 `[N]`; `left_i . right_j + slack_i + slack_j` is an upper bound.
        scale: what turns a squared distance into the unit of the bounds.
    """

    exact: Array
    left: Bounds
    right: Bounds
    slack: Bounds
    scale: float


class Pairs(NamedTuple):
    """Pairs of samples: indices into two sets and lower bounds of half their squared distances."""

    x: Indices
    y: Indices
    lower: Bounds

    def at(self, which: Indices | Flags) -> Pairs:
        """Some of the pairs, or all in another order."""
        return Pairs(self.x[which], self.y[which], self.lower[which])


def prepare(*sets: Array) -> list[Points]:
    """Sets of samples `[N, d]` with equal d, whose distances are going to be compared."""
    # Centred and scaled so that the largest coordinate is about 1: float32 holds them, and the norms, which the error
    # grows with, are small. A power of two scales without rounding. Numbers below 1e-120 are left small: their squares
    # come near to what float64 cannot hold, so that exact distances must decide, and they do where float32 has zeros.
    centre = sets[0].mean(axis=0)
    centred = [samples - centre for samples in sets]
    exponent = max(int(np.frexp(max(max(x.max(), -x.min()) for x in centred))[1]), -400)
    for x in centred:
        x *= 2.0**-exponent
    return [_with_bounds(samples, x, 0.5 * 4.0**-exponent) for samples, x in zip(sets, centred, strict=True)]


def _with_bounds(samples: Array, x: Array, scale: float) -> Points:
    # A sum of n products of float32 numbers, in any order, is off by at most n u / (1 - n u) times the sum of their
    # sizes, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and these sizes sum up to
    # at most |x|^2 + |y|^2. n = d + 2, and 22 more pay for the roundings to float32 before and after the product.
    # `tiny` pays for numbers too small for float32.
    d = x.shape[1]
    relative = (d + 24) * 2.0**-24 / (1.0 - (d + 24) * 2.0**-24)
    tiny = (d + 24) * 2.0**-120
    squares = np.einsum("ij,ij->i", x, x)
    right = np.empty((len(x), d + 2), np.float32)
    right[:, :d], right[:, d] = x, 1.0
    right[:, d + 1] = squares * (0.5 - relative) - tiny
    left = np.empty_like(right)
    left[:, :d], left[:, d], left[:, d + 1] = -right[:, :d], right[:, d + 1], 1.0
    return Points(samples, left, right, (2.0 * (relative * squares + tiny)).astype(np.float32), scale)


def exact_squares(x: Points, i: Indices, y: Points, j: Indices) -> Array:
    """Squared distances of the pairs `(x_i, y_j)`, `[P]`, from float64 differences; the same for `(y_j, x_i)`."""
    squares = np.empty(len(i))
    for part in blocks(len(i), _PAIRS):
        difference = x.exact[i[part]] - y.exact[j[part]]
        squares[part] = np.einsum("ij,ij->i", difference, difference)
    return squares


def upper_bounds(x: Points, y: Points, k: int, own: Indices) -> Bounds:
    """Upper bounds of half the squared distance of each x to its k-th nearest y, `[N]`.

    Args:
        own: `[N]`, the one y that does not count for each x, or -1.

    Returns:
        Bounds that about `1.1 k * _SAMPLED` of the y lie within; infinity if y has too few points to sample from.
    """
    groups = _GROUPS * k
    members = len(y.exact) // (_SAMPLED * groups)
    if members < 1:
        return np.full(len(x.exact), np.inf, np.float32)
    # At random, because samples may come sorted. The k-th smallest minimum over disjoint groups has k points within it.
    sample = np.random.default_rng(0).permutation(len(y.exact))[: members * groups]
    place = np.full(len(y.exact) + 1, -1)
    place[sample] = np.arange(len(sample))  # place[-1] stays -1
    sampled = y.left[sample]
    slack = y.slack[sample].reshape(members, groups).max(axis=0)

    def bound(rows: slice) -> Bounds:
        lower = sampled @ x.right[rows].T
        excluded = np.flatnonzero(place[own[rows]] >= 0)
        lower[place[own[rows]][excluded], excluded] = np.inf
        nearest = lower.reshape(members, groups, -1).min(axis=0).T + slack
        result: Bounds = np.partition(nearest, k - 1, axis=1)[:, k - 1] + x.slack[rows]
        return result

    return np.concatenate(in_threads(bound, blocks(len(x.exact), BAND)))


def near_pairs(
    x: Points, rows: slice, y: Points, x_limit: Bounds, y_limit: Bounds | None = None, first: int = 0
) -> Iterator[Pairs]:
    """The pairs of `x[rows]` and `y[first:]` whose lower bound is at most the limit of either of the two.

    Args:
        x_limit: `[N]`, one limit for each x.
        y_limit: `[M]`, one limit for each y.

    Yields:
        Batches that fit into memory whatever the limits are.
    """
    left = x.left[rows]
    buffer = np.empty(len(left) * _CHUNK, np.float32)
    found: list[Pairs] = []
    for columns in blocks(len(y.exact), _CHUNK, first):
        right = y.right[columns]
        lower = np.matmul(left, right.T, out=buffer[: len(left) * len(right)].reshape(len(left), len(right)))
        near = lower <= x_limit[rows, None]
        if y_limit is not None:
            near |= lower <= y_limit[columns]
        flat = np.flatnonzero(near)
        i, j = np.divmod(flat, len(right))
        found.append(Pairs(i + rows.start, j + columns.start, lower.ravel()[flat]))
        if sum(len(pairs.x) for pairs in found) >= _BATCH:
            yield join(found)
            found = []
    yield join(found)


def join(parts: Sequence[Pairs]) -> Pairs:
    """Pairs in one."""
    if not parts:
        return Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))
    return Pairs(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def blocks(stop: int, size: int, start: int = 0) -> list[slice]:
    """`start` to `stop` in slices of `size`; the last may be shorter."""
    return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]


def in_threads(work: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
    """The results of work that is mostly NumPy, in the order of the tasks, by as many threads as BLAS would use.

    Meanwhile BLAS keeps to one thread in each, so that a tile is still in the cache of its core when it is compared.
    The work must not call `in_threads` itself.
    """
    controller = _controller()
    threads = max((library["num_threads"] for library in controller.info() if library["user_api"] == "blas"), default=1)
    # The limit is one for the process: without the lock, whoever ends last would restore another's limit of one.
    with _ONE_AT_A_TIME, controller.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, tasks))


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # searches the loaded libraries, which takes 10 ms
