"""The spectrum of a set of features, and how many directions it fills."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def spectrum(features: Array) -> Array:
    """The non-zero eigenvalues of the covariance (ddof = 1), from the singular values of the centred features."""
    singular = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    values: Array = singular**2 / (len(features) - 1)
    return values
