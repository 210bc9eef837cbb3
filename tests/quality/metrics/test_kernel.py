import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import kernel, kernel_distance, kernel_distance_blocks, kernel_distance_subsets

Array = npt.NDArray[Any]

seeds = st.integers(0, 2**32 - 1)


def _sets(seed: int, n: int = 60, m: int = 50, d: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) + 0.5, 1.2 * rng.standard_normal((m, d))


def _by_force(real: Array, fake: Array) -> float:
    """Both loops in exact fractions; for whole numbers the value has no rounding at all."""
    x, y = ([[Fraction(float(v)) for v in row] for row in features] for features in (real, fake))

    def k(one: list[Fraction], two: list[Fraction]) -> Fraction:
        return (sum((a * b for a, b in zip(one, two, strict=True)), Fraction(0)) / len(one) + 1) ** 3

    def within(rows: list[list[Fraction]]) -> Fraction:
        pairs = [k(one, two) for i, one in enumerate(rows) for j, two in enumerate(rows) if i != j]
        return sum(pairs, Fraction(0)) / len(pairs)

    between = [k(one, two) for one in x for two in y]
    return float(within(x) + within(y) - 2 * sum(between, Fraction(0)) / len(between))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seeds, st.integers(2, 9), st.integers(2, 9), st.integers(1, 5), st.sampled_from([0, 7, 1000, 10**6]))
def test_distance_equals_exact_loops(seed: int, n: int, m: int, d: int, offset: int) -> None:
    """Whole numbers in few dimensions are full of ties; the offset would leave the plain formula no digit."""
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(-3, 4, (n, d)) + offset, rng.integers(-2, 5, (m, d)) + offset
    expected = _by_force(real, fake)
    # The unbiased estimate is a difference of means: its own digits cannot be better than those of its parts.
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-12, abs=1e-11 * (1 + offset**4))


