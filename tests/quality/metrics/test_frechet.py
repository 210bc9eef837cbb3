from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import (
    Moments,
    frechet_distance,
    frechet_distance_from_stats,
    frechet_distance_infinity,
    frechet_standard_error,
    relative_frechet_distance,
    relative_sampling_bias,
)

Array = npt.NDArray[Any]

FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def _sets(seed: int, n: int = 60, m: int = 50, d: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    real = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return real, 0.7 * rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def _distance_by_eigenvalues(real: Array, fake: Array) -> float:
    """The formula with plain eigenvalues of the product, good to half the digits."""
    real, fake = real - real.mean(axis=0), fake - real.mean(axis=0)
    s1, s2 = (np.atleast_2d(np.cov(x.T)) for x in (real, fake))
    root = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0.0)).sum()
    return float(np.sum(fake.mean(axis=0) ** 2) + np.trace(s1) + np.trace(s2) - 2 * root)


def _edge_cases() -> dict[str, tuple[Array, Array]]:
    real, fake = _sets(0)
    dead = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    line = np.outer(np.arange(40.0), np.arange(6.0))
    rng = np.random.default_rng(1)
    return {
        "dead units": (real * dead, fake * dead),
        "a unit dead in one set": (real, fake * dead),
        "rank 1": (real, line),
        "both of rank 1": (line[::2] + 1.0, line),
        "constant": (real, np.full((50, 6), 0.1)),
        "constant, few": (real, np.full((3, 6), 0.1)),
        "large offset": (real + 1e6, fake + 1e6),
        "large offset, few": (real[:5] + 1e6, fake + 1e6),
        "few": (real[:4], fake[:5]),
        "unequal sizes": (real, _sets(2, m=900)[1]),
        "ties": (rng.integers(0, 3, (60, 6)) * 1.0, rng.integers(0, 2, (50, 6)) * 1.0),
    }


@FEW
@given(seeds, st.integers(2, 40), st.integers(2, 40), st.integers(1, 30))
def test_distance_equals_an_independent_computation(seed: int, n: int, m: int, d: int) -> None:
    """Few and many samples, so that both routes are met: both against plain eigenvalues."""
    real, fake = _sets(seed, n, m, d)
    expected = _distance_by_eigenvalues(real, fake)
    scale = real.var(axis=0).sum() + fake.var(axis=0).sum()
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-5, abs=1e-5 * scale)


@pytest.mark.parametrize("case", _edge_cases())
def test_distance_of_edge_cases(case: str) -> None:
    real, fake = _edge_cases()[case]
    expected = _distance_by_eigenvalues(real, fake)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    half, all_ = len(fake) // 2 + 1, len(fake)
    line = (all_ * expected - half * _distance_by_eigenvalues(real, fake[:half])) / (all_ - half)
    assert frechet_distance_infinity(real, fake, [half, all_]) == pytest.approx(line, rel=1e-5, abs=1e-5)
    assert 0.0 <= frechet_standard_error(real, fake, 5) < expected / real.var(axis=0).sum() + 1.0


@FEW
@given(seeds, st.floats(-100, 100), st.integers(3, 60))
def test_common_rotation_shift_and_order_do_not_matter(seed: int, shift: float, m: int) -> None:
    real, fake = _sets(seed, m=m)
    rng = np.random.default_rng(seed)
    rotation = scipy.stats.ortho_group.rvs(6, random_state=rng)
    moved = (rng.permutation(real) @ rotation + shift, rng.permutation(fake) @ rotation + shift)
    for metric in (frechet_distance, relative_frechet_distance):
        value = metric(real, fake)
        assert value >= 0.0
        assert metric(*moved) == pytest.approx(value, rel=1e-6, abs=1e-6)


