import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import distances, neighbours, radii
from tuner_gan.quality.metrics.neighbours import (
    compare_neighbours,
    coverage,
    expected_coverage,
    nearest_neighbour_two_sample,
    precision_recall_density_coverage,
)

Array = npt.NDArray[Any]

VECTORS = {v["id"]: v for v in json.loads((Path(__file__).parent / "metric_vectors.json").read_text())["vectors"]}
FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def _by_force(real: Array, fake: Array, k: int) -> dict[str, float]:
    own, other, across = (cdist(*sets) for sets in ((real, real), (fake, fake), (real, fake)))
    np.fill_diagonal(own, np.inf)
    np.fill_diagonal(other, np.inf)
    own_k, other_k = (np.sort(x, axis=1)[:, k - 1] for x in (own, other))
    within = across < own_k[:, None]
    right_real = _halves(own.min(axis=1), across.min(axis=1))
    right_fake = _halves(other.min(axis=1), across.min(axis=0))
    return {
        "precision": within.any(axis=0).mean(),
        "recall": (across < other_k).any(axis=1).mean(),
        "density": within.sum() / (k * len(fake)),
        "coverage": within.any(axis=1).mean(),
        "accuracy": np.concatenate([right_real, right_fake]).mean(),
        "real": right_real.mean(),
        "fake": right_fake.mean(),
    }


def _halves(own: Array, other: Array) -> Array:
    result: Array = (own < other) + 0.5 * (own == other)
    return result


def _check(real: Array, fake: Array, k: int = 5) -> dict[str, float]:
    """Everything against brute force, to the last digit but for the order of sums."""
    expected = _by_force(real, fake, k)
    got = compare_neighbours(real, fake, k)._asdict()
    assert got == pytest.approx(expected, rel=1e-13, abs=0.0)
    assert coverage(real, fake, k) == got["coverage"]
    return got


def _sets(seed: int, n: int = 400, m: int = 300, d: int = 8) -> tuple[Array, Array]:
    """Real samples, and generated ones that are some of them with noise."""
    rng = np.random.default_rng(seed)
    real = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return real, real[rng.permutation(n)[np.arange(m) % n]] + 0.3 * rng.standard_normal((m, d))


@FEW
@given(seeds, st.integers(1, 8), st.integers(9, 60), st.integers(1, 3), st.sampled_from([0.0, 1.0, 1e6]))
def test_ties_and_copies_equal_brute_force(seed: int, k: int, m: int, d: int, offset: float) -> None:
    """Whole numbers in few dimensions are full of equal distances and of copies."""
    rng = np.random.default_rng(seed)
    _check(rng.integers(0, 9, (40, d)) + offset, rng.integers(0, 9, (m, d)) + offset, k)


@FEW
@given(seeds, st.integers(1, 8), st.integers(2, 8))
def test_coverage_by_fewer_samples_than_neighbours(seed: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, 4, (40, 3)), rng.integers(0, 4, (m, 3))
    radius = np.sort(cdist(real, real), axis=1)[:, k]
    assert coverage(real, fake, k) == np.mean(cdist(real, fake).min(axis=1) < radius)


@FEW
@given(seeds, st.floats(-100, 100), st.integers(6, 60))
def test_common_rotation_shift_and_order_do_not_matter(seed: int, shift: float, m: int) -> None:
    real, fake = _sets(seed, 60, m)
    rng = np.random.default_rng(seed)
    rotation = scipy.stats.ortho_group.rvs(8, random_state=rng)
    moved = (rng.permutation(x) @ rotation + shift for x in (real, fake))
    assert compare_neighbours(*moved) == pytest.approx(compare_neighbours(real, fake), rel=1e-13)


@FEW
@given(seeds, st.integers(1, 12), st.integers(13, 700), st.integers(13, 700), st.integers(1, 40))
def test_everything_equals_brute_force(seed: int, k: int, n: int, m: int, d: int) -> None:
    """So many samples that the nearest ones are first looked for among a part of them."""
    _check(*_sets(seed, n, m, d), k)


