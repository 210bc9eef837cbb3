"""Checks of what enters a metric: arrays become finite float64 of the right shape, or one sentence says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError

Array = npt.NDArray[np.float64]

LARGEST = 1e100
"""Squares, products and sums of values up to this stay finite in float64."""


def as_pair(real: npt.ArrayLike, fake: npt.ArrayLike) -> tuple[Array, Array]:
    """Two sets of features `[N, d]` and `[M, d]`."""
    a, b = as_features(real, "real"), as_features(fake, "fake")
    if a.shape[1] != b.shape[1]:
        raise QualityError(
            f"real and fake must have the same number of features, got {shape_of(a)} and {shape_of(b)}: "
            "compute both with the same classifier."
        )
    return a, b


def as_features(values: npt.ArrayLike, name: str, fewest: int = 2) -> Array:
    """One set of features, `[N, d]`, N >= `fewest`."""
    array = as_array(values, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise QualityError(f"{name} must have the shape [samples, features], got {shape_of(array)}.")
    if len(array) < fewest:
        raise QualityError(f"{name} must hold at least {fewest} samples, got {len(array)}.")
    return array


def as_array(values: npt.ArrayLike, name: str) -> Array:
    """Finite real numbers of any shape, as float64."""
    raw: npt.NDArray[Any] = np.asarray(values)
    if raw.dtype.kind not in "fiub":
        raise QualityError(f"{name} must be an array of real numbers, got dtype {raw.dtype}.")
    array: Array = np.asarray(raw, np.float64)  # no copy where none is needed: no metric writes to what it was given
    low, high = float(array.min(initial=0.0)), float(array.max(initial=0.0))  # NaN if there is one
    if not (np.isfinite(low) and np.isfinite(high)):
        raise QualityError(
            f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values: "
            "what produced them has diverged."
        )
    if max(high, -low) > LARGEST:
        raise QualityError(f"{name} must not exceed {LARGEST:g} in size, got {max(high, -low):g}.")
    return array


def shape_of(array: npt.NDArray[Any]) -> str:
    """A shape for a message."""
    return f"[{', '.join(map(str, array.shape))}]"


def total_variance(features: Array) -> float:
    """Trace of the covariance (ddof = 1); features that do not vary are refused."""
    trace = float(features.var(axis=0, ddof=1).sum())
    # The mean of equal values is rounded, which leaves them a variance of about 1e-34: only their range tells.
    if not (trace > 0.0 and np.ptp(features, axis=0).any()):
        raise QualityError(f"the features must vary between samples, got {len(features)} equal ones.")
    return trace


def entropy(p: Array) -> float:
    """Entropy in nats, `0 log 0 = 0`."""
    positive = p[p > 0.0]
    return float(-np.sum(positive * np.log(positive)))
