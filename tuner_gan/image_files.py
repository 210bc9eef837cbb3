"""Reading images and labels from files: the MNIST format (IDX), folders of PNG and JPEG."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tuner_gan.errors import DatasetError
from tuner_gan.image_arrays import Array, Images, check_side_lengths, fit, make_room

if TYPE_CHECKING:
    from PIL import Image


class RawImages(NamedTuple):
    """What a source holds, unchecked: images [N, H, W] or [N, H, W, C], labels [N] of numbers or names."""

    images: npt.ArrayLike
    labels: npt.ArrayLike | None = None
    test_images: npt.ArrayLike | None = None
    test_labels: npt.ArrayLike | None = None


_IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Tried whatever the suffix says: files from the web often carry a wrong one."""
_DEEP_GREY = ("I", "I;16", "I;16B")
_GREY = ("1", "L", "LA", *_DEEP_GREY)


def find_idx(folder: Path) -> list[Path] | None:
    """Returns the four IDX files of `folder`: training images and labels, test images and labels.

    Each may be plain or .gz, and be spelt train-images-idx3-ubyte or train-images.idx3-ubyte.

    Returns:
        Four paths, or None when the folder has none of them.

    Raises:
        DatasetError: it has some of them.
    """
    found: list[Path] = []
    missing: list[str] = []
    for name in _IDX_NAMES:
        spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz")
        path = next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)
        if path is None:
            missing.append(name)
        else:
            found.append(path)
    if missing and found:
        raise DatasetError(
            f"{folder} must hold four IDX files, plain or .gz, and lacks {', '.join(missing)}: add them."
        )
    return found or None


def read_idx(paths: Sequence[Path]) -> RawImages:
    """Reads the four files of `find_idx`: uint8 images [N, H, W] and labels [N].

    Raises:
        DatasetError: a file is damaged or of another type.
    """
    images, labels, test_images, test_labels = (_idx_array(path) for path in paths)
    return RawImages(images, labels, test_images, test_labels)


def _idx_array(path: Path) -> Array:
    """Reads one file: two zero bytes, type 8 (uint8), rank, big-endian uint32 sizes, values."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is damaged ({error}): get it again.") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise DatasetError(
            f"{path} is no IDX file of bytes: expected it to start with 00 00 08, got {data[:3].hex(' ') or 'nothing'}."
        )
    rank = data[3]
    offset = 4 + 4 * rank
    shape = tuple(int.from_bytes(data[start : start + 4], "big") for start in range(4, offset, 4))
    expected = offset + math.prod(shape)
    if len(data) != expected:
        raise DatasetError(
            f"{path} is damaged: its header announces {expected:,} bytes, and it has {len(data):,}: get it again."
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def read_image_folder(folder: Path, image_size: tuple[int, int] | None) -> RawImages:
    """Reads PNG and JPEG files, of one sub-folder a class or flat without labels, each sorted by name.

    Hidden files and files with another suffix are ignored. The images are grey (C = 1) when every
    file is, else RGB. Palettes are resolved, EXIF orientation is applied, and transparent pixels
    are shown on white. One array of N * H * W * C bytes is filled file by file.

    Args:
        folder: the folder.
        image_size: (height, width) that each image is cropped and resized to; None when all have one size.

    Raises:
        DatasetError: no images, files that are no images, several sizes without `image_size`, or more than there is
            memory for.

    Warns:
        UserWarning: sub-folders are left out: beside classes those that hold other files or only sub-folders, in a
            class or beside images those that hold images further down.
    """
    flat = _image_paths(folder)
    classes = [entry for entry in _visible(folder) if entry.is_dir()]
    by_class = {entry.name: paths for entry in classes if (paths := _image_paths(entry))}
    if flat and by_class:
        raise DatasetError(
            f"{folder} holds images ({_listed(folder, flat)}) beside sub-folders of images "
            f"({_listed(folder, [folder / name for name in by_class])}): images are read from the folder itself or "
            "from one sub-folder a class, so move or take out one of the two."
        )
    paths = flat or [path for paths in by_class.values() for path in paths]
    if not paths:
        raise DatasetError(
            f"{folder} holds no images ({_listed(folder, _visible(folder))}): expected PNG or JPEG files in it or in "
            "one sub-folder a class, or the four IDX files of an MNIST-format dataset."
        )
    left_out = [entry for entry in classes if by_class and entry.name not in by_class and _visible(entry)]
    for taken in [folder] if flat else [folder / name for name in by_class]:
        left_out += _deeper(taken)
    if left_out:
        warnings.warn(
            f"{folder} has sub-folders that are left out ({_listed(folder, left_out)}): images are read from the "
            f"folder itself or from one sub-folder a class, as {', '.join(_SUFFIXES)}, so move or convert theirs, or "
            "take them out.",
            UserWarning,
            stacklevel=4,  # the caller of datasets.load
        )
    labels = [name for name, paths in by_class.items() for _ in paths]
    return RawImages(_read_images(folder, paths, image_size), np.array(labels) if labels else None)


def _listed(folder: Path, entries: Sequence[Path]) -> str:
    names = ", ".join(entry.relative_to(folder).as_posix() for entry in entries[:3])
    return f"{names} and {len(entries) - 3} more" if len(entries) > 3 else names or "it is empty"


def _visible(folder: Path) -> list[Path]:
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _deeper(folder: Path) -> list[Path]:
    """The visible sub-folders that hold images, however far down. No links are followed, which may lead in circles."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [folder / name for name in names if not name.startswith(".") and _holds_images(folder / name)]


