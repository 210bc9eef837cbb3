"""Which labels are accepted, and how they become class indices."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import ConfigError, DatasetError
from tuner_gan.image_arrays import Array

Labels = npt.NDArray[np.int64]


def class_indices(
    training: npt.ArrayLike | None, count: int, test: npt.ArrayLike | None = None, test_count: int | None = None
) -> tuple[Labels | None, Labels | None, tuple[str, ...]]:
    """Numbers the classes 0..K-1 in the order of their numbers or names.

    Labels of a single class count as none, with a UserWarning that says so.

    Args:
        training: [count] or [count, 1] of class numbers (ints, or floats that are whole) or class names; or None.
        count: the number of training images.
        test: the same for the test images.
        test_count: the number of test images, or None without a test set.

    Returns:
        int64 [count], int64 [test_count] or None, and the K class names; (None, None, ()) without labels.

    Raises:
        DatasetError: another shape or length, neither whole numbers nor names, labels of only one of the
            two sets, or a class in the test set only.
    """
    if test_count is not None and (training is None) != (test is None):
        raise DatasetError("Training and test images must both have labels or both have none: add or drop one.")
    if training is None:
        return None, None, ()
    given = [_as_vector(training, count, "labels")]
    if test is not None and test_count is not None:
        given.append(_as_vector(test, test_count, "test labels"))
    classes, indices = np.unique(np.concatenate(given), return_inverse=True)
    trained = np.unique(indices[:count])
    if len(trained) == 1:
        warnings.warn(
            f"All labels are {str(classes[trained[0]])!r}: labels of a single class count as none.",
            UserWarning,
            stacklevel=4,  # the caller of datasets.load or datasets.from_arrays
        )
        return None, None, ()
    if len(trained) < len(classes):
        extra = ", ".join(str(name) for name in np.delete(classes, trained)[:5])
        raise DatasetError(f"The test images have classes that no training image has ({extra}): drop these images.")
    indices = indices.astype(np.int64)
    names = tuple(str(name) for name in classes)
    return indices[:count], None if test_count is None else indices[count:], names


def _as_vector(values: npt.ArrayLike, count: int, what: str) -> Array:
    """Returns `values` as ints or strings of shape [count]; `what` is how messages call them."""
    try:
        labels = np.asarray(values)
    except ValueError as error:
        raise DatasetError(f"The {what} must be one class index an image, got lists of different lengths.") from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DatasetError(
            f"The {what} must be one class index an image, of shape [N], got {labels.shape}: "
            "pass class indices; those of one-hot labels are np.argmax(labels, axis=1)."
        )
    if len(labels) != count:
        raise DatasetError(f"Expected one label an image, got {len(labels):,} {what} for {count:,} images.")
    kind = labels.dtype.kind
    if kind == "T" or (kind == "O" and all(isinstance(label, str) for label in labels)):
        return np.array(labels.tolist(), str)
    if kind == "O" and all(isinstance(label, int | np.integer) for label in labels):
        return labels.astype(np.int64)
    if kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        return labels.astype(np.int64)
    if kind in "bui":
        return labels.astype(np.int64)
    if kind == "U":
        return labels
    raise DatasetError(
        f"The {what} must be whole numbers or class names, got dtype {labels.dtype}"
        f"{' with fractions, NaN or infinity' if kind == 'f' else ''}: pass class indices."
    )


def misfit(labels: npt.ArrayLike | None, count: int, classes: int) -> str | None:
    """Says what labels are, for the end of an error message, unless they are one class index for each image.

    Args:
        labels: what should be integers [count] in 0..classes-1.
        count: of the images.
        classes: their number.

    Returns:
        Such as `"int64 [7]"` or `"int64 [8] in -1..6"`; None when they fit.
    """
    if labels is None:
        return "none"
    found = np.asarray(labels)
    is_whole = np.issubdtype(found.dtype, np.integer) and found.shape == (count,) and count > 0
    if is_whole and found.min() >= 0 and found.max() < classes:
        return None
    return f"{found.dtype} {list(found.shape)}{f' in {found.min()}..{found.max()}' if is_whole else ''}"


def check_class_indices(labels: npt.ArrayLike | None, count: int, classes: int) -> Labels:
    """Returns the labels `y` of a training as int64 [count].

    Raises:
        ConfigError: they are not one integer in 0..classes-1 for each image.
    """
    found = misfit(labels, count, classes)
    if found is not None:
        raise ConfigError(f"y must be {count} integer labels in 0..{classes - 1}, one for each image, but got {found}.")
    return np.asarray(labels).astype(np.int64)
