"""Frechet distances: how far the Gaussians fitted to two sets of features lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_array, as_features, as_pair, shape_of, total_variance
from tuner_gan.quality.metrics.distances import in_threads
from tuner_gan.quality.metrics.moments import Moments
from tuner_gan.quality.metrics.spectrum import spectrum

_SMALLEST_PIVOT = 1e-5
"""Share of the largest pivot below which a triangular factor has lost too many digits."""


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
    if min(len(a), len(b)) > a.shape[1]:
        x, y = Moments.of(a), Moments.of(b)
        return max(_distance(_reference(x.mean, x.covariance()), y.mean, y.covariance()), 0.0)
    # With fewer samples than features the covariances are singular. The same trace is the sum of the singular values of
    # the cross Gram matrix, which keeps the digits that squaring would lose.
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    own = np.vdot(a, a) / (len(a) - 1) + np.vdot(b, b) / (len(b) - 1)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt((len(a) - 1.0) * (len(b) - 1.0))
    return max(float(np.sum((mean_a - mean_b) ** 2) + own - 2.0 * cross), 0.0)


def frechet_distance_from_stats(
    mean_real: npt.ArrayLike, cov_real: npt.ArrayLike, mean_fake: npt.ArrayLike, cov_fake: npt.ArrayLike
) -> float:
    """`frechet_distance` of two Gaussians whose means and covariances are known, for example from `Moments`.

    Args:
        mean_real: `[d]`, d >= 1.
        cov_real: `[d, d]`, symmetric and without negative eigenvalues; singular and zero are allowed.
        mean_fake: `[d]`.
        cov_fake: `[d, d]`, as `cov_real`.

    Returns:
        The distance in squared units of the features, >= 0.

    Raises:
        QualityError: shapes that do not fit, NaN or infinity, or a matrix that is no covariance.
    """
    m1, s1 = _as_stats(mean_real, cov_real, "real")
    m2, s2 = _as_stats(mean_fake, cov_fake, "fake")
    if len(m1) != len(m2):
        raise QualityError(
            f"mean_real and mean_fake must have the same number of features, got {len(m1)} and {len(m2)}."
        )
    return max(_distance(_reference(m1, s1), m2, s2), 0.0)


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


def frechet_distance_infinity(real: npt.ArrayLike, fake: npt.ArrayLike, sizes: Sequence[int] | None = None) -> float:
    """The `frechet_distance` that infinitely many generated samples are expected to show.

    The distance of n samples has an expectation of about `a + b / n`. A least-squares line through the distances of the
    first n rows of `fake`, for several n, gives a. It is free of the bias of finitely many generated samples when the
    rows are independent draws; the part that comes from the finite reference stays.

    Args:
        real: reference features, `[N, d]`, N >= 2.
        fake: generated features, `[M, d]`, in random order.
        sizes: the n, at least two different ones in 2..M. The default is 15 evenly spaced from `max(d + 2, M // 3)` to
            M: for n near d the line does not hold (started at d + 2, d = 64 and M = 1000, the result of a perfect
            generator is too low by a third of the bias), and a start above M / 3 gains nothing.

    Returns:
        The intercept a in squared units of the features. It scatters around the truth and **may be negative** for a
        good generator.

    Raises:
        QualityError: as `frechet_distance`, `sizes` is not as above, or without it M is below d + 3.

    References:
        Chong and Forsyth 2020, arXiv:1911.07023 (random subsets there; prefixes here, so that the value is fixed).
    """
    a, b = as_pair(real, fake)
    m, d = b.shape
    if sizes is None:
        if m < d + 3:
            raise QualityError(
                f"fake must hold at least {d + 3} samples of {d} features for the default sizes, got {m}."
            )
        counts = np.unique(np.linspace(max(d + 2, m // 3), m, 15).astype(np.int64))
    else:
        counts = np.unique(np.asarray(sizes))
        if counts.dtype.kind not in "iu" or len(counts) < 2 or counts[0] < 2 or counts[-1] > m:
            raise QualityError(f"sizes must be at least two different integers in 2..{m}, got {sizes}.")
    centre = a.mean(axis=0)
    reference = _reference(np.zeros(d), Moments.of(a - centre).covariance())
    b = b - centre
    moments = Moments.of(b[: counts[0]])
    distances = [_distance(reference, moments.mean, moments.covariance())]
    for start, stop in pairwise(counts.tolist()):
        moments = moments.merge(Moments.of(b[start:stop]))
        distances.append(_distance(reference, moments.mean, moments.covariance()))
    x = 1.0 / counts
    slope = np.dot(x - x.mean(), distances) / np.sum((x - x.mean()) ** 2)
    return float(np.mean(distances) - slope * x.mean())


def frechet_standard_error(real: npt.ArrayLike, fake: npt.ArrayLike, resamples: int = 50, seed: int = 0) -> float:
    """Bootstrap standard error of `relative_frechet_distance` because the generated samples are finite.

    The standard deviation (ddof = 1) of the distance over sets of M rows drawn from `fake` with replacement. The
    reference is not resampled: it is the same for all scores of a project. Where the distance is well above its
    sampling bias the result is right to about 10 %; near a perfect generator it is too large, by a fifth for 8 features
    and by a half for 64 (M = 1000), because a resample adds the noise of the samples a second time.

    Args:
        real: reference features, `[N, d]`, N >= 2, not all equal.
        fake: generated features, `[M, d]`, M >= 2, independent rows.
        resamples: number of sets drawn, >= 2. 50 give the standard error to within about 10 %.
        seed: of the draws.

    Returns:
        A number >= 0 in units of the relative distance.

    Raises:
        QualityError: as `relative_frechet_distance`, or `resamples` is below 2.

    References:
        Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    a, b = as_pair(real, fake)
    if resamples < 2:
        raise QualityError(f"resamples must be at least 2, got {resamples}.")
    total_variance(a)
    # Centred and scaled, because the fourth powers below would overflow and an offset would eat their digits.
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    scale = max(np.abs(a).max(), np.abs(b).max())
    a, b = a / scale, b / scale
    moments = Moments.of(a)
    reference = _reference(moments.mean, moments.covariance())
    # A S A of a weighted set is the covariance of its rows times A: each resample costs one product of [M, r] with
    # itself and the eigenvalues of [r, r].
    projected, norms = b @ reference.factor, np.einsum("ij,ij->i", b, b)
    count = len(b)

    def resample(number: int) -> float:
        drawn = np.random.default_rng([seed, number]).integers(0, count, count)
        weights = np.bincount(drawn, minlength=count).astype(np.float64)
        mean = weights @ b / count
        trace = (weights @ norms - count * (mean @ mean)) / (count - 1)
        used = np.flatnonzero(weights)
        rows = projected[used] * np.sqrt(weights[used])[:, None]
        shift = mean @ reference.factor
        product = (rows.T @ rows - count * np.outer(shift, shift)) / (count - 1)
        return float(np.sum((reference.mean - mean) ** 2) + trace - 2.0 * _trace_of_root(product))

    return float(np.std(in_threads(resample, range(resamples)), ddof=1)) / total_variance(a)


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
    shares = spectrum(a) / total_variance(a)
    shares = shares[shares > 0.0]
    pairs = shares[:, None] * shares / (2.0 * (shares[:, None] + shares))
    return (1.0 / len(a) + 1.0 / samples) * (1.0 + float(pairs.sum() + np.trace(pairs)))