@pytest.mark.parametrize("scale", [1e-170, 1e-158, 1e-130, 1e-60, 1e-25, 1.0, 1e25, 1e90])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e6])
def test_scale_and_offset_cost_no_exactness(scale: float, offset: float) -> None:
    real, fake = _sets(0)
    _check(scale * (real + offset), scale * (fake + offset))
    _check(np.repeat(scale * (real[:4] + offset), 99, axis=0), np.repeat(scale * (fake[:3] + offset), 99, axis=0))


def test_whole_numbers_in_more_dimensions() -> None:
    rng = np.random.default_rng(0)
    got = _check(rng.integers(0, 3, (900, 10)) + 1e6, rng.integers(0, 3, (800, 10)) + 1e6)
    assert 0.0 < got["precision"] < 1.0


def test_distances_that_differ_in_the_ninth_digit_only() -> None:
    """Corners of a simplex, almost: no product of float32 numbers can tell these distances apart."""
    rng = np.random.default_rng(0)
    corners = np.eye(200)
    real, fake = (corners[rows] + 1e-9 * rng.standard_normal((100, 200)) for rows in (slice(100), slice(100, 200)))
    got = _check(real, fake)
    for name in ("precision", "recall", "coverage", "real", "fake"):
        assert 0.0 < got[name] < 1.0, name


@pytest.mark.parametrize("excess", np.geomspace(1e-7, 1e-4, 31))
def test_neighbours_about_equally_near_whose_bounds_are_not_equally_wide(excess: float) -> None:
    """The second neighbour of the first sample has the larger norm, so that its lower bound may be the smaller one."""
    real = np.array([1.0, 0.1, 1.0 + 0.9 * (1.0 + excess), -3.0])[:, None]
    for share in (0.9, 0.97, 1.03):
        got = _check(real, np.array([1.0 - 0.9 * (1.0 + share * excess), 50.0, 60.0])[:, None], k=2)
        assert got["coverage"] == (0.75 if share < 1.0 else 0.5)


