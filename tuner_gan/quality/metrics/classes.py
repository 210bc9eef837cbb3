"""Scores of a classifier's logits and predicted classes."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_array, as_features, entropy, shape_of


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
    a = as_features(logits, "logits")
    if splits < 1 or len(a) < 2 * splits:
        raise QualityError(
            f"splits must be at least 1 and leave two samples in each, got splits={splits} for {len(a)} samples."
        )
    log_p = _log_softmax(a)
    p = np.exp(log_p)
    scores = []
    for rows in np.array_split(np.arange(len(a)), splits):
        inner = float((p[rows] * log_p[rows]).sum(axis=1).mean())  # minus the mean entropy of the predictions
        scores.append(float(np.exp(max(entropy(p[rows].mean(axis=0)) + inner, 0.0))))
    return scores[0] if splits == 1 else (float(np.mean(scores)), float(np.std(scores)))


def modified_classifier_score(logits: npt.ArrayLike) -> float:
    """The "modified inception score": how different the predictions of samples of the same class are.

    The samples are grouped by their predicted class (the first of the largest logits). A class scores
    `exp(E_i E_j KL(p_i || p_j))` over all pairs of its samples, i = j among them, with `p_i` the softmax of the logits;
    the result is the mean over the classes that occur. A generator that makes one image a class scores 1, whatever
    `classifier_score` says. It does not see missing classes (`mode_count` does), and it cannot tell variety from
    noise: compare with the value of real samples.

    Args:
        logits: `[N, K]`, unnormalised log-probabilities, N >= 2. The logarithm is natural.

    Returns:
        A number >= 1 without an upper bound. A class with one sample counts as 1.

    Raises:
        QualityError: as `classifier_score`, or predictions of one class so far apart that the score overflows.

    References:
        Gurumurthy et al. 2017, arXiv:1706.02071: by class and then averaged over the classes.
    """
    log_p = _log_softmax(as_features(logits, "logits"))
    p = np.exp(log_p)
    predicted = log_p.argmax(axis=1)
    scores = []
    for label in np.unique(predicted):
        rows = predicted == label
        # E_i E_j sum_k p_ik (log p_ik - log p_jk): the second term needs no pairs, only the mean of each factor.
        own = float((p[rows] * log_p[rows]).sum(axis=1).mean())
        cross = float(p[rows].mean(axis=0) @ log_p[rows].mean(axis=0))
        if own - cross > 700.0:
            raise QualityError(
                f"predictions of class {label} must lie nearer to each other, got a mean divergence of "
                f"{own - cross:g} nats, whose exponential overflows."
            )
        scores.append(math.exp(max(own - cross, 0.0)))
    return float(np.mean(scores))


def mode_count(predicted: npt.ArrayLike, num_classes: int) -> int:
    """The number of classes that occur among the predictions.

    Args:
        predicted: class indices, integers `[N]` in 0..num_classes-1, N >= 1.
        num_classes: how many classes there are, >= 1.

    Returns:
        An integer in 1..num_classes. N perfect samples of K equal classes show `K (1 - (1 - 1/K)^N)` on average.

    Raises:
        QualityError: the predictions are not integers `[N]` in this range.

    References:
        The 1000 modes of stacked MNIST: Metz et al. 2017, arXiv:1611.02163.
    """
    p = np.asarray(predicted)
    if p.ndim != 1 or p.dtype.kind not in "iu" or not len(p):
        raise QualityError(f"predicted must be integer classes of shape [N], got {p.dtype} of shape {shape_of(p)}.")
    _check_range(p, num_classes)
    return len(np.unique(p))


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
    t = as_array(real_marginal, "real_marginal")
    if t.ndim != 1 or len(t) < 2 or t.min() < 0 or t.sum() <= 0:
        raise QualityError(
            f"real_marginal must be one count or frequency >= 0 for each of two or more classes, got {shape_of(t)}."
        )
    t = t / t.sum()
    p = np.asarray(predicted)
    if p.ndim == 1 and p.dtype.kind in "iu" and len(p):
        _check_range(p, len(t))
        q = np.bincount(p, minlength=len(t)) / len(p)
    elif p.ndim == 2 and p.shape[1] == len(t) and len(p):
        probabilities = as_array(p, "predicted")
        if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1.0).max() > 1e-3:
            raise QualityError("predicted probabilities must be >= 0 with rows that sum to 1, got others.")
        q = probabilities.mean(axis=0)
        q = q / q.sum()
    else:
        raise QualityError(
            f"predicted must be integer classes of shape [N] or probabilities of shape [N, {len(t)}], "
            f"got {p.dtype} of shape {shape_of(p)}."
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


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


def _check_range(predicted: npt.NDArray[Any], num_classes: int) -> None:
    low, high = predicted.min(), predicted.max()
    if low < 0 or high >= num_classes:
        raise QualityError(f"predicted classes must lie in 0..{num_classes - 1}, got values from {low} to {high}.")
