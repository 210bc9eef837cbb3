"""Mean and covariance of features that come in batches, without holding them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics.arrays import Array, as_features


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and scatter of a set of features; those of two sets merge into those of both together.

    Unlike sums of squares, which lose every digit to a mean that is large against the spread, the scatter is about the
    mean of its own set, and a merge adds what the distance of the two means contributes. That distance is kept to more
    digits than two large means have: `rest` is what rounding took from the mean.

    Attributes:
        count: N, the number of samples, >= 1.
        mean: float64 `[d]`, in the unit of the features.
        scatter: float64 `[d, d]`, `sum_i (x_i - mean) (x_i - mean)^T`, symmetric.
        rest: float64 `[d]`, the exact mean less `mean`.

    References:
        Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".

    Example:
        >>> halves = Moments.of([[0.0], [2.0]]), Moments.of([[4.0]])
        >>> halves[0].merge(halves[1]).covariance()
        array([[4.]])
    """

    count: int
    mean: Array
    scatter: Array
    rest: Array

    @classmethod
    def of(cls, features: npt.ArrayLike) -> Moments:
        """The moments of one batch.

        Args:
            features: `[N, d]`, N >= 1.

        Raises:
            QualityError: the array is not `[samples, features]`, is empty, or holds NaN or infinity.
        """
        a = as_features(features, "features", fewest=1)
        mean = a.mean(axis=0)
        centred = a - mean
        rest = centred.mean(axis=0)
        centred -= rest
        return cls(len(a), mean, centred.T @ centred, rest)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together; neither is changed.

        Raises:
            QualityError: the numbers of features differ.
        """
        if len(self.mean) != len(other.mean):
            raise QualityError(
                f"moments must be of the same number of features to be merged, "
                f"got {len(self.mean)} and {len(other.mean)}."
            )
        count = self.count + other.count
        difference = (other.mean - self.mean) + (other.rest - self.rest)
        share = other.count / count
        scatter = self.scatter + other.scatter + np.outer(difference, difference) * (self.count * share)
        step = self.rest + difference * share
        mean = self.mean + step
        return Moments(count, mean, scatter, step - (mean - self.mean))

    def covariance(self) -> Array:
        """The sample covariance (ddof = 1), float64 `[d, d]`.

        Raises:
            QualityError: there is only one sample.
        """
        if self.count < 2:
            raise QualityError(f"a covariance needs at least 2 samples, got {self.count}.")
        covariance: Array = self.scatter / (self.count - 1)
        return covariance
