"""The labels that every conditional generator is asked for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_gan.quality.labels import allocate_labels


@pytest.mark.parametrize(
    ("counts", "count", "expected"),
    [
        ([10, 10], 500, [250, 250]),
        ([1, 2, 3], 6, [1, 2, 3]),
        ([1, 1, 1], 500, [167, 167, 166]),  # of equal remainders the lowest classes get one
        ([90, 9, 1], 10, [9, 1, 0]),
        ([0, 5, 0], 7, [0, 7, 0]),
        ([3, 0, 1, 0], 2, [2, 0, 0, 0]),  # 1.5 and 0.5
    ],
)
def test_each_class_gets_its_share(counts: list[int], count: int, expected: list[int]) -> None:
    labels = allocate_labels(np.repeat(np.arange(len(counts)), counts), len(counts), count, seed=0)
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=len(counts)).tolist() == expected


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12).filter(any), st.integers(1, 300))
def test_no_class_is_off_by_a_whole_image(counts: list[int], count: int) -> None:
    labels = allocate_labels(np.repeat(np.arange(len(counts)), counts), len(counts), count, seed=1)
    found = np.bincount(labels, minlength=len(counts)).tolist()
    assert sum(found) == count
    assert all(abs(Fraction(have * count, sum(counts)) - got) < 1 for have, got in zip(counts, found, strict=True))


def test_they_are_mixed_and_fixed_by_the_seed() -> None:
    real = np.repeat(np.arange(10), 36)
    labels = allocate_labels(real, 10, 500, seed=3)
    np.testing.assert_array_equal(labels, allocate_labels(real[::-1], 10, 500, seed=3))
    assert (labels != allocate_labels(real, 10, 500, seed=4)).any()
    assert all(len(set(part)) == 10 for part in np.split(labels, 5))  # scores cut the images into parts
