"""How far each sample of a set is from its k-th nearest other sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner_gan.quality.metrics.arrays import Array
from tuner_gan.quality.metrics.distances import (
    BAND,
    Bounds,
    Indices,
    Pairs,
    Points,
    blocks,
    exact_squares,
    in_threads,
    join,
    near_pairs,
    upper_bounds,
)

_MOST_PAIRS = 2**18
"""Near pairs of one band of rows, at most. More of them mean that very many distances are equal, or nearly so."""


@dataclass(frozen=True)
class _Near:
    """The pairs that can be among the nearest ones, sorted by x; those of sample i are `starts[i]:starts[i + 1]`."""

    points: Points
    pairs: Pairs
    upper: Bounds
    starts: Indices


@dataclass(frozen=True)
class Radius:
    """The distance of each sample to its nearest other sample of some order: bounds for all, exact for those asked for.

    Attributes:
        order: 1 for the nearest other sample, k for the k-th nearest.
        lower, upper: float32 `[N]`, bounds of half the squared distance, in the unit of the samples' bounds.
        squares: float64 `[N]`, the exact squared distance where it is known, NaN elsewhere.
        near: what the others come from; None if all are known.
    """

    order: int
    lower: Bounds
    upper: Bounds
    squares: Array
    near: _Near | None

    def exact(self, rows: Indices) -> Array:
        """Squared distances of the samples `rows`. Two threads may find out the same one, which does no harm."""
        unknown = np.unique(rows[np.isnan(self.squares[rows])])
        if self.near is not None and len(unknown):
            self.squares[unknown] = self._decide(self.near, unknown)
        known: Array = self.squares[rows]
        return known

    def _decide(self, near: _Near, rows: Indices) -> Array:
        counts = near.starts[rows + 1] - near.starts[rows]
        owner = np.repeat(np.arange(len(rows)), counts)
        at = np.arange(len(owner)) + np.repeat(near.starts[rows] - np.cumsum(counts) + counts, counts)
        # Pairs that are nearer beyond doubt only count; the one that is sought is among those that overlap its bounds.
        nearer = near.upper[at] < self.lower[rows][owner]
        rank = self.order - 1 - np.bincount(owner[nearer], minlength=len(rows))
        open_ = ~nearer & (near.pairs.lower[at] <= self.upper[rows][owner])
        at, owner = at[open_], owner[open_]
        squares = exact_squares(near.points, near.pairs.x[at], near.points, near.pairs.y[at])
        decided: Array = squares[np.lexsort((squares, owner))][np.searchsorted(owner, np.arange(len(rows))) + rank]
        return decided


def radii(sets: Sequence[Points], orders: Sequence[int]) -> list[list[Radius]]:
    """For each set and each of the `orders` the distance of every sample to its nearest other sample of that order."""
    found = [(points, _near_pairs(points, max(orders))) for points in sets]
    return [
        _exact_radii(points, orders) if near is None else [_radius(near, order) for order in orders]
        for points, near in zip(sets, in_threads(_sorted, found), strict=True)
    ]


def _near_pairs(points: Points, k: int) -> Pairs | None:
    """All pairs that can be among the k nearest of their first sample; None if there are too many."""
    limit = upper_bounds(points, points, k, np.arange(len(points.exact)))

    def search(rows: slice) -> Pairs | None:
        found: list[Pairs] = []
        for pairs in near_pairs(points, rows, points, limit, limit, rows.start):
            x, y, lower = pairs.at(pairs.x < pairs.y)
            lower = np.maximum(lower, np.float32(0.0))
            found.append(Pairs(x, y, lower).at(lower <= limit[x]))
            found.append(Pairs(y, x, lower).at(lower <= limit[y]))
            if sum(len(pairs.x) for pairs in found) > _MOST_PAIRS:
                return None
        return join(found)

    found = in_threads(search, blocks(len(points.exact), BAND))
    parts = [part for part in found if part is not None]
    return join(parts) if len(parts) == len(found) else None


def _sorted(found: tuple[Points, Pairs | None]) -> _Near | None:
    points, pairs = found
    if pairs is None:
        return None
    # The bits of float32 numbers >= 0 are in the order of the numbers, so one integer sorts by x and lower bound.
    pairs = pairs.at(np.argsort(pairs.x << 32 | pairs.lower.view(np.uint32)))
    starts = np.searchsorted(pairs.x, np.arange(len(points.exact) + 1))
    return _Near(points, pairs, pairs.lower + points.slack[pairs.x] + points.slack[pairs.y], starts)


def _radius(near: _Near, order: int) -> Radius:
    nearest = near.starts[:-1, None] + np.arange(order)
    lower = near.pairs.lower[nearest[:, -1]]
    # As many pairs as `order` says have upper bounds up to the largest of these.
    upper = near.upper[nearest].max(axis=1)
    return Radius(order, lower, upper, np.full(len(lower), np.nan), near)


def _exact_radii(points: Points, orders: Sequence[int]) -> list[Radius]:
    """All radii from exact distances: slow, and the memory does not depend on how many distances are equal."""
    n = len(points.exact)

    def search(rows: slice) -> Array:
        x, y = np.divmod(np.arange(rows.start * n, rows.stop * n), n)
        squares = exact_squares(points, x, points, y).reshape(-1, n)
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        nearest: Array = np.partition(squares, [order - 1 for order in orders], axis=1)
        return nearest[:, [order - 1 for order in orders]]

    found = np.concatenate(in_threads(search, blocks(n, max(1, _MOST_PAIRS // n))))
    result = []
    for order, squares in zip(orders, found.T, strict=True):
        half = squares * points.scale
        room = half * 1e-6 + 1e-30  # more than the rounding to float32
        lower, upper = (half - room).astype(np.float32), (half + room).astype(np.float32)
        result.append(Radius(order, lower, upper, squares, None))
    return result
