"""What every metric of two sets refuses, and that none of them changes what it is given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tuner_gan.errors import QualityError
from tuner_gan.quality import metrics

Array = npt.NDArray[Any]

METRICS: dict[str, Callable[[Any, Any], object]] = {
    "compare_neighbours": metrics.compare_neighbours,
    "coverage": metrics.coverage,
    "frechet_distance": metrics.frechet_distance,
    "frechet_distance_infinity": metrics.frechet_distance_infinity,
    "frechet_standard_error": metrics.frechet_standard_error,
    "kernel_distance": metrics.kernel_distance,
    "kernel_distance_blocks": metrics.kernel_distance_blocks,
    "kernel_distance_subsets": lambda real, fake: metrics.kernel_distance_subsets(real, fake, 3, 20),
    "monge_distance": metrics.monge_distance,
    "relative_frechet_distance": metrics.relative_frechet_distance,
    "sliced_wasserstein": metrics.sliced_wasserstein,
}


def _sets() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 6)), rng.standard_normal((50, 6))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(x == x[0, 0], np.nan, x), r"fake must be finite, got 1 NaN"),
        (lambda x: np.where(x == x[0, 0], np.inf, x), r"fake must be finite"),
        (lambda x: x * 1e120, r"fake must not exceed"),
        (lambda x: np.abs(x) * -1e101, r"fake must not exceed"),
        (lambda x: x[0], r"fake must have the shape \[samples, features\], got \[6\]"),
        (lambda x: x[:, :0], r"fake must have the shape"),
        (lambda x: x[:1], r"fake must hold at least 2 samples, got 1"),
        (lambda x: x[:, :5], r"same number of features, got \[60, 6\] and \[50, 5\]"),
        (lambda x: x.astype(str), r"fake must be an array of real numbers"),
        (lambda x: x + 0j, r"fake must be an array of real numbers"),
    ],
)
def test_unusable_features_are_refused(metric: str, change: Callable[[Array], Array], message: str) -> None:
    real, fake = _sets()
    with pytest.raises(QualityError, match=message):
        METRICS[metric](real, change(fake))


@pytest.mark.parametrize("metric", METRICS)
def test_an_unusable_reference_is_named(metric: str) -> None:
    real, fake = _sets()
    with pytest.raises(QualityError, match="real must be finite, got 360 NaN"):
        METRICS[metric](real * np.nan, fake)


@pytest.mark.parametrize("metric", METRICS)
def test_kinds_of_arrays_do_not_matter_and_nothing_is_changed(metric: str) -> None:
    real, fake = (np.round(8 * x) for x in _sets())
    before = real.copy(), fake.copy()
    expected = METRICS[metric](real, fake)
    assert np.array_equal(real, before[0])
    assert np.array_equal(fake, before[1])
    assert METRICS[metric](real.astype(np.float32), fake.astype(np.int8)) == expected
    assert METRICS[metric](real.tolist(), fake.tolist()) == expected


def test_everything_public_is_named_in_alphabetical_order() -> None:
    assert sorted(metrics.__all__) == metrics.__all__
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)
