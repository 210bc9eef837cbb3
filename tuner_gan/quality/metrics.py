"""Distances and scores of features, logits and predicted classes.

Pure NumPy in float64: no image and no model enters here. `real` is the reference, `fake` what was generated.
Every function refuses NaN, infinity and wrong shapes with a `QualityError`; none returns NaN.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError

Array = npt.NDArray[np.float64]

_LARGEST = 1e100
"""Squares, products and sums of values up to this stay finite in float64."""
_BLOCK = 2**20
"""Entries of a distance matrix held at a time (8 MB)."""


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
    a, b = _pair(real, fake)
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
    a, b = _pair(real, fake)
    return frechet_distance(a, b) / _trace(a)


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
    a = _features(real, "real")
    if samples < 2:
        raise QualityError(f"samples must be at least 2, got {samples}.")
    trace = _trace(a)
    values = _spectrum(a)
    values = values[values > 0.0]
    pairs = values[:, None] * values / (2.0 * (values[:, None] + values))
    excess = float(pairs.sum() + np.trace(pairs))
    return (1.0 / len(a) + 1.0 / samples) * (1.0 + excess / trace)


def effective_rank(features: npt.ArrayLike) -> float:
    """The exponential of the entropy of the covariance spectrum: 1 for a line, d for equal variance everywhere.

    Args:
        features: `[N, d]`, N >= 2, not all equal.

    Returns:
        A number in `[1, d]`.

    Raises:
        QualityError: the features cannot be used (see `frechet_distance`) or do not vary.

    References:
        Roy and Vetterli 2007, "The effective rank".
    """
    a = _features(features, "features")
    _trace(a)
    values = _spectrum(a)
    return float(np.exp(_entropy(values / values.sum())))


@overload
def classifier_score(logits: npt.ArrayLike, splits: Literal[1] = 1) -> float: ...


@overload
def classifier_score(logits: npt.ArrayLike, splits: int) -> float | tuple[float, float]: ...


def classifier_score(logits: npt.ArrayLike, splits: int = 1) -> float | tuple[float, float]:
    """`exp(mean_i KL(p_i || q))`: the "inception score" computed with the project's own classifier.

    `p_i` is the softmax of the logits of sample i, `q` the mean of all `p_i`, the logarithm natural, `0 log 0 = 0`.

    Args:
        logits: `[N, K]`, unnormalised log-probabilities, at least two samples a split.
        splits: number of consecutive, nearly equal parts that are scored separately.

    Returns:
        For one split the score, in `[1, K]`; for more a tuple (mean, standard deviation with ddof = 0) over the splits.

    Raises:
        QualityError: the logits are not `[N, K]`, hold NaN or infinity, or are too few for the splits.

    References:
        Salimans et al. 2016, arXiv:1606.03498; what it cannot see: Barratt and Sharma 2018, arXiv:1801.01973.
    """
    a = _features(logits, "logits")
    if splits < 1 or len(a) < 2 * splits:
        raise QualityError(
            f"splits must be at least 1 and leave two samples in each, got splits={splits} for {len(a)} samples."
        )
    a = a - a.max(axis=1, keepdims=True)
    log_p = a - np.log(np.exp(a).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    scores = []
    for rows in np.array_split(np.arange(len(a)), splits):
        inner = float((p[rows] * log_p[rows]).sum(axis=1).mean())  # minus the mean entropy of the predictions
        scores.append(float(np.exp(max(_entropy(p[rows].mean(axis=0)) + inner, 0.0))))
    return scores[0] if splits == 1 else (float(np.mean(scores)), float(np.std(scores)))


def class_kl(predicted: npt.ArrayLike, real_marginal: npt.ArrayLike) -> float:
    """How far the classes of generated samples are out of balance.

    `KL(q || t) - (K - 1) / (2 N)` with q the class frequencies of the N generated samples and t those of the real
    ones. The second term is what N perfect samples show on average, so a balanced generator scatters around 0, a
    little below as often as above. Five of ten equal classes missing gives log 2.

    Args:
        predicted: class indices, integers `[N]` in 0..K-1, or class probabilities `[N, K]` (rows sum to 1; q is then
            their mean).
        real_marginal: `[K]`, counts or frequencies of the real classes, K >= 2; normalised here.

    Returns:
        Nats, >= -(K - 1) / (2 N).

    Raises:
        QualityError: wrong shapes, values that are no classes or no probabilities, or a class that was generated but
            has no real sample: the divergence is infinite then. Half a count added to every real class avoids that.
    """
    t = _array(real_marginal, "real_marginal")
    if t.ndim != 1 or len(t) < 2 or t.min() < 0 or t.sum() <= 0:
        raise QualityError(
            f"real_marginal must be one count or frequency >= 0 for each of two or more classes, got {_shape(t)}."
        )
    t = t / t.sum()
    p = np.asarray(predicted)
    if p.ndim == 1 and p.dtype.kind in "iu" and len(p):
        if p.min() < 0 or p.max() >= len(t):
            raise QualityError(
                f"predicted classes must lie in 0..{len(t) - 1}, got values from {p.min()} to {p.max()}."
            )
        q = np.bincount(p, minlength=len(t)) / len(p)
    elif p.ndim == 2 and p.shape[1] == len(t) and len(p):
        probabilities = _array(p, "predicted")
        if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1.0).max() > 1e-3:
            raise QualityError("predicted probabilities must be >= 0 with rows that sum to 1, got others.")
        q = probabilities.mean(axis=0)
        q = q / q.sum()
    else:
        raise QualityError(
            f"predicted must be integer classes of shape [N] or probabilities of shape [N, {len(t)}], "
            f"got {p.dtype} of shape {_shape(p)}."
        )
    unseen = np.flatnonzero((q > 0) & (t == 0))
    if len(unseen):
        raise QualityError(
            f"class {unseen[0]} was generated but has no real sample, so the divergence is infinite: "
            "add half a count to each real class."
        )
    used = q > 0
    divergence = float(np.sum(q[used] * np.log(q[used] / t[used])))
    return divergence - (len(t) - 1) / (2.0 * len(p))


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
    a, b = _pair(real, fake)
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


def _trace_sqrt_product(s1: Array, s2: Array) -> float:
    """`tr (S1 S2)^(1/2)` of two covariances as the sum of `eigvalsh(A S2 A)^(1/2)`, A = S1^(1/2).

    Unlike a matrix square root of the product, it stays real and finite for singular input.
    """
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s2 @ root), 0.0)).sum())


def _spectrum(features: Array) -> Array:
    """The non-zero eigenvalues of the covariance (ddof = 1), from the singular values of the centred features."""
    singular = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    values: Array = singular**2 / (len(features) - 1)
    return values


def _trace(features: Array) -> float:
    trace = float(features.var(axis=0, ddof=1).sum())
    if not trace > 0.0:
        raise QualityError(f"the features must vary between samples, got {len(features)} equal ones.")
    return trace


def _entropy(p: Array) -> float:
    positive = p[p > 0.0]
    return float(-np.sum(positive * np.log(positive)))


def _pair(real: npt.ArrayLike, fake: npt.ArrayLike) -> tuple[Array, Array]:
    a, b = _features(real, "real"), _features(fake, "fake")
    if a.shape[1] != b.shape[1]:
        raise QualityError(
            f"real and fake must have the same number of features, got {_shape(a)} and {_shape(b)}: "
            "compute both with the same classifier."
        )
    return a, b


def _features(values: npt.ArrayLike, name: str) -> Array:
    array = _array(values, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise QualityError(f"{name} must have the shape [samples, features], got {_shape(array)}.")
    if len(array) < 2:
        raise QualityError(f"{name} must hold at least 2 samples, got {len(array)}.")
    return array


def _array(values: npt.ArrayLike, name: str) -> Array:
    raw: npt.NDArray[Any] = np.asarray(values)
    if raw.dtype.kind not in "fiub":
        raise QualityError(f"{name} must be an array of real numbers, got dtype {raw.dtype}.")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        raise QualityError(
            f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values: "
            "what produced them has diverged."
        )
    if array.size and np.abs(array).max() > _LARGEST:
        raise QualityError(f"{name} must not exceed {_LARGEST:g} in size, got {np.abs(array).max():g}.")
    return array


def _shape(array: npt.NDArray[Any]) -> str:
    return f"[{', '.join(map(str, array.shape))}]"