def test_the_plain_formula_would_have_failed_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-3, 4, (9, 3)) + 1e6 for _ in range(2))

    def mean(a: Array, b: Array) -> float:
        k = (a @ b.T / 3 + 1) ** 3
        return float(k.mean() if a is not b else (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    expected = _by_force(x, y)
    assert abs((mean(x, x) + mean(y, y) - 2 * mean(x, y)) / expected - 1) > 1e-6
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def _edge_cases() -> dict[str, tuple[Array, Array]]:
    real, fake = _sets(0, 12, 9, 4)
    dead = np.array([1.0, 0.0, 1.0, 0.0])
    line = np.outer(np.arange(8.0), np.arange(4.0))
    return {
        "dead units": (real * dead, fake * dead),
        "rank 1": (real, line),
        "constant": (real, np.full((5, 4), 0.1)),
        "both constant": (np.full((6, 4), 3.0), np.full((5, 4), 3.0)),
        "two samples": (real[:2], fake[:2]),
        "unequal sizes": (real, fake[:3]),
        "copies": (real, real),
        "all zero": (np.zeros((3, 4)), np.zeros((4, 4))),
    }


@pytest.mark.parametrize("case", _edge_cases())
def test_distance_of_edge_cases(case: str) -> None:
    real, fake = _edge_cases()[case]
    assert kernel_distance(real, fake) == pytest.approx(_by_force(real, fake), rel=1e-10, abs=1e-10)
    assert kernel_distance(fake, real) == pytest.approx(kernel_distance(real, fake), rel=1e-10, abs=1e-10)


def test_distance_in_tiles_equals_distance_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _sets(1, 70, 45)
    whole = kernel_distance(real, fake)
    monkeypatch.setattr(kernel, "_TILE", (8, 11))
    assert kernel_distance(real, fake) == pytest.approx(whole, rel=1e-12)


def test_memory_does_not_grow_with_the_pairs() -> None:
    real, fake = _sets(1, 3000, 3000, 2)
    tracemalloc.start()
    kernel_distance(real, fake)  # one whole matrix would be 72 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_distance_is_unbiased_and_grows_with_the_difference() -> None:
    rng = np.random.default_rng(0)
    values = np.array([kernel_distance(*rng.standard_normal((2, 40, 5))) for _ in range(400)])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert (values < 0).any()
    real = rng.standard_normal((400, 5))
    shifted = [kernel_distance(real, rng.standard_normal((400, 5)) + shift) for shift in (0.0, 0.3, 1.0)]
    assert shifted == sorted(shifted)


def test_third_moments_are_seen() -> None:
    """Equal means and covariances: a Frechet distance of infinitely many samples would be 0."""
    rng = np.random.default_rng(0)
    skewed = rng.exponential(size=(3000, 4)) - 1.0
    assert kernel_distance(rng.standard_normal((3000, 4)), skewed) > 0.1


def test_blocks_are_disjoint_parts_of_both_sets_in_order() -> None:
    real, fake = _sets(2, 47, 31)
    parts = zip(np.array_split(real, 3), np.array_split(fake, 3), strict=True)
    values = [kernel_distance(x, y) for x, y in parts]
    estimate = kernel_distance_blocks(real, fake, 10)
    assert estimate.mean == pytest.approx(np.mean(values))
    assert estimate.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert kernel_distance_blocks(real, fake) == kernel_distance_blocks(real, fake, 2)
    assert kernel_distance_blocks(*_sets(2, 90, 80)) == kernel_distance_blocks(*_sets(2, 90, 80), 4)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_standard_error_of_blocks_is_the_deviation_over_fresh_samples(shift: float) -> None:
    rng = np.random.default_rng(0)
    draws = [(rng.standard_normal((200, 4)), rng.standard_normal((200, 4)) + shift) for _ in range(150)]
    estimates = np.array([kernel_distance_blocks(real, fake) for real, fake in draws])
    root_mean_square = np.sqrt(np.mean(estimates[:, 1] ** 2))
    assert root_mean_square == pytest.approx(estimates[:, 0].std(ddof=1), rel=0.15)
    whole = np.array([kernel_distance(real, fake) for real, fake in draws])
    assert whole.std() < estimates[:, 0].std()


@pytest.mark.parametrize("make", [lambda: np.random.RandomState(3), lambda: np.random.default_rng(3)])
def test_subsets_draw_fake_rows_first(make: Callable[[], Any]) -> None:
    real, fake = _sets(3)
    rng = make()
    values = []
    for _ in range(4):
        y = fake[rng.choice(len(fake), 20, replace=False)]
        values.append(kernel_distance(real[rng.choice(len(real), 20, replace=False)], y))
    mean, std = kernel_distance_subsets(real, fake, 4, 20, make())
    assert (mean, std) == pytest.approx((np.mean(values), np.std(values)))


def test_subsets_without_a_generator_are_always_the_same_and_leave_global_state_alone() -> None:
    real, fake = _sets(4)
    before = np.random.get_state(legacy=False)["state"]["key"]
    expected = kernel_distance_subsets(real, fake, 5, 10, np.random.RandomState(2020))
    assert kernel_distance_subsets(real, fake, 5, 10) == kernel_distance_subsets(real, fake, 5, 10) == expected
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kernel_distance(x * 1e46, x), r"must not exceed 1e\+45 in size for this kernel, got"),
        (lambda x: kernel_distance_blocks(x, x, 1), "at least 2 and leave two blocks, got 1 for 10 samples"),
        (lambda x: kernel_distance_blocks(x, x[:9], 5), "leave two blocks, got 5 for 9 samples"),
        (lambda x: kernel_distance_blocks(x, x[:3]), "leave two blocks, got 2 for 3 samples"),
        (lambda x: kernel_distance_subsets(x, x, 0, 5), "subsets must be at least 1, got 0"),
        (lambda x: kernel_distance_subsets(x, x[:8], 3, 9), r"subset_size must be in 2\.\.8, .* got 9"),
        (lambda x: kernel_distance_subsets(x, x, 3, 1), "subset_size must be in"),
        (lambda x: kernel_distance_subsets(x, x), "subset_size must be in .* got 1000"),
    ],
)
def test_unusable_settings_are_refused(call: Callable[[Array], object], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        call(_sets(5, 10)[0])


def test_the_largest_features_give_a_finite_distance() -> None:
    real, fake = _sets(6)
    assert np.isfinite(kernel_distance(real / np.abs(real).max() * 1e45, fake / np.abs(fake).max() * 1e45))
    for pair in ((real, fake * 1e46), (real * 1e46, fake)):
        with pytest.raises(QualityError, match="features must not exceed 1e\\+45 in size for this kernel"):
            kernel_distance(*pair)


def test_the_default_is_twenty_blocks() -> None:
    real, fake = _sets(7, 400, 400)
    assert kernel_distance_blocks(real, fake) == kernel_distance_blocks(real, fake, 20)