def _holds_images(folder: Path) -> bool:
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(name.lower().endswith(_SUFFIXES) and not name.startswith(".") for name in names):
            return True
    return False


def _image_paths(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.suffix.lower() in _SUFFIXES and entry.is_file()]


def _read_images(folder: Path, paths: Sequence[Path], image_size: tuple[int, int] | None) -> Images:
    damaged: dict[Path, _DamagedImageError] = {}
    # Headers first, so that a file that is no image, or a late coloured one, is known before anything is decoded.
    modes = set()
    for path in paths:
        with _noting(damaged, path):
            modes.add(_mode(path))
    _refuse(folder, damaged)
    channels = 1 if modes.issubset(_GREY) else 3
    images: Images | None = None
    first = paths[0]
    for place, path in enumerate(paths):
        with _noting(damaged, path):
            pixels = _pixels(path, channels, image_size)
            if images is None:
                height, width = pixels.shape[:2]
                check_side_lengths(height, width, f"images in {path.parent}")
                images, first = make_room(len(paths), pixels.shape), path
            if pixels.shape != images.shape[1:]:
                sizes = [f"{high}x{wide}" for high, wide in (images.shape[1:3], pixels.shape[:2])]
                raise DatasetError(
                    f"The images must have one size, but {first} has {sizes[0]} and {path} has {sizes[1]} pixels "
                    "(height x width): pass image_size (--image-size HxW) to crop and resize them all."
                )
            images[place] = pixels
    _refuse(folder, damaged)
    assert images is not None
    return images


class _DamagedImageError(DatasetError):
    """A file is no image, or only a part of one."""


@contextlib.contextmanager
def _noting(damaged: dict[Path, _DamagedImageError], path: Path) -> Iterator[None]:
    """Notes that a file is damaged, so that all that are can be told at once."""
    try:
        yield
    except _DamagedImageError as error:
        damaged[path] = error


def _refuse(folder: Path, damaged: dict[Path, _DamagedImageError]) -> None:
    if len(damaged) == 1:
        raise next(iter(damaged.values()))
    if damaged:
        raise DatasetError(
            f"{len(damaged)} files in {folder} cannot be read as images ({_listed(folder, list(damaged))}): "
            "repair them or take them out."
        )


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Opens an image; whatever Pillow raises in the body becomes an error that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise _DamagedImageError(f"{path} is no PNG or JPEG image: repair it or take it out of the folder.") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
        raise _DamagedImageError(f"{path} cannot be read as an image ({error}): repair it or take it out.") from error


def _mode(path: Path) -> str:
    with _open(path) as image:
        return image.mode


def _pixels(path: Path, channels: int, image_size: tuple[int, int] | None) -> Images:
    """Decodes one file to uint8 [H, W, channels]."""
    from PIL import Image, ImageOps

    with _open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode in _DEEP_GREY:
            # Pillow would clip 16 bits to 255 instead of scaling them, and forget which grey is transparent.
            levels = np.asarray(image, np.float64)
            grey = np.rint(levels / 257).clip(0, 255).astype(np.uint8)
            grey[levels == opened.info.get("transparency")] = 255
            image = Image.fromarray(grey)
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        if image_size is not None and (image.height, image.width) != image_size:
            image = fit(image, image_size)
        return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)
