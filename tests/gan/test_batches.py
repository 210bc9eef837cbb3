"""Batches that a training step takes, and those that it refuses."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.errors import ConfigError
from tuner_gan.gan.batches import check_first, fill_up, unpack

Array = npt.NDArray[Any]

SHAPE = (8, 9, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
SIGNED = IMAGES / 127.5 - 1
LABELS = np.array([0, 2, 1, 0])


@pytest.mark.parametrize(
    "data",
    [IMAGES, (IMAGES,), (IMAGES, None), {"images": IMAGES}, ({"images": IMAGES},), {"images": IMAGES, "labels": None}],
    ids=["images", "a tuple", "no labels", "a dictionary", "one in a tuple", "no labels in it"],
)
def test_images_alone(data: Any) -> None:
    batch = unpack(data, SHAPE, 0)
    assert batch.keys() == {"images"}
    np.testing.assert_allclose(batch["images"], SIGNED, atol=1e-6)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.uint8)], ids=["", "[N, 1]", "bytes"])
@pytest.mark.parametrize("kind", ["pair", "dictionary", "dictionary and labels"])
def test_images_with_labels(kind: str, labels: Array) -> None:
    latents = np.zeros((4, 2), np.float32)
    data: Any = (IMAGES, labels)
    if kind != "pair":
        data = {"images": IMAGES, "latents": latents}
        data = {**data, "labels": labels} if kind == "dictionary" else (data, labels)
    batch = unpack(data, SHAPE, 3)
    assert batch.keys() - {"latents"} == {"images", "labels"}
    assert kind == "pair" or batch["latents"] is latents
    np.testing.assert_array_equal(batch["labels"], LABELS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_floats_become_single_precision(dtype: Any) -> None:
    images = tf.constant(SIGNED.astype(dtype))
    batch = unpack(images, SHAPE, 0)
    assert batch["images"].dtype == tf.float32
    np.testing.assert_array_equal(batch["images"], SIGNED.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    ("data", "classes", "message"),
    [
        (IMAGES, 3, "A batch must be images and labels, because this GAN has 3 classes, but got images."),
        ({"images": IMAGES}, 3, "A batch must be images and labels, because this GAN has 3 classes, but got images."),
        ((IMAGES, LABELS), 0, "A batch must be images, because this GAN has no classes, but got images and labels."),
        ({"x": IMAGES}, 0, "A batch must be images, because this GAN has no classes, but got x."),
        ({}, 0, "A batch must be images, because this GAN has no classes, but got nothing."),
        (IMAGES[..., 0], 0, "images must be of shape [N, 8, 9, 1], but got (4, 8, 9)."),
        (IMAGES.reshape(4, 9, 8, 1), 0, "images must be of shape [N, 8, 9, 1], but got (4, 9, 8, 1)."),
        (IMAGES[0], 0, "images must be of shape [N, 8, 9, 1], but got (8, 9, 1)."),
        ((IMAGES, LABELS / 2), 3, "labels must be integers [N] in 0..2, but got float64 (4,)."),
        ((IMAGES, np.eye(3, dtype=int)[LABELS]), 3, "labels must be integers [N] in 0..2, but got int64 (4, 3)."),
    ],
)
def test_what_does_not_fit_is_refused(data: Any, classes: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        unpack(data, SHAPE, classes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES[:3], LABELS[:3]), "A batch must be a multiple of critic_steps=2 images, but got 3."),
        ((IMAGES, LABELS + 1), "y must be 4 integer labels in 0..2, one for each image, but got int32 [4] in 1..3."),
        ((IMAGES, LABELS - 1), "y must be 4 integer labels in 0..2, one for each image, but got int32 [4] in -1..1."),
        (
            (IMAGES.astype(np.float32), LABELS),
            "Float images must lie in [-1, 1], but got values from 0 to 255: pass uint8 ones, "
            "or images / 127.5 - 1 if they lie in [0, 255].",
        ),
        (
            {"images": np.full((4, *SHAPE), np.nan), "labels": LABELS},
            "Float images must lie in [-1, 1], but got values from nan to nan: pass uint8 ones, "
            "or images / 127.5 - 1 if they lie in [0, 255].",
        ),
    ],
    ids=["count", "labels", "negative labels", "images", "no numbers"],
)
def test_values_of_a_first_batch_are_refused(data: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_first(data, SHAPE, 3, parts=2)
    assert str(caught.value) == message
    check_first((IMAGES, LABELS), SHAPE, 3, parts=2)


def test_bytes_are_always_in_range() -> None:
    check_first(np.full((4, *SHAPE), 200, np.uint8), SHAPE, 0, parts=1)


def test_what_resizing_overshoots_passes() -> None:
    images = tf.image.resize(tf.sign(SIGNED), (16, 18), "bicubic")
    assert 1.05 < float(tf.reduce_max(tf.abs(images))) < 2
    check_first(images, (16, 18, 1), 0, parts=1)


def test_the_last_batch_is_filled_up_by_its_first_images() -> None:
    batches = tf.data.Dataset.from_tensor_slices((np.arange(9), np.arange(9) % 2)).batch(7)
    filled = fill_up(batches, 7)
    assert [batch["images"].tolist() for batch in filled.as_numpy_iterator()] == [[*range(7)], [7, 8, 7, 8, 7, 8, 7]]
    assert [batch["labels"].tolist() for batch in filled.as_numpy_iterator()][1] == [1, 0, 1, 0, 1, 0, 1]
    assert int(filled.cardinality()) == 2
    assert fill_up(batches, 1) is batches  # untouched, so that a step of known size stays one
    known = batches.unbatch().batch(3, drop_remainder=True)
    assert fill_up(known, 3) is known
