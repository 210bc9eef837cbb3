from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tuner_gan.errors import QualityError
from tuner_gan.images import GREY, draw_latents, generate_images, pick_images, sample_images, save_grid, to_images

Array = npt.NDArray[Any]


def test_every_level_comes_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_images(levels / np.float32(127.5) - 1), levels)


@pytest.mark.parametrize(
    ("value", "level"), [(-1, 0), (1, 255), (-3, 0), (9, 255), (1e30, 255), (-0.996, 1), (0.999, 255)]
)
def test_values_are_rounded_and_clipped(value: float, level: int) -> None:
    result = to_images(np.full((2, 3, 3, 1), value, np.float32))
    assert result.dtype == np.uint8
    assert result.shape == (2, 3, 3, 1)
    assert (result == level).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    x = np.zeros((2, 3, 3, 1), np.float32)
    x[1, 2, 0, 0] = bad
    with pytest.raises(QualityError, match="must be finite, got NaN or infinity in 1 of 18 values"):
        to_images(x)


def _read(path: Path) -> tuple[str, Array]:
    with Image.open(path) as image:
        return image.mode, np.asarray(image)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_grid_shows_each_image_in_its_place(tmp_path: Path, channels: int, mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 20, 30, channels), dtype=np.uint8)
    save_grid(images, tmp_path / "grid.png", columns=4)
    got_mode, picture = _read(tmp_path / "grid.png")
    assert got_mode == mode
    picture = picture.reshape(*picture.shape[:2], channels)
    scale = 4  # 4 columns of 30 pixels to about 500
    assert picture.shape == (3 * 20 * scale + 2, 4 * 30 * scale + 3, channels)
    for index, image in enumerate(images):
        y, x = index // 4 * (20 * scale + 1), index % 4 * (30 * scale + 1)
        for dy, dx in ((0, 0), (3, 3)):
            np.testing.assert_array_equal(picture[y + dy : y + 80 : scale, x + dx : x + 120 : scale], image)
    assert (picture[:, 120] == GREY).all()
    assert (picture[80] == GREY).all()
    assert (picture[162:, 242:] == GREY).all()
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(("size", "width"), [(28, 28 * 8 * 2 + 7), (8, 8 * 8 * 8 + 7), (128, 128 * 8 + 7)])
def test_small_images_are_enlarged(tmp_path: Path, size: int, width: int) -> None:
    save_grid(np.zeros((64, size, size, 1), np.uint8), tmp_path / "grid.png")
    assert _read(tmp_path / "grid.png")[1].shape == (width, width)


def test_fewer_images_than_columns_leave_no_empty_columns(tmp_path: Path) -> None:
    save_grid(np.zeros((3, 28, 28, 1), np.uint8), str(tmp_path / "grid.png"))
    assert _read(tmp_path / "grid.png")[1].shape == (56, 3 * 56 + 2)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 1), np.float32),
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((0, 8, 8, 1), np.uint8),
    ],
)
def test_unusable_images_are_refused(tmp_path: Path, images: Any) -> None:
    with pytest.raises(QualityError, match=r"must be uint8 of shape \[N, H, W, C\]"):
        save_grid(images, tmp_path / "grid.png")
    with pytest.raises(QualityError, match="columns must be at least 1, got 0"):
        save_grid(np.zeros((2, 8, 8, 1), np.uint8), tmp_path / "grid.png", columns=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("n", "batch_size"), [(0, 8), (-1, 8), (4, 0)])
def test_generate_images_refuses_a_count_below_one(n: int, batch_size: int) -> None:
    with pytest.raises(QualityError, match="must be at least 1, got"):
        generate_images(None, n, batch_size=batch_size)


def _class_model(classes: int) -> Any:
    """A conditional generator whose images of class c are all of level 10 c, but for their first pixel."""
    import keras

    latents, labels = keras.Input((1,)), keras.Input((), dtype="int32")
    levels = 10 * np.arange(classes)[:, None] / 127.5 - 1
    level = keras.layers.Embedding(classes, 1, keras.initializers.Constant(levels))(labels)
    first = keras.layers.Activation("tanh")(latents)
    x = keras.layers.Concatenate()([first, keras.layers.UpSampling1D(63)(keras.layers.Reshape((1, 1))(level))[..., 0]])
    return keras.Model([latents, labels], keras.layers.Reshape((8, 8, 1))(x))


@pytest.mark.parametrize(("classes", "rows"), [(3, 3), (16, 16), (20, 16)])
def test_samples_of_a_conditional_generator_have_a_row_for_each_class(classes: int, rows: int) -> None:
    images = sample_images(_class_model(classes))
    assert images.shape == (8 * rows, 8, 8, 1)
    np.testing.assert_array_equal(images[:, 7, 7, 0], np.repeat(10 * np.arange(rows), 8))
    first = to_images(np.tanh(draw_latents(8 * rows, 1, seed=0)))
    np.testing.assert_allclose(images[:, 0, 0, 0].astype(int), first[:, 0], atol=1)


def test_real_images_have_a_row_for_each_class_too() -> None:
    images = np.arange(1, 11, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    rows = pick_images(images, np.array([0, 3, 3, 0, 0, 0, 0, 0, 0, 0]))[:, 0, 0, 0].reshape(4, 8)
    np.testing.assert_array_equal(rows, [[1, 4, 5, 6, 7, 8, 9, 10], [0] * 8, [0] * 8, [2, 3] * 4])


def test_samples_of_any_other_generator_are_64() -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))])
    np.testing.assert_array_equal(sample_images(model), generate_images(model, 64, seed=0))
