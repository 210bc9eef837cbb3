"""The spectrum of a set of features, and how many directions it fills."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_features, entropy, total_variance


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
    a = as_features(features, "features")
    total_variance(a)
    values = spectrum(a)
    return float(np.exp(entropy(values / values.sum())))


def vendi_score(features: npt.ArrayLike) -> float:
    """The effective number of different samples, by the cosine similarity of their features.

    `exp(-sum_i w_i log w_i)` with w the eigenvalues of `Z Z^T / N` and Z the features with rows of length 1: 1 for
    samples that all point in one direction, n for n orthogonal directions used equally. It needs no reference, so
    noise has a high score, too: compare with the value of as many real samples. Unlike `effective_rank` it is about
    directions from the origin: a common offset lowers it.

    Args:
        features: `[N, d]`, N >= 2, no row all zero.

    Returns:
        A number in `[1, min(N, d)]`.

    Raises:
        QualityError: the features cannot be used (see `frechet_distance`), or a row is zero and has no direction.

    References:
        Friedman and Dieng 2022, arXiv:2210.02410.
    """
    a = as_features(features, "features")
    largest = np.abs(a).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0.0)
    if len(zero):
        raise QualityError(
            f"every sample must have a feature other than 0, got {len(zero)} without, the first in row {zero[0]}: "
            "leave them out, they have no direction."
        )
    z = a / largest  # scaled first, because the squares of tiny values would be 0
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    # Both Gram matrices have the same eigenvalues other than 0.
    gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
    return float(np.exp(entropy(np.linalg.eigvalsh(gram / len(z)))))


def spectrum(features: Array) -> Array:
    """The non-zero eigenvalues of the covariance (ddof = 1), from the singular values of the centred features."""
    singular = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    values: Array = singular**2 / (len(features) - 1)
    return values
