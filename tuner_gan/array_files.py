"""Reading images and labels from NumPy's files, .npz and .npy; large arrays are mapped, not read."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tuner_gan.errors import DatasetError, first_line
from tuner_gan.image_arrays import Array
from tuner_gan.image_files import RawImages

_NPZ_LAYOUTS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"), ("images", "labels"))
MAPPED_BYTES = 2**26
"""Arrays from this size on are mapped: their pages are read when they are needed, shared by all processes that use
them, and given back when memory is short. Smaller ones are read, so that their file may be written anew meanwhile."""
_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (
    ValueError,
    EOFError,
    OSError,
    RuntimeError,  # zipfile's word for encryption and unknown compression
    SyntaxError,  # this and the next: NumPy, of a header that is no Python literal
    tokenize.TokenError,
    TypeError,
    OverflowError,
    MemoryError,  # a header may announce any size
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise for an array that is not whole."""


def read_npz(path: Path) -> RawImages:
    """Reads x_train, y_train, x_test, y_test, or x, y, or images, labels; all but the first are optional.

    Arrays of `MAPPED_BYTES` or more that are stored as they are (`np.savez`, not `np.savez_compressed`) are mapped,
    which makes them read-only.

    Raises:
        DatasetError: no such archive, damaged, other keys, or arrays that would need pickle.
    """
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{path} is no .npz archive or is damaged: write it again with np.savez.") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DatasetError(
                f"{path} holds a single array, not an .npz archive: name it .npy, or write it again with np.savez."
            )
        keys = set(archive.files)
        layout = next((names for names in _NPZ_LAYOUTS if names[0] in keys and keys.issubset(names)), None)
        if layout is None or ("y_test" in keys and "x_test" not in keys):
            expected = " or ".join(", ".join(names) for names in _NPZ_LAYOUTS)
            raise DatasetError(
                f"{path} has the keys {', '.join(sorted(keys)) or '(none)'}: expected {expected} "
                "(labels and test images may be left out); save it again with these names."
            )
        arrays = {key: _npz_array(archive, key, file, path) for key in layout if key in keys}
    image_key, *others = layout
    return RawImages(arrays[image_key], *(arrays.get(key) for key in others))


def read_npy(path: Path) -> RawImages:
    """Reads a single array, of images; from `MAPPED_BYTES` on it is mapped, which makes it read-only.

    Raises:
        DatasetError: no such file, damaged, or an array that would need pickle.
    """
    with path.open("rb") as file:
        array = _mapped(file, 0, os.fstat(file.fileno()).st_size)
        if array is not None:
            return RawImages(array)
        file.seek(0)
        try:
            array = np.load(file, allow_pickle=False)
        except _DAMAGE as error:
            if "Object arrays" in str(error):
                raise _needs_pickle("The array", path) from error
            raise DatasetError(
                f"{path} is no .npy file or is damaged ({first_line(error)}): write it again with np.save."
            ) from error
        if not isinstance(array, np.ndarray):
            raise DatasetError(f"{path} holds an .npz archive, not a single array: name it .npz.")
    return RawImages(array)


def _npz_array(archive: np.lib.npyio.NpzFile, key: str, file: BinaryIO, path: Path) -> Array:
    array = _mapped_member(archive, key, file)
    if array is not None:
        return array
    try:
        return np.asarray(archive[key])
    except _DAMAGE as error:
        if "pickle" in str(error):
            raise _needs_pickle(key, path) from error
        raise DatasetError(
            f"{key} in {path} is damaged ({first_line(error)}): write the file again with np.savez."
        ) from error


def _needs_pickle(what: str, path: Path) -> DatasetError:
    return DatasetError(
        f"{what} in {path} is an object array, which only pickle can read and which is refused: "
        "save it as one numeric array (class names as strings)."
    )


def _mapped_member(archive: np.lib.npyio.NpzFile, key: str, file: BinaryIO) -> Array | None:
    """Maps a member of an archive; None if it is small or compressed or anything is wrong, for NumPy to say what."""
    zipped = archive.zip
    if zipped is None:
        return None
    name = key if key in zipped.namelist() else f"{key}.npy"
    info = zipped.getinfo(name)
    stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1  # nor encrypted
    if not stored or info.file_size != info.compress_size or info.file_size < MAPPED_BYTES:
        return None
    try:
        zipped.open(info).close()  # checks the header that stands before the member
        file.seek(info.header_offset + 26)
        # The extra field there may be longer than the directory's: NumPy makes room for 64 bits in it.
        name_size, extra_size = struct.unpack("<HH", file.read(4))
    except (*_DAMAGE, struct.error):
        return None
    return _mapped(file, info.header_offset + 30 + name_size + extra_size, info.file_size, info.CRC)


def _mapped(file: BinaryIO, start: int, size: int, crc: int | None = None) -> Array | None:
    """Maps the array in .npy format in `size` bytes of an open file.

    Args:
        file: where it is; may be closed afterwards.
        start: where its magic number begins.
        size: bytes of header and values.
        crc: their CRC-32 if known. Checking it reads every page once, which the fingerprint would do anyway.

    Returns:
        A read-only array; None if it is small, of objects, in Fortran's order or not whole.
    """
    if size < MAPPED_BYTES:
        return None
    try:
        file.seek(start)
        shape, fortran_order, dtype = _NPY_HEADERS[np.lib.format.read_magic(file)](file)
        header = file.tell() - start
        # A file that is cut off must be found out here: reading a mapping past its end kills the process.
        whole = min(shape, default=0) >= 0 and math.prod(shape) * dtype.itemsize == size - header
        if fortran_order or dtype.hasobject or not whole:
            return None
        data = np.memmap(file, np.uint8, "r", start, (size,))
    except (*_DAMAGE, KeyError):
        return None
    if crc is not None and zlib.crc32(data.data) != crc:
        return None
    return np.ndarray(shape, dtype, data, header)
