from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.gan.augmentation import AUGMENTATIONS, augment

Array = npt.NDArray[Any]

SHAPE = (16, 24, 3)


def _images(n: int, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (n, *shape)).astype(np.float32)


def _augment(images: Any, *names: str, share: float = 1.0, seed: int = 0) -> Array:
    return np.asarray(augment(tf.convert_to_tensor(images), names, share, keras.random.SeedGenerator(seed)))


def _moved(image: Array, down: int, right: int) -> Array:
    """Shifted by whole pixels, grey where nothing is left, by slicing."""
    height, width, _ = image.shape
    moved = np.zeros_like(image)
    rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    from_rows, from_columns = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
    moved[rows, columns] = image[from_rows, from_columns]
    return moved


def test_translation_moves_each_image_by_an_eighth_of_its_side_at_most() -> None:
    images = _images(200)
    found = set()
    for image, moved in zip(images, _augment(images, "translation"), strict=True):
        shifts = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.allclose(moved, _moved(image, down, right), atol=1e-6)
        ]
        assert len(shifts) == 1
        found.add(shifts[0])
    assert {down for down, _ in found} == set(range(-2, 3))
    assert {right for _, right in found} == set(range(-3, 4))
    assert len(found) > 30


@pytest.mark.parametrize("shape", [(16, 24, 3), (9, 13, 1), (8, 8, 3)], ids=str)
def test_cutout_greys_one_rectangle_of_half_the_side(shape: tuple[int, int, int]) -> None:
    images = _images(300, shape) + 2  # none of them is 0 anywhere
    sizes = [round(side / 2) for side in shape[:2]]
    centres = set()
    for image, cut in zip(images, _augment(images, "cutout"), strict=True):
        hole = (cut == 0).all(axis=-1)
        assert np.array_equal(cut[~hole], image[~hole])
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert hole.sum() == len(rows) * len(columns)
        for found, side, size in zip((rows, columns), shape[:2], sizes, strict=True):
            assert np.array_equal(found, np.arange(found[0], found[-1] + 1))
            # Smaller only where it lies partly outside.
            assert len(found) == size or (len(found) < size and (found[0] == 0 or found[-1] == side - 1))
        centres.add((rows.mean(), columns.mean()))
    assert len(centres) > 50
    assert (_augment(images, "cutout") == 0).any(axis=(0, 3)).all()  # no pixel is safe


def _fit(image: Array, changed: Array) -> tuple[float, float]:
    """Slope and offset of the line that pixels lie on, which must be exact."""
    slope, offset = np.polyfit(image.ravel().astype(np.float64), changed.ravel().astype(np.float64), 1)
    np.testing.assert_allclose(changed, slope * image + offset, atol=1e-4)
    return float(slope), float(offset)


def test_colour_of_grey_images_is_brightness_and_contrast() -> None:
    images = _images(300, (8, 8, 1))
    slopes, brightness = [], []
    for image, changed in zip(images, _augment(images, "color"), strict=True):
        slope, _ = _fit(image, changed)
        slopes.append(slope)
        brightness.append(changed.mean() - image.mean())
    assert 0.5 <= min(slopes) < 0.55
    assert 1.45 < max(slopes) <= 1.5 + 1e-5
    assert -0.5 - 1e-5 <= min(brightness) < -0.45
    assert 0.45 < max(brightness) <= 0.5 + 1e-5
    assert abs(np.corrcoef(slopes, brightness)[0, 1]) < 0.2


def test_colour_of_colour_images_is_saturation_too() -> None:
    """A pixel's distance from its own grey is scaled by saturation and contrast, its grey by contrast alone."""
    images = _images(300)
    factors, contrasts = [], []
    for image, changed in zip(images, _augment(images, "color"), strict=True):
        greys = [one.mean(axis=-1, keepdims=True) for one in (image, changed)]
        contrast, _ = _fit(greys[0], greys[1])
        both, _ = _fit(image - greys[0], changed - greys[1])
        factors.append(both / contrast)
        contrasts.append(contrast)
    assert 0 <= min(factors) < 0.1
    assert 1.9 < max(factors) <= 2 + 1e-4
    assert np.mean(factors) == pytest.approx(1, abs=0.1)
    assert abs(np.corrcoef(factors, contrasts)[0, 1]) < 0.2


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_share_of_images_is_changed(name: str) -> None:
    images = _images(400)
    assert np.allclose(_augment(images, name, share=0.0), images, atol=1e-6)
    changed = [not np.allclose(a, b, atol=1e-6) for a, b in zip(images, _augment(images, name, share=0.3), strict=True)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)
    every = [not np.allclose(a, b, atol=1e-6) for a, b in zip(images, _augment(images, name), strict=True)]
    assert np.mean(every) > 0.9  # a shift may be none


def test_shares_may_differ_from_step_to_step() -> None:
    images, share = tf.constant(_images(50)), tf.Variable(0.0)
    seed = keras.random.SeedGenerator(0)
    step: Callable[[], Any] = tf.function(lambda: augment(images, list(AUGMENTATIONS), share, seed))
    assert np.allclose(step(), images, atol=1e-5)
    share.assign(1.0)
    one, other = np.asarray(step()), np.asarray(step())
    assert not np.allclose(one, images)
    assert not np.allclose(one, other)


def test_names_are_done_in_order_and_none_changes_nothing() -> None:
    images = _images(6)
    assert np.array_equal(_augment(images), images)
    after_colour = _augment(images, "cutout", "color")
    after_cutout = _augment(images, "color", "cutout")
    # What is cut out last is exactly grey; a colour change moves it.
    assert (after_cutout == 0).all(axis=-1).mean() > 0.1
    assert (after_colour == 0).all(axis=-1).mean() < 0.01


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_pass_through(name: str, compiled: bool) -> None:
    """Each augmentation is linear in the pixels but for an offset, so its gradient tells a step of any size exactly."""
    images, direction, step = (tf.constant(_images(8, seed=seed)) for seed in range(3))
    seed = keras.random.SeedGenerator(5)
    start = np.array(seed.state)

    def value(x: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(augment(x, [name], 1.0, seed) * direction)
        return total, tape.gradient(total, x)

    traced = tf.function(value, jit_compile=compiled)
    total, gradient = traced(images)
    seed.state.assign(start)
    moved, _ = traced(images + step)
    assert float(moved - total) == pytest.approx(float(tf.reduce_sum(gradient * step)), rel=1e-3, abs=1e-2)
    assert float(tf.reduce_max(tf.abs(gradient))) > 0
