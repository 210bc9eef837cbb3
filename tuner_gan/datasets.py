"""Names, files and arrays become one kind of dataset, and that becomes disjoint splits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuner_gan.array_files import read_npy, read_npz
from tuner_gan.errors import ConfigError, DatasetError, closest
from tuner_gan.image_arrays import (
    Images,
    as_images,
    check_image_size,
    check_side_lengths,
    make_room,
    resize,
    to_uint8,
)
from tuner_gan.image_files import RawImages, find_idx, read_idx, read_image_folder
from tuner_gan.image_labels import Labels, class_indices
from tuner_gan.known_datasets import DATASETS, LICENCES, read_known

__all__ = ["DATASETS", "DataSplits", "ImageDataset", "from_arrays", "load", "load_samples"]

Indices = npt.NDArray[np.intp]

MIN_TRAINING, MIN_TEST = 30, 20
"""Images needed at least: their sum without a given test set; with one, each set its own number."""
DARK = 31
"""Images whose values are all this or less are nearly black, as those of few levels are that were not rescaled."""
PART_CAP = 10_000
"""Most images in reference and in holdout: more make scores slower and hardly steadier."""
_BLOCK = 2**24
"""Bytes of images that are hashed or copied at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one shape, with or without labels. `load` and `from_arrays` make checked ones.

    Attributes:
        name: a known name, or the name of the file or folder.
        images: uint8 [N, H, W, C]; read-only when they are mapped from a large file, which must then stay as it is.
        labels: int64 [N] in 0..K-1, or None.
        class_names: K names, in the order of the labels; empty without labels.
        test: the test set that the source gives, if any; labelled like this one.
        licence: of the images, and their authors, where tuner_gan knows them: of data sets loaded by name.
    """

    name: str
    images: Images = dataclasses.field(repr=False)
    labels: Labels | None = dataclasses.field(repr=False)
    class_names: tuple[str, ...] = ()
    test: ImageDataset | None = None
    licence: str | None = dataclasses.field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None without labels."""
        return None if self.labels is None else len(self.class_names)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of shapes, dtypes, images and labels, the test set included; names do not count."""
        digest = hashlib.sha256()
        for part in (self, self.test):
            for array in (None, None) if part is None else (part.images, part.labels):
                digest.update(b"none" if array is None else f"{array.dtype.str}{array.shape}".encode())
                if array is not None:
                    for rows in _blocks(array):
                        digest.update(np.ascontiguousarray(array[rows]).reshape(-1).data)
        return digest.hexdigest()

    def split(self, seed: int = 0) -> DataSplits:
        """Splits into disjoint train, reference and holdout, shuffled.

        Without a test set they get 60, 20 and 20 percent, reference and holdout at most 10,000 images
        each and train the rest. With one, train is this dataset as it is, and the halves of the test
        set become reference and holdout, again at most 10,000 images each. Each class is shared out
        alike, to within one image.

        The parts are copies, as many bytes as their images have in all; only with a test set is train not copied.

        Args:
            seed: any whole number from 0; the same seed gives the same split.

        Raises:
            ConfigError: the seed is no whole number from 0.
            DatasetError: the copies do not fit into the memory.
        """
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise ConfigError(f"seed must be an integer from 0, but got {seed!r}: the parts have fixed shares.")
        rng = np.random.default_rng(seed)
        source = self if self.test is None else self.test
        rest, reference, holdout = _shares(source.labels, len(source), 5 if self.test is None else 2, rng)
        return DataSplits(
            train=source._take(rest) if self.test is None else dataclasses.replace(self, test=None),
            reference=source._take(reference),
            holdout=source._take(holdout),
            seed=int(seed),
            fingerprint=hashlib.sha256(f"{self.fingerprint} split by seed {seed}".encode()).hexdigest(),
        )

    def _take(self, indices: Indices) -> ImageDataset:
        labels = None if self.labels is None else self.labels[indices]
        # In the order of the source, not of the copy: a mapped file larger than the memory is read once, from front to
        # back, where `images[indices]` would read each page again for almost every image on it.
        images = make_room(len(indices), self.image_shape)
        order = np.argsort(indices)
        for rows in _blocks(images):
            images[order[rows]] = self.images[indices[order[rows]]]
        return ImageDataset(self.name, images, labels, self.class_names, licence=self.licence)


@dataclasses.dataclass(frozen=True, eq=False)
class DataSplits:
    """Disjoint parts of a dataset.

    Attributes:
        train: what GANs and the reference classifier are trained on.
        reference: real images that generated ones are compared with.
        holdout: further real images, whose own scores are the floor.
        seed: of the split.
        fingerprint: SHA-256 (hexadecimal) of the whole dataset and the seed.
    """

    train: ImageDataset
    reference: ImageDataset
    holdout: ImageDataset
    seed: int
    fingerprint: str

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.train.name

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.image_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None without labels."""
        return self.train.num_classes

    def __repr__(self) -> str:
        sizes = f"train {len(self.train)}, reference {len(self.reference)}, holdout {len(self.holdout)}"
        labels = "no labels" if self.num_classes is None else f"classes {self.num_classes}"
        return f"DataSplits({self.name!r}: {sizes}, images {self.image_shape}, {labels}, seed {self.seed})"