def test_exact_copies() -> None:
    rng = np.random.default_rng(0)
    for offset in (0.0, 1e3, 1e8):
        real = rng.standard_normal((600, 16)) + offset
        copies = _check(real, real[rng.permutation(600)])
        assert (copies["coverage"], copies["recall"], copies["precision"]) == (1.0, 1.0, 1.0)
        assert (copies["accuracy"], copies["real"], copies["fake"]) == (0.0, 0.0, 0.0)
        # Each real sample twice: the nearest neighbour is its copy, at exactly zero, and nothing is nearer than that.
        twice = np.concatenate([real, real])
        assert _check(twice, real, k=1)["coverage"] == 0.0
        assert nearest_neighbour_two_sample(twice, twice) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_two_sets_of_one_sample(constant: float) -> None:
    same = np.full((300, 4), constant)
    got = _check(same, same[:200])
    assert tuple(got.values()) == (0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("width", [0.0, 1e-12, 1e-6, 1e-3])
def test_collapsed_to_a_point_or_nearly(width: float) -> None:
    """Generated samples whose own distances are below what float32 resolves."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((500, 16))
    fake = real.mean(axis=0) + width * rng.standard_normal((600, 16))
    got = _check(real, fake)
    assert got["recall"] == 0.0
    assert got["precision"] == 1.0
    assert got["density"] > 1.0
    _check(fake, real)


@pytest.mark.parametrize("size", [1e3, 1e8, 1e60])
def test_one_sample_or_all_far_away(size: float) -> None:
    real, fake = _sets(0)
    fake[7] = size
    _check(real, fake)
    _check(fake, real)
    assert _check(real, real[:200] * size)["coverage"] < 0.2


def test_real_samples_in_the_order_of_their_classes() -> None:
    rng = np.random.default_rng(0)
    centres = 20.0 * rng.standard_normal((10, 6))
    real = np.concatenate([c + rng.standard_normal((100, 6)) for c in centres])
    got = _check(real, real[:500] + 0.01)  # half the classes are missing
    assert got["coverage"] == 0.5


@pytest.mark.parametrize(
    "limit",
    [("_MOST_PAIRS", radii, 50), ("_MOST_PAIRS", radii, 9**9), ("_BATCH", distances, 3), ("_PAIRS", distances, 7)],
)
def test_limits_of_memory_change_nothing(limit: tuple[str, Any, int], monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _sets(1)
    rounded = np.round(real), np.round(fake)
    name, module, value = limit
    assert hasattr(module, name)
    monkeypatch.setattr(module, name, value)
    _check(real, fake)
    _check(*rounded)


@pytest.mark.parametrize(("band", "chunk"), [(1, 1000), (7, 11), (50, 13), (1000, 50)])
def test_blocks_change_nothing(band: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (distances, radii, neighbours):
        monkeypatch.setattr(module, "BAND", band)
    monkeypatch.setattr(distances, "_CHUNK", chunk)
    _check(*_sets(2))


@FEW
@given(seeds, st.integers(2, 60), st.integers(1, 300), st.integers(-60, 60), st.floats(-1e6, 1e6))
def test_bounds_enclose_the_distances(seed: int, n: int, d: int, exponent: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.integers(-6, 3, (n, 1))
    real, fake = ((rng.standard_normal((n, d)) * spread + offset) * 10.0**exponent for _ in range(2))
    x, y = distances.prepare(real, fake)
    half = cdist(real, fake, "sqeuclidean") * x.scale
    lower = (x.left @ y.right.T).astype(float)
    upper = lower + x.slack[:, None] + y.slack
    assert (lower <= half).all()
    assert (half <= upper).all()
    centred = [np.square(s - real.mean(axis=0)).sum(axis=1) * 2.0 * x.scale for s in (real, fake)]
    assert (upper - lower <= 4 * (d + 24) * 2.0**-24 * (centred[0][:, None] + centred[1]) + 1e-30).all()


def test_threads_of_blas_are_given_back() -> None:
    def threads() -> list[int]:
        libraries = threadpoolctl.threadpool_info()
        return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]

    def fail(_: int) -> None:
        raise ZeroDivisionError

    with threadpoolctl.threadpool_limits(2, "blas"):
        before = threads()
        assert set(before) == {2}
        assert distances.in_threads(lambda task: (task, set(threads())), range(3)) == [(0, {1}), (1, {1}), (2, {1})]
        with pytest.raises(ZeroDivisionError):
            distances.in_threads(fail, range(2))
        assert threads() == before


def test_global_random_state_is_left_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    compare_neighbours(*_sets(0))
    assert np.random.random() == expected


def test_the_other_functions_are_parts_of_the_comparison() -> None:
    real, fake = _sets(3)
    got = compare_neighbours(real, fake, 3)
    assert precision_recall_density_coverage(real, fake, 3) == got[:4]
    assert precision_recall_density_coverage(real, fake, 3)._fields == got._fields[:4]
    assert nearest_neighbour_two_sample(real, fake) == got[4:]
    assert nearest_neighbour_two_sample(real, fake)._fields == got._fields[4:]
    assert nearest_neighbour_two_sample(real[:2], fake[:2]) == pytest.approx(
        [_by_force(real[:2], fake[:2], 1)[name] for name in ("accuracy", "real", "fake")]
    )
    _check(real.astype(np.float32), fake.astype(np.float32), 3)


def test_what_the_two_sample_test_shows() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((500, 4))
    shown = [nearest_neighbour_two_sample(*rng.standard_normal((2, 300, 4))).accuracy for _ in range(20)]
    assert np.mean(shown) == pytest.approx(0.5, abs=0.02)
    assert nearest_neighbour_two_sample(real, real + 100.0) == (1.0, 1.0, 1.0)
    # A few tight clusters: their members are next to each other, and next to the real samples around them.
    collapsed = nearest_neighbour_two_sample(real, 0.5 * np.repeat(real[:50], 10, axis=0) + 1e-2 * real)
    assert collapsed.fake > 0.9
    assert collapsed.real < collapsed.fake - 0.05


def test_coverage_asks_nothing_of_the_generated_samples_among_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _sets(4)
    assert coverage(real, fake[:2], k=5) == _by_force(real, np.repeat(fake[:2], 3, axis=0), 5)["coverage"]
    sizes: list[int] = []
    search = distances.upper_bounds

    def spy(x: distances.Points, *rest: Any) -> Any:
        sizes.append(len(x.exact))
        return search(x, *rest)

    monkeypatch.setattr(radii, "upper_bounds", spy)
    coverage(real, fake)
    assert sizes == [len(real)]


def test_coverage_of_a_perfect_generator() -> None:
    rng = np.random.default_rng(0)
    for n, m, k in ((500, 500, 5), (200, 300, 2)):
        values = [coverage(rng.standard_normal((n, 4)), rng.standard_normal((m, 4)), k) for _ in range(30)]
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        assert error < 0.007
        assert abs(np.mean(values) - expected_coverage(n, m, k)) < 3.0 * error


@pytest.mark.parametrize(("n", "m", "k"), [(500, 500, 5), (1000, 1000, 3), (1000, 5000, 5), (6, 1, 5), (3, 9, 1)])
def test_expected_coverage_is_a_quotient_of_binomial_coefficients(n: int, m: int, k: int) -> None:
    expected = 1.0 - math.comb(n + m - k - 1, m) / math.comb(n + m - 1, m)
    assert expected_coverage(n, m, k) == pytest.approx(expected, rel=1e-12)
    key = f"N{n}_M{m}_k{k}"
    assert VECTORS["coverage_expected_identical"]["expected"].get(key, expected) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["prdc_hand_1d_k1", "prdc_200x8_k3", "prdc_200x8_k5", "prdc_collapsed_point_k5_strict"]
)
def test_reference_vectors(name: str) -> None:
    vector = VECTORS[name]
    inputs: dict[str, Any] = {"np": np}
    exec(vector["recipe"], inputs)
    got = precision_recall_density_coverage(inputs["real"], inputs["fake"], vector["params"]["k"])
    assert got._asdict() == pytest.approx(vector["expected"], abs=vector["tol"])


@pytest.mark.parametrize(
    "metric",
    [compare_neighbours, precision_recall_density_coverage, nearest_neighbour_two_sample, coverage],
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(x == x[0, 0], np.nan, x), r"fake must be finite, got 1 NaN"),
        (lambda x: np.where(x == x[0, 0], np.inf, x), r"fake must be finite"),
        (lambda x: x * 1e120, r"fake must not exceed"),
        (lambda x: x[0], r"fake must have the shape \[samples, features\], got \[8\]"),
        (lambda x: x[:1], r"fake must hold at least 2 samples, got 1"),
        (lambda x: x[:, :5], r"same number of features, got \[400, 8\] and \[300, 5\]"),
        (lambda x: x.astype(str), r"fake must be an array of real numbers"),
    ],
)
def test_unusable_features_are_refused(
    metric: Callable[..., object], change: Callable[[Array], Array], message: str
) -> None:
    real, fake = _sets(0)
    with pytest.raises(QualityError, match=message):
        metric(real, change(fake))


@pytest.mark.parametrize("k", [0, 400, -1])
@pytest.mark.parametrize("metric", [compare_neighbours, precision_recall_density_coverage, coverage])
def test_impossible_neighbours_are_refused(metric: Callable[..., object], k: int) -> None:
    with pytest.raises(QualityError, match=r"k must be at least 1 and below the number of real samples \(400\)"):
        metric(*_sets(0), k=k)


def test_as_many_neighbours_as_generated_samples_are_refused() -> None:
    with pytest.raises(QualityError, match=r"below the number of fake samples \(300\), got 300"):
        compare_neighbours(*_sets(0), k=300)
    _check(*_sets(0), k=299)


@pytest.mark.parametrize(("n", "m", "k"), [(5, 5, 5), (5, 0, 1), (5, 5, 0)])
def test_expected_coverage_refuses_impossible_numbers(n: int, m: int, k: int) -> None:
    with pytest.raises(QualityError, match=f"got n={n}, m={m}, k={k}"):
        expected_coverage(n, m, k)
