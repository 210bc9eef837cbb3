from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import Moments

Array = npt.NDArray[Any]


def _merged(features: Array, cuts: list[int]) -> Moments:
    first, *rest = [Moments.of(part) for part in np.split(features, cuts)]
    for part in rest:
        first = first.merge(part)
    return first


def _assert_moments_of(moments: Moments, features: Array) -> None:
    expected = np.atleast_2d(np.cov(features.T))
    assert moments.count == len(features)
    assert np.abs(moments.mean - features.mean(axis=0)).max() <= 1e-15 * np.abs(features).max()
    assert np.abs(moments.covariance() - expected).max() <= 1e-10 * np.abs(expected).max()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([0.0, 1.0, -1e6, 1e6]), st.data())
def test_any_split_merges_to_the_moments_of_all(seed: int, d: int, offset: float, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((60, d)) @ rng.standard_normal((d, d)) + offset
    cuts = sorted(data.draw(st.sets(st.integers(1, 59), max_size=59)))
    _assert_moments_of(_merged(features, cuts), features)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_single_samples_merge_to_the_moments_of_all(offset: float) -> None:
    features = np.random.default_rng(0).standard_normal((500, 5)) + offset
    _assert_moments_of(_merged(features, list(range(1, 500))), features)


def test_sums_of_squares_would_have_failed_the_same_check() -> None:
    x = np.random.default_rng(0).standard_normal((500, 1)) + 1e6
    naive = ((x**2).sum() - len(x) * x.mean() ** 2) / (len(x) - 1)
    assert abs(naive / np.var(x, ddof=1) - 1) > 1e-6
    assert Moments.of(x).covariance()[0, 0] == pytest.approx(np.var(x, ddof=1), rel=1e-12)


def test_order_of_merging_does_not_matter() -> None:
    parts = [Moments.of(np.random.default_rng(seed).standard_normal((seed + 1, 4)) + seed) for seed in range(4)]
    left = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    right = parts[3].merge(parts[1].merge(parts[2]).merge(parts[0]))
    assert left.count == right.count == 10
    np.testing.assert_allclose(left.mean, right.mean, rtol=1e-12)
    np.testing.assert_allclose(left.scatter, right.scatter, rtol=1e-12)


def test_merging_changes_neither_part() -> None:
    first, second = Moments.of([[1.0, 2.0], [3.0, 4.0]]), Moments.of([[9.0, 9.0]])
    before = [array.copy() for part in (first, second) for array in (part.mean, part.scatter)]
    first.merge(second)
    after = [array for part in (first, second) for array in (part.mean, part.scatter)]
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    with pytest.raises(AttributeError):
        first.count = 3  # type: ignore[misc]


def test_constant_features_and_dead_units_have_no_variance() -> None:
    moments = Moments.of(np.full((7, 2), 0.1)).merge(Moments.of(np.full((3, 2), 0.1)))
    assert np.abs(moments.covariance()).max() < 1e-30
    live = np.random.default_rng(0).standard_normal((20, 3)) * [1.0, 0.0, 1.0]
    covariance = _merged(live, [5, 11]).covariance()
    assert not covariance[1].any()
    assert not covariance[:, 1].any()


def test_unusable_batches_are_refused() -> None:
    with pytest.raises(QualityError, match="features must be finite, got 1 NaN"):
        Moments.of([[1.0, np.nan]])
    with pytest.raises(QualityError, match="features must hold at least 1 samples, got 0"):
        Moments.of(np.empty((0, 3)))
    with pytest.raises(QualityError, match=r"features must have the shape \[samples, features\], got \[3\]"):
        Moments.of(np.zeros(3))
    with pytest.raises(QualityError, match="same number of features to be merged, got 2 and 3"):
        Moments.of(np.zeros((1, 2))).merge(Moments.of(np.zeros((1, 3))))
    with pytest.raises(QualityError, match="a covariance needs at least 2 samples, got 1"):
        Moments.of(np.zeros((1, 2))).covariance()
