import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import monge_distance, sliced, sliced_wasserstein

Array = npt.NDArray[Any]

FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def _sets(seed: int, n: int = 60, m: int = 50, d: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) + 0.5, 1.2 * rng.standard_normal((m, d))


def _by_force(real: Array, fake: Array, directions: Array) -> float:
    """Each sample repeated until both sets have as many: then sorting pairs them."""
    values = []
    for u in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        x, y = np.repeat(np.sort(real @ u), len(fake)), np.repeat(np.sort(fake @ u), len(real))
        values.append(np.mean((x - y) ** 2))
    return float(np.mean(values))


@FEW
@given(seeds, st.integers(2, 30), st.integers(2, 30), st.integers(1, 5), st.integers(1, 6))
def test_distance_equals_sorting_of_repeated_samples(seed: int, n: int, m: int, d: int, count: int) -> None:
    real, fake = _sets(seed, n, m, d)
    directions = np.random.default_rng(seed).standard_normal((count, d))
    expected = _by_force(real, fake, directions)
    assert sliced_wasserstein(real, fake, directions) == pytest.approx(expected, rel=1e-10)
    assert sliced_wasserstein(fake, real, -3.0 * directions) == pytest.approx(expected, rel=1e-10)
    assert monge_distance(real, fake, directions) == pytest.approx(3 * d * expected, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (7, 3)])
def test_one_direction_is_the_cheapest_transport(n: int, m: int) -> None:
    """Against the linear programme that defines the distance."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 1)), rng.standard_normal((m, 1)) + 0.3
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    plan = scipy.optimize.linprog(
        ((x - y.T) ** 2).ravel(),
        A_eq=np.concatenate([rows, columns]),
        b_eq=np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)]),
    )
    assert sliced_wasserstein(x, y, 1) == pytest.approx(plan.fun, rel=1e-8)


def _edge_cases() -> dict[str, tuple[Array, Array]]:
    real, fake = _sets(0)
    dead = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    rng = np.random.default_rng(1)
    return {
        "dead units": (real * dead, fake * dead),
        "rank 1": (real, np.outer(np.arange(40.0), np.arange(6.0))),
        "constant": (real, np.full((50, 6), 0.1)),
        "both constant": (np.full((4, 6), 2.0), np.full((3, 6), 1.0)),
        "two samples": (real[:2], fake[:2]),
        "unequal sizes": (real, fake[:7]),
        "ties": (rng.integers(0, 3, (60, 6)) * 1.0, rng.integers(0, 2, (50, 6)) * 1.0),
    }


@pytest.mark.parametrize("case", _edge_cases())
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_distance_of_edge_cases(case: str, offset: float) -> None:
    real, fake = _edge_cases()[case]
    directions = np.random.default_rng(2).standard_normal((9, 6))
    expected = _by_force(real, fake, directions)
    got = sliced_wasserstein(real + offset, fake + offset, directions)
    assert got == pytest.approx(expected, rel=1e-8 if offset else 1e-12)


@FEW
@given(seeds, st.integers(2, 20), st.integers(1, 4))
def test_copies_have_distance_zero_however_often_they_are_repeated(seed: int, n: int, times: int) -> None:
    real, _ = _sets(seed, n)
    copies = np.random.default_rng(seed).permutation(np.repeat(real, times, axis=0))
    assert sliced_wasserstein(real, copies) < 1e-25
    assert sliced_wasserstein(real, copies + 1.0) > 0.0


def test_random_directions_come_from_the_seed_alone() -> None:
    real, fake = _sets(3)
    before = np.random.get_state(legacy=False)["state"]["key"]
    first, again, other = (sliced_wasserstein(real, fake, 10, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert sliced_wasserstein(real, fake) == sliced_wasserstein(real, fake, 128, 0)
    assert monge_distance(real, fake, 10, 1) == pytest.approx(18 * other, rel=1e-12)
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_random_directions_are_uniform_on_the_sphere() -> None:
    """A shift by s moves every direction by u.s, and the mean of (u.s)^2 is |s|^2 / d."""
    real, _ = _sets(4)
    shift = np.array([3.0, 0.0, 0.0, 0.0, 0.0, 4.0])
    assert sliced_wasserstein(real, real + shift, 20_000) == pytest.approx(25 / 6, rel=0.03)
    assert monge_distance(real, real + shift, 20_000) == pytest.approx(3 * 25, rel=0.03)


def test_directions_in_blocks_equal_directions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _sets(5)
    whole = sliced_wasserstein(real, fake, 50)
    for values in (7 * 110, 109):  # and where a single direction is more than a block
        monkeypatch.setattr(sliced, "_BLOCK", values)
        assert sliced_wasserstein(real, fake, np.int64(50)) == pytest.approx(whole, rel=1e-12)


def test_memory_does_not_grow_with_the_directions() -> None:
    real, fake = _sets(6, 2000, 1500, 2)
    tracemalloc.start()
    sliced_wasserstein(real, fake, 3000)  # at once: 10 million projections, 84 MB and more
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("metric", [sliced_wasserstein, monge_distance])
@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (0, "directions must be at least 1, got 0"),
        (-3, "directions must be at least 1, got -3"),
        (np.ones((4, 5)), r"directions must have the shape \[directions, 6\], got \[4, 5\]"),
        (np.ones(6), r"got \[6\]"),
        (np.empty((0, 6)), r"got \[0, 6\]"),
        ([[1.0] * 6, [0.0] * 6], "a length above 0, got a zero vector"),
        ([[np.nan] * 6], "directions must be finite"),
    ],
)
def test_unusable_directions_are_refused(metric: Callable[..., float], directions: Any, message: str) -> None:
    with pytest.raises(QualityError, match=message):
        metric(*_sets(7), directions=directions)