def _blocks(array: Images | Labels) -> Iterator[slice]:
    """Yields the rows of an array, some megabytes at a time."""
    rows = max(1, _BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)


def _shares(
    labels: Labels | None, count: int, parts: int, rng: np.random.Generator
) -> tuple[Indices, Indices, Indices]:
    """Returns the shuffled indices of the rest, of the reference and of the holdout; the latter get 1/parts each.

    Systematic sampling: with the classes laid end to end, every `parts`-th index is taken, from two
    starting points. So each class, however small, gives each part its share to within one, and the
    parts have the right size over all, which rounding class by class would miss with many small classes.
    """
    order = rng.permutation(count)
    if labels is not None:
        class_order = rng.permutation(int(labels.max(initial=0)) + 1)
        order = order[np.argsort(class_order[labels[order]], kind="stable")]
    step = max(float(parts), count / PART_CAP)
    is_rest = np.ones(count, bool)
    taken = []
    for start in (0.25, 0.75):
        positions = ((np.arange(count // parts + 1) + start) * step).astype(np.intp)
        positions = positions[positions < count]
        is_rest[positions] = False
        taken.append(order[positions])
    rest, reference, holdout = (rng.permutation(indices) for indices in (order[is_rest], *taken))
    return rest, reference, holdout


def load(name_or_path: str | os.PathLike[str], image_size: tuple[int, int] | None = None) -> ImageDataset:
    """Loads a dataset by name or path. A known name wins over a file or folder of that name (write ./mnist then).

    Args:
        name_or_path: one of `DATASETS`; or a path of an .npz file (x_train, y_train, x_test, y_test, or
            x, y, or images, labels), of an .npy file (images only), of a folder with the four IDX files of the
            MNIST format, plain or .gz, or of a folder of PNG and JPEG images, flat or with one sub-folder a class.
        image_size: (height, width), each from 8 to 256 pixels, that each image is cropped and resized to.

    Raises:
        DatasetError: nothing is there, a download failed, or the images or labels cannot be used.
        ConfigError: `image_size` is not valid.

    Warns:
        UserWarning: all labels are the same, or all images nearly black, as if they had few levels.

    Example:
        >>> load("digits").image_shape
        (8, 8, 1)
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise DatasetError(
            f"Expected the name or path of a dataset, got a {type(name_or_path).__name__}: "
            "pass arrays to datasets.from_arrays."
        )
    size = None if image_size is None else check_image_size(image_size)
    name = os.fspath(name_or_path)
    if name in DATASETS:
        return _assemble(name, read_known(name), size, licence=LICENCES.get(name))
    with _reading(name):
        path = Path(name).expanduser()
        raw = _read_path(path, name, size)
        return _assemble(path.resolve().name, raw, size)


def load_samples(path: str | os.PathLike[str], image_size: tuple[int, int] | None = None) -> ImageDataset:
    """Loads images that are to be judged, not learned from: 30 or more, and they may be all the same.

    Args:
        path: as for `load`, but no name of a dataset; of an .npz file with a test set, only the training images count.
        image_size: (height, width) that each image is cropped and resized to.

    Raises:
        DatasetError: nothing is there, or the images or labels cannot be used.
        ConfigError: `image_size` is not valid.
    """
    size = None if image_size is None else check_image_size(image_size)
    name = os.fspath(path)
    if name in DATASETS and not Path(name).exists():
        raise DatasetError(
            f"Expected the path of an .npz or .npy file or a folder of images, got {name!r}, a data set's name."
        )
    with _reading(name):
        path = Path(name).expanduser()
        raw = _read_path(path, name, size)._replace(test_images=None, test_labels=None)
        return _assemble(path.resolve().name, raw, size, judged=True)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{name} cannot be read ({error.strerror or error}): check the path.") from error
    except RuntimeError as error:  # "~user" of nobody
        raise DatasetError(f"{name} cannot be found ({error}): check the path.") from error


def from_arrays(images: npt.ArrayLike, labels: npt.ArrayLike | None = None, *, name: str = "arrays") -> ImageDataset:
    """Makes a dataset of arrays.

    Args:
        images: [N, H, W] or [N, H, W, C], at least 50, H and W from 8 to 256, C of 1 or 3; uint8, other
            integers in 0..255, bool, or floats in [0, 1], [-1, 1] or [0, 255].
        labels: [N] or [N, 1] of class numbers or class names, or None.
        name: what the dataset is called in a project.

    Raises:
        DatasetError: the images or labels cannot be used.

    Warns:
        UserWarning: all labels are the same, or all images nearly black, as if they had few levels.
    """
    return _assemble(name, RawImages(images, labels), None)


def _read_path(path: Path, name: str, image_size: tuple[int, int] | None) -> RawImages:
    if path.is_dir() and name:
        idx = find_idx(path)
        return read_image_folder(path, image_size) if idx is None else read_idx(idx)
    if path.suffix.lower() == ".npz" and path.is_file():
        return read_npz(path)
    if path.suffix.lower() == ".npy" and path.is_file():
        return read_npy(path)
    if path.is_file():
        raise DatasetError(
            f"{path} is no dataset: expected an .npz or .npy file, a folder, or one of {', '.join(DATASETS)}."
        )
    raise DatasetError(
        f"There is no dataset, file or folder {name!r}{closest(name, DATASETS)}: "
        f"expected a path, or one of {', '.join(DATASETS)}."
    )


def _assemble(
    name: str,
    raw: RawImages,
    image_size: tuple[int, int] | None,
    *,
    judged: bool = False,
    licence: str | None = None,
) -> ImageDataset:
    """Checks and converts what a source holds; images that are only judged may be fewer, and all the same."""
    arrays = [as_images(raw.images, "images")]
    if raw.test_images is not None:
        arrays.append(as_images(raw.test_images, "test images"))
    if not judged:
        _check_counts(*(len(array) for array in arrays))
    elif len(arrays[0]) < MIN_TRAINING:
        raise DatasetError(f"At least {MIN_TRAINING} images are needed to judge them, got {len(arrays[0])}: add more.")
    for array in arrays:
        height, width = array.shape[1:3]
        if image_size is None or min(height, width) == 0:
            check_side_lengths(height, width, "images")
    images = to_uint8(arrays)
    if image_size is not None:
        images = [resize(array, image_size) for array in images]
    if images[0].shape[1:] != images[-1].shape[1:]:
        raise DatasetError(
            f"Training and test images must have one shape, got {images[0].shape[1:]} and {images[-1].shape[1:]}: "
            "convert one of them."
        )
    if not judged and all(np.array_equal(image, images[0][0]) for image in images[0]):
        raise DatasetError(f"All {len(images[0]):,} images are identical: there is nothing to learn from them.")
    if not judged and not any((part[rows] > DARK).any() for part in images for rows in _blocks(part)):
        brightest = max(int(part.max()) for part in images)
        warnings.warn(
            f"The brightest value of the images is {brightest} of 255, so that they are nearly black: if that is their "
            f"white, rescale them to images / {brightest}.",
            UserWarning,
            stacklevel=3,  # the caller of load or from_arrays
        )
    test_count = None if len(images) == 1 else len(images[1])
    labels, test_labels, class_names = class_indices(raw.labels, len(images[0]), raw.test_labels, test_count)
    test = None if test_count is None else ImageDataset(name, images[1], test_labels, class_names, licence=licence)
    return ImageDataset(name, images[0], labels, class_names, test, licence)


def _check_counts(training: int, test: int | None = None) -> None:
    if test is None and training < MIN_TRAINING + MIN_TEST:
        raise DatasetError(f"At least {MIN_TRAINING + MIN_TEST} images are needed, got {training}: add more.")
    if test is not None and (training < MIN_TRAINING or test < MIN_TEST):
        raise DatasetError(
            f"At least {MIN_TRAINING} training and {MIN_TEST} test images are needed, got {training} and {test}: "
            "add more, or leave the test images out to have the others split."
        )
