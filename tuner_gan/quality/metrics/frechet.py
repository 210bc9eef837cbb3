"""Frechet distances: how far the Gaussians fitted to two sets of features lie apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_features, as_pair, total_variance
from tuner_gan.quality.metrics.spectrum import spectrum


def frechet_distance(real: npt.ArrayLike, fake: npt.ArrayLike) -> float:
    """Squared Frechet distance between the Gaussians fitted to two sets of features.

    `|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)` with sample covariances (ddof = 1).

    Args:
        real: reference features, `[N, d]`, N >= 2.
        fake: generated features, `[M, d]`, M >= 2.

    Returns:
        The distance in squared units of the features, >= 0; 0 for equal means and covariances.

    Raises:
        QualityError: an array is not `[samples, features]`, holds NaN or infinity, has fewer than two samples, or the
            numbers of features differ.

    References:
        Heusel et al. 2017, arXiv:1706.08500.
    """
    a, b = as_pair(real, fake)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    trace_a, trace_b = np.vdot(a, a) / (len(a) - 1), np.vdot(b, b) / (len(b) - 1)
    if min(len(a), len(b)) > a.shape[1]:
        cross = _trace_sqrt_product(a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1))
    else:
        # With fewer samples than features the covariances are singular. The same trace is the sum of the singular
        # values of the cross Gram matrix, which keeps the digits that squaring would lose.
        singular = np.linalg.svd(a @ b.T, compute_uv=False)
        cross = float(singular.sum()) / np.sqrt((len(a) - 1.0) * (len(b) - 1.0))
    distance = float(np.sum((mean_a - mean_b) ** 2) + trace_a + trace_b - 2.0 * cross)
    return max(distance, 0.0)  # rounding can leave -1e-13 for equal sets


def relative_frechet_distance(real: npt.ArrayLike, fake: npt.ArrayLike) -> float:
    """`frechet_distance` divided by the trace of the reference covariance.

    Invariant to a common rotation, shift and scale of the features. 0 is a match, 1 is one constant output at the mean
    of the reference.

    Args:
        real: reference features, `[N, d]`, N >= 2, not all equal.
        fake: generated features, `[M, d]`, M >= 2.

    Returns:
        A number >= 0 without a unit.

    Raises:
        QualityError: as `frechet_distance`, or the reference features do not vary.
    """
    a, b = as_pair(real, fake)
    return frechet_distance(a, b) / total_variance(a)


def relative_sampling_bias(real: npt.ArrayLike, samples: int) -> float:
    """What `relative_frechet_distance` of a perfect generator is expected to show because the samples are finite.

    To second order in the sampling errors, for Gaussian features with covariance eigenvalues l:
    `(1/N + 1/M) (1 + sum_ij (1 + [i=j]) l_i l_j / (2 (l_i + l_j)) / sum_i l_i)`. For d equal eigenvalues that is
    `(1/N + 1/M) (d + d (d + 1) / 4) / d`, the largest value that d features can have.

    Args:
        real: reference features, `[N, d]`, N >= 2, not all equal.
        samples: M, the number of generated samples, >= 2.

    Returns:
        The expected excess in units of the relative distance, > 0.

    Raises:
        QualityError: the features cannot be used (see `frechet_distance`), do not vary, or `samples` is below 2.
    """
    a = as_features(real, "real")
    if samples < 2:
        raise QualityError(f"samples must be at least 2, got {samples}.")
    trace = total_variance(a)
    values = spectrum(a)
    values = values[values > 0.0]
    pairs = values[:, None] * values / (2.0 * (values[:, None] + values))
    excess = float(pairs.sum() + np.trace(pairs))
    return (1.0 / len(a) + 1.0 / samples) * (1.0 + excess / trace)


def _trace_sqrt_product(s1: Array, s2: Array) -> float:
    """`tr (S1 S2)^(1/2)` of two covariances as the sum of `eigvalsh(A S2 A)^(1/2)`, A = S1^(1/2).

    Unlike a matrix square root of the product, it stays real and finite for singular input.
    """
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s2 @ root), 0.0)).sum())
