"""Which classes a conditional generator is asked for: the same ones in every trial."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def allocate_labels(labels: npt.NDArray[np.integer], classes: int, count: int, seed: int) -> Labels:
    """Draws labels with the class frequencies of given ones, without their sampling noise.

    Each class gets its exact share, rounded down, and those with the largest remainders (of equal ones the lowest
    class) one more, so that the mixture of classes never differs from the reference by more than rounding.

    Args:
        labels: of the real images, integers `[N]` in 0..classes-1, N >= 1.
        classes: their number.
        count: of the labels wanted, from 1.
        seed: of their order, >= 0. It is mixed, because some scores cut the images into parts.

    Returns:
        int64 `[count]`.
    """
    shares = np.bincount(labels, minlength=classes) * count / len(labels)
    each = np.floor(shares).astype(np.int64)
    remainders = np.argsort(each - shares, kind="stable")
    each[remainders[: count - each.sum()]] += 1
    mixed: Labels = np.random.default_rng([seed, classes]).permutation(np.repeat(np.arange(classes), each))
    return mixed
