"""Arrays in NumPy's files: read or mapped, the same images come out, and damage is said in one sentence."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan import array_files, datasets
from tuner_gan.errors import DatasetError

Array = npt.NDArray[Any]


def _images(count: int = 60) -> Array:
    return np.random.default_rng(0).integers(0, 256, (count, 9, 8), dtype=np.uint8)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays are treated as large ones."""
    monkeypatch.setattr(array_files, "MAPPED_BYTES", 1)


def _is_mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def _npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<f4", "?"])
def test_mapped_and_read_are_the_same_data(
    suffix: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"images{suffix}"
    images = (_images() > 127).astype(dtype) if dtype in ("?", "<f4") else _images().astype(dtype)
    if suffix == ".npy":
        np.save(path, images)
    else:
        np.savez(path, x=images, y=np.arange(60) % 3)
    read = datasets.load(path)
    monkeypatch.setattr(array_files, "MAPPED_BYTES", 1)
    mapped = datasets.load(path)
    assert not _is_mapped(read.images)
    assert _is_mapped(mapped.images) == (dtype == "u1")  # others are converted
    scale = 255 if dtype in ("?", "<f4") else 1
    np.testing.assert_array_equal(mapped.images[..., 0], images.astype(np.float64) * scale)
    np.testing.assert_array_equal(mapped.images, read.images)
    assert mapped.fingerprint == read.fingerprint
    assert mapped.num_classes == (None if suffix == ".npy" else 3)
    for name in ("train", "reference", "holdout"):
        one, other = getattr(mapped.split(seed=1), name), getattr(read.split(seed=1), name)
        np.testing.assert_array_equal(one.images, other.images)
        assert not _is_mapped(one.images)


def test_a_mapped_training_set_is_not_copied(tmp_path: Path, mapped: None) -> None:
    np.savez(tmp_path / "a.npz", x_train=_images(), x_test=_images(40))
    assert _is_mapped(datasets.load(tmp_path / "a.npz").split().train.images)


def test_a_file_may_be_deleted_and_a_mapping_not_written(tmp_path: Path, mapped: None) -> None:
    path = tmp_path / "a.npy"
    np.save(path, _images())
    data = datasets.load(path)
    path.unlink()
    np.testing.assert_array_equal(data.images[..., 0], _images())
    with pytest.raises(ValueError, match="read-only"):
        data.images[0, 0, 0, 0] = 1


@pytest.mark.parametrize("how", ["compressed", "fortran", "small"])
def test_what_cannot_be_mapped_is_read(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAPPED_BYTES", 10**5 if how == "small" else 1)
    path = tmp_path / "a.npz"
    images = np.asfortranarray(_images()) if how == "fortran" else _images()
    (np.savez_compressed if how == "compressed" else np.savez)(path, x=images)
    data = datasets.load(path)
    assert not _is_mapped(data.images)
    np.testing.assert_array_equal(data.images[..., 0], _images())


def test_members_behind_others_and_long_headers(tmp_path: Path, mapped: None) -> None:
    """As other tools write archives: labels first, and a comment in the member's own header."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", _npy(np.arange(60) % 2))
        info = zipfile.ZipInfo("images.npy")
        info.extra = struct.pack("<HH5s", 0x7777, 5, b"extra")
        archive.writestr(info, _npy(_images()))
    data = datasets.load(path)
    assert _is_mapped(data.images)
    np.testing.assert_array_equal(data.images[..., 0], _images())
    assert data.num_classes == 2


@pytest.mark.parametrize("threshold", [1, 2**26])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_files_are_refused_in_one_sentence(
    threshold: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut off anywhere, or a byte turned over anywhere: an error of ours, or (in an image of an .npy) other pixels."""
    folder = tmp_path_factory.mktemp("damaged")
    images = _images()
    suffix = data.draw(st.sampled_from([".npy", ".npz"]))
    path = folder / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, images)
    else:
        np.savez(path, x=images)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    is_cut = data.draw(st.booleans())
    path.write_bytes(whole[:at] if is_cut else whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_files, "MAPPED_BYTES", threshold)
        if is_cut:
            with pytest.raises(DatasetError, match=r"^[^\n]*$"):
                datasets.load(path)
            return
        try:
            found = datasets.load(path).images
        except DatasetError as error:
            message = str(error)
            assert "\n" not in message
            return
    assert found.shape == (60, 9, 8, 1)
    if suffix == ".npz":  # its checksum covers the images
        np.testing.assert_array_equal(found[..., 0], images)
    else:
        assert np.count_nonzero(found[..., 0] != images) <= 1


def test_each_kind_under_the_other_s_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", _images())
    np.savez(tmp_path / "b.npz", x=_images())
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(DatasetError, match=r"a\.npz holds a single array, not an \.npz archive: name it \.npy"):
        datasets.load(tmp_path / "a.npz")
    with pytest.raises(DatasetError, match=r"b\.npy holds an \.npz archive, not a single array: name it \.npz"):
        datasets.load(tmp_path / "b.npy")


@pytest.mark.parametrize("threshold", [1, 2**26])
def test_objects_are_refused(threshold: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAPPED_BYTES", threshold)
    np.save(tmp_path / "a.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"The array in .*a\.npy is an object array, which only pickle can read"):
        datasets.load(tmp_path / "a.npy")