@FEW
@given(seeds, st.integers(2, 80))
def test_distance_is_symmetric_and_zero_for_equal_sets(seed: int, m: int) -> None:
    real, fake = _sets(seed, m=m)
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-8)
    assert 0.0 <= frechet_distance(real, real[::-1]) < 1e-9 * np.var(real, axis=0).sum()
    wide, _ = _sets(seed, n=20, d=50)
    assert 0.0 <= frechet_distance(wide, wide[::-1]) < 1e-9 * np.var(wide, axis=0).sum()
    stats = wide.mean(axis=0), np.cov(wide.T)
    assert 0.0 <= frechet_distance_from_stats(*stats, *stats) < 1e-9 * np.var(wide, axis=0).sum()


@pytest.mark.parametrize("m", [2, 5, 100])
def test_constant_at_the_mean_has_relative_distance_one(m: int) -> None:
    real, _ = _sets(3)
    assert relative_frechet_distance(real, np.tile(real.mean(axis=0), (m, 1))) == pytest.approx(1.0, abs=1e-9)
    assert relative_frechet_distance(7 * real, 7 * _sets(4)[1]) == pytest.approx(
        relative_frechet_distance(real, _sets(4)[1])
    )


@pytest.mark.parametrize("scale", [1e-60, 1e60, 1e98])
def test_the_scale_of_the_features_does_not_matter(scale: float) -> None:
    real, fake = _sets(5)
    for metric in (relative_frechet_distance, frechet_standard_error):
        assert metric(scale * real, scale * fake) == pytest.approx(metric(real, fake), rel=1e-6)
    expected = frechet_distance_infinity(real, fake)
    assert frechet_distance_infinity(scale * real, scale * fake) / scale**2 == pytest.approx(expected, rel=1e-6)
    assert relative_sampling_bias(scale * real, 50) == pytest.approx(relative_sampling_bias(real, 50))