class _Reference(NamedTuple):
    """One of two Gaussians, prepared once for many distances."""

    mean: Array
    trace: float
    factor: Array
    """`[d, r]`, A with A A^T = S; only the r directions that vary."""


def _reference(mean: Array, covariance: Array) -> _Reference:
    trace = float(np.trace(covariance))
    factor = _triangular_factor(covariance)
    if factor is not None:
        return _Reference(mean, trace, factor)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _rounding(values)
    return _Reference(mean, trace, vectors[:, kept] * np.sqrt(values[kept]))


def _triangular_factor(covariance: Array) -> Array | None:
    """The Cholesky factor, which takes a tenth of the time of `eigh`; None for a matrix that is nearly singular."""
    try:
        factor: Array = np.asarray(np.linalg.cholesky(covariance), np.float64)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(factor)
    return factor if diagonal.min() > _SMALLEST_PIVOT * diagonal.max() else None


def _distance(reference: _Reference, mean: Array, covariance: Array) -> float:
    """The distance; rounding can leave -1e-13 for equal statistics.

    `tr (S1 S2)^(1/2)` is the sum of `eigvalsh(A^T S2 A)^(1/2)`, A A^T = S1. Unlike a matrix square root of the product,
    that stays real and finite for singular input.
    """
    own, scale = float(np.trace(covariance)), float(np.abs(reference.factor).max(initial=0.0))
    cross = 0.0
    if own > 0.0 and scale > 0.0:
        factor = reference.factor / scale  # scaled, because the product of two covariances may overflow
        cross = scale * np.sqrt(own) * _trace_of_root(factor.T @ (covariance / own) @ factor)
    return float(np.sum((reference.mean - mean) ** 2) + reference.trace + own - 2.0 * cross)


def _trace_of_root(matrix: Array) -> float:
    """`tr M^(1/2)` of a symmetric matrix without negative eigenvalues, `[r, r]`, r >= 0."""
    values = np.linalg.eigvalsh(matrix)
    return float(np.sqrt(values[values > _rounding(values)]).sum())


def _rounding(values: npt.NDArray[np.floating[Any]]) -> float:
    """What rounding leaves of eigenvalues that are 0: 1e-16 of the largest, but its root would count as 1e-8."""
    return len(values) * np.finfo(np.float64).eps * float(np.abs(values).max(initial=0.0))


def _as_stats(mean: npt.ArrayLike, covariance: npt.ArrayLike, name: str) -> tuple[Array, Array]:
    m, s = as_array(mean, f"mean_{name}"), as_array(covariance, f"cov_{name}")
    if m.ndim != 1 or not len(m) or s.shape != (len(m), len(m)):
        raise QualityError(
            f"mean_{name} and cov_{name} must have the shapes [features] and [features, features], "
            f"got {shape_of(m)} and {shape_of(s)}."
        )
    largest = np.abs(s).max()
    is_symmetric = np.abs(s - s.T).max() <= 1e-6 * largest
    if not is_symmetric or (_triangular_factor(s) is None and np.linalg.eigvalsh(s)[0] < -1e-6 * largest):
        raise QualityError(f"cov_{name} must be symmetric without negative eigenvalues, got another matrix.")
    return m, s
