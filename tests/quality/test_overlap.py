"""A search on the reference images is told; one on the train split is not, whatever copies the dataset has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tuner_gan import datasets
from tuner_gan.quality import overlap
from tuner_gan.quality.overlap import holds_reference

Images = npt.NDArray[np.uint8]


def noise(count: int, shape: tuple[int, int, int] = (8, 8, 1)) -> Images:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("runs", [15, 100])
@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 48, 3)])
def test_the_whole_dataset_holds_the_reference(
    shape: tuple[int, int, int], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "RUNS", runs)
    images = noise(1000, shape)
    data = datasets.from_arrays(images).split(seed=0)
    assert holds_reference(images, data)
    assert holds_reference(images[::-1], data)
    assert holds_reference(np.concatenate([data.reference.images, data.holdout.images]), data)
    assert not holds_reference(data.train.images, data)
    assert not holds_reference(np.concatenate([data.train.images, data.holdout.images]), data)
    assert not holds_reference(data.train.images[:1], data)


def test_most_of_the_reference_is_more_than_half_of_it() -> None:
    data = datasets.from_arrays(noise(1000)).split(seed=0)
    half = len(data.reference) // 2
    for count in (half - 1, half + 1):
        images = np.concatenate([data.train.images, data.reference.images[:count]])
        assert holds_reference(images, data) == (count > half)


@pytest.mark.parametrize("copies", [2, 20])
def test_copies_in_a_dataset_are_none_of_the_reference(copies: int) -> None:
    data = datasets.from_arrays(np.repeat(noise(1000 // copies), copies, axis=0)).split(seed=0)
    assert not holds_reference(data.train.images, data)
    assert not holds_reference(data.train.images.copy(), data)


def test_one_image_that_a_dataset_has_often_is_one() -> None:
    images = noise(1000)
    images[::2] = 0
    data = datasets.from_arrays(images).split(seed=0)
    train = data.train.images
    assert not holds_reference(np.concatenate([train, train[:, :, ::-1]]), data)
    assert holds_reference(images, data)
