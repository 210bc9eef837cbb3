"""Scores of a classifier's logits and predicted classes."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import as_array, as_features, entropy, shape_of


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
    a = a - a.max(axis=1, keepdims=True)
    log_p = a - np.log(np.exp(a).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    scores = []
    for rows in np.array_split(np.arange(len(a)), splits):
        inner = float((p[rows] * log_p[rows]).sum(axis=1).mean())  # minus the mean entropy of the predictions
        scores.append(float(np.exp(max(entropy(p[rows].mean(axis=0)) + inner, 0.0))))
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
    t = as_array(real_marginal, "real_marginal")
    if t.ndim != 1 or len(t) < 2 or t.min() < 0 or t.sum() <= 0:
        raise QualityError(
            f"real_marginal must be one count or frequency >= 0 for each of two or more classes, got {shape_of(t)}."
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