@FEW
@given(seeds, st.integers(1, 12))
def test_distance_from_statistics(seed: int, d: int) -> None:
    real, fake = _sets(seed, 200, 150, d)
    (m1, s1), (m2, s2) = ((x.mean(axis=0), np.atleast_2d(np.cov(x.T))) for x in (real, fake))
    root = np.trace(scipy.linalg.sqrtm(s1 @ s2).real)
    expected = np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance_from_stats(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_distance_from_merged_moments() -> None:
    real, fake = _sets(6)
    x, y = Moments.of(real[:20]).merge(Moments.of(real[20:])), Moments.of(fake[:1]).merge(Moments.of(fake[1:]))
    got = frechet_distance_from_stats(x.mean, x.covariance(), y.mean, y.covariance())
    assert got == pytest.approx(frechet_distance(real, fake), rel=1e-12)


@FEW
@given(seeds, st.integers(1, 12))
def test_distance_from_singular_statistics(seed: int, d: int) -> None:
    """Of rank 1 the root has a closed form: tr (u u^T v v^T)^(1/2) = |u.v|."""
    u, v, m1, m2 = np.random.default_rng(seed).standard_normal((4, d))
    one, two, none = np.outer(u, u), np.outer(v, v), np.zeros((d, d))
    apart = np.sum((m1 - m2) ** 2)
    expected = apart + u @ u + v @ v - 2 * abs(u @ v)
    assert frechet_distance_from_stats(m1, one, m2, two) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert frechet_distance_from_stats(m1, one, m2, none) == pytest.approx(apart + u @ u)
    assert frechet_distance_from_stats(m1, none, m2, two) == pytest.approx(apart + v @ v)
    assert frechet_distance_from_stats(m1, none, m2, none) == pytest.approx(apart)
    assert frechet_distance_from_stats(m1, one, m1, one) == pytest.approx(0.0, abs=1e-12 * (u @ u))


@pytest.mark.parametrize(
    ("stats", "message"),
    [
        (([0.0], [[1.0]], [0.0, 0.0], np.eye(2)), "same number of features, got 1 and 2"),
        (([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], np.eye(2)), r"mean_real and cov_real must have the shapes .* \[2\] and"),
        (([0.0], [[1.0]], 0.0, [[1.0]]), "mean_fake and cov_fake must have the shapes"),
        (([], np.empty((0, 0)), [], np.empty((0, 0))), "mean_real and cov_real must have the shapes"),
        (([0.0, 0.0], np.eye(2), [0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "cov_fake must be symmetric without negative"),
        (([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], [0.0, 0.0], np.eye(2)), "cov_real must be symmetric without negative"),
        (([0.0], [[-1.0]], [0.0], [[1.0]]), "cov_real must be symmetric without negative"),
        (([np.nan], [[1.0]], [0.0], [[1.0]]), "mean_real must be finite"),
        (([0.0], [[np.inf]], [0.0], [[1.0]]), "cov_real must be finite"),
    ],
)
def test_unusable_statistics_are_refused(stats: tuple[Any, Any, Any, Any], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        frechet_distance_from_stats(*stats)


@FEW
@given(seeds, st.integers(1, 10), st.sets(st.integers(2, 50), min_size=2, max_size=8))
def test_infinity_is_the_intercept_through_the_distances_of_prefixes(seed: int, d: int, sizes: set[int]) -> None:
    real, fake = _sets(seed, d=d)
    counts = np.array(sorted(sizes))
    distances = [_distance_by_eigenvalues(real, fake[:n]) for n in counts]
    slope, expected = np.polyfit(1.0 / counts, distances, 1)
    scale = abs(slope) + max(distances)  # with sizes that lie close together the line magnifies rounding
    got = frechet_distance_infinity(real, fake, list(sizes))
    assert got == pytest.approx(expected, abs=1e-5 * scale / np.ptp(1.0 / counts) / counts[0])


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_infinity_is_unbiased(scale: float) -> None:
    d, m = 8, 300
    rng = np.random.default_rng(0)
    real = rng.standard_normal((500, d))
    truth = frechet_distance_from_stats(real.mean(axis=0), np.cov(real.T), np.full(d, 0.1), scale**2 * np.eye(d))
    fakes = [scale * rng.standard_normal((m, d)) + 0.1 for _ in range(100)]
    infinite = np.array([frechet_distance_infinity(real, fake) for fake in fakes])
    finite = np.array([frechet_distance(real, fake) for fake in fakes])
    assert abs(infinite.mean() - truth) < 3.0 * infinite.std() / 10
    assert finite.mean() - truth > 10.0 * finite.std() / 10  # the bias that is gone
    assert infinite.std() < 2.0 * finite.std()


def test_infinity_of_a_perfect_generator_may_be_negative() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((20_000, 4))
    values = np.array([frechet_distance_infinity(real, rng.standard_normal((100, 4))) for _ in range(20)])
    assert 3 <= np.count_nonzero(values < 0) <= 17


def test_infinity_looks_at_fifteen_sizes_from_a_third_of_the_samples() -> None:
    real, fake = _sets(7, m=300)
    sizes = np.linspace(100, 300, 15).astype(int)
    assert frechet_distance_infinity(real, fake) == frechet_distance_infinity(real, fake, sizes.tolist())
    assert frechet_distance_infinity(real, fake[:15]) == frechet_distance_infinity(real, fake[:15], range(8, 16))


def test_infinity_of_one_output_is_its_distance() -> None:
    real, _ = _sets(7)
    fake = np.full((40, 6), 0.1)
    assert frechet_distance_infinity(real, fake) == pytest.approx(frechet_distance(real, fake), rel=1e-9)


def test_infinity_with_the_fewest_samples_and_a_large_offset() -> None:
    real, fake = _sets(8, m=9)
    expected = frechet_distance_infinity(real, fake, [8, 9])
    assert frechet_distance_infinity(real, fake) == pytest.approx(expected)
    assert frechet_distance_infinity(real + 1e6, fake + 1e6) == pytest.approx(expected, rel=1e-7)


def _standard_error_by_force(real: Array, fake: Array, resamples: int, seed: int) -> float:
    draws = [np.random.default_rng([seed, i]).integers(0, len(fake), len(fake)) for i in range(resamples)]
    return float(np.std([relative_frechet_distance(real, fake[rows]) for rows in draws], ddof=1))


@FEW
@given(seeds, st.integers(2, 40), st.integers(2, 40), st.integers(1, 20), st.sampled_from([0.0, 1e6]))
def test_standard_error_is_that_of_resampled_distances(seed: int, n: int, m: int, d: int, offset: float) -> None:
    real, fake = _sets(seed, n, m, d)
    expected = _standard_error_by_force(real + offset, fake + offset, 5, seed)
    assert frechet_standard_error(real + offset, fake + offset, 5, seed) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def _errors_and_deviation(scale: float, shift: float) -> tuple[float, float]:
    """The mean bootstrap error of 20 sets, and the deviation over 400 fresh sets."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((1000, 16))
    fakes = [scale * rng.standard_normal((1000, 16)) + shift for _ in range(400)]
    deviation = np.std([relative_frechet_distance(real, fake) for fake in fakes], ddof=1)
    return float(np.mean([frechet_standard_error(real, fake) for fake in fakes[:20]])), float(deviation)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.3), (1.3, 0.0), (0.7, 0.1)])
def test_standard_error_is_the_deviation_over_fresh_samples(scale: float, shift: float) -> None:
    error, deviation = _errors_and_deviation(scale, shift)
    assert error == pytest.approx(deviation, rel=0.12)


def test_standard_error_of_a_perfect_generator_is_on_the_safe_side() -> None:
    error, deviation = _errors_and_deviation(1.0, 0.0)
    assert deviation < error < 1.6 * deviation


def test_standard_error_depends_on_the_seed_alone() -> None:
    real, fake = _sets(9)
    before = np.random.get_state(legacy=False)["state"]["key"]
    first, again, other = (frechet_standard_error(real, fake, seed=seed) for seed in (0, 0, 1))
    assert first == again == frechet_standard_error(real, fake) != other
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_standard_error_of_one_output_is_zero() -> None:
    real, _ = _sets(9)
    assert frechet_standard_error(real, np.full((30, 6), 0.1)) < 1e-12


@pytest.mark.parametrize(("scales", "n", "m"), [([1.0] * 8, 300, 300), ([3.0, 1.0, 0.3, 0.1, 0.1], 200, 400)])
def test_sampling_bias_is_what_perfect_generators_show(scales: list[float], n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    shown = [
        relative_frechet_distance(
            rng.standard_normal((n, len(scales))) * scales, rng.standard_normal((m, len(scales))) * scales
        )
        for _ in range(300)
    ]
    expected = relative_sampling_bias(rng.standard_normal((n, len(scales))) * scales, m)
    assert expected == pytest.approx(np.mean(shown), rel=0.1)


@pytest.mark.parametrize("value", [1.0, 0.1])
@pytest.mark.parametrize(
    "metric",
    [relative_frechet_distance, frechet_standard_error, lambda real, fake: relative_sampling_bias(real, len(fake))],
)
def test_a_reference_that_does_not_vary_is_refused(metric: Callable[[Array, Array], float], value: float) -> None:
    with pytest.raises(QualityError, match="must vary between samples, got 10 equal ones"):
        metric(np.full((10, 2), value), np.eye(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: relative_sampling_bias(x, 1), "samples must be at least 2, got 1"),
        (lambda x: frechet_standard_error(x, x, resamples=1), "resamples must be at least 2, got 1"),
        (
            lambda x: frechet_distance_infinity(x, x[:5]),
            "at least 6 samples of 3 features for the default sizes, got 5",
        ),
        (lambda x: frechet_distance_infinity(x, x, [5, 11]), r"two different integers in 2\.\.10, got \[5, 11\]"),
        (lambda x: frechet_distance_infinity(x, x, [1, 5]), "sizes must be at least two"),
        (lambda x: frechet_distance_infinity(x, x, [5, 5]), "sizes must be at least two"),
        (lambda x: frechet_distance_infinity(x, x, []), "sizes must be at least two"),
        (lambda x: frechet_distance_infinity(x, x, np.array([2.5, 5.0]).tolist()), "sizes must be at least two"),
    ],
)
def test_unusable_settings_are_refused(call: Callable[[Array], object], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        call(np.random.default_rng(0).standard_normal((10, 3)))
