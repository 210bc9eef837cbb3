import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.spatial
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import (
    class_kl,
    classifier_score,
    coverage,
    effective_rank,
    frechet_distance,
    relative_frechet_distance,
    relative_sampling_bias,
)

Array = npt.NDArray[Any]

VECTORS = {v["id"]: v for v in json.loads((Path(__file__).parent / "metric_vectors.json").read_text())["vectors"]}
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def _log(probabilities: Array) -> Array:
    """Logits of given probabilities; exact zeros become exp(-690)."""
    logits: Array = np.log(np.maximum(probabilities, 1e-300))
    return logits


def _samples(mean: Array, covariance: Array, count: int = 40) -> Array:
    """Points with exactly this mean and covariance."""
    d = len(mean)
    white = np.random.default_rng(0).standard_normal((count, d))
    white -= white.mean(axis=0)
    white = np.linalg.qr(white)[0] * math.sqrt(count - 1)
    values, vectors = np.linalg.eigh(covariance)
    points: Array = white @ (vectors * np.sqrt(values)).T + mean
    return points


def _frechet_of_statistics(x: Any) -> dict[str, float]:
    return {"value": frechet_distance(_samples(x["m1"], x["S1"]), _samples(x["m2"], x["S2"]))}


def _infinity(x: Any) -> dict[str, float]:
    sizes = np.arange(100, 401, 50)
    distances = [frechet_distance(x["real"], x["fake"][:n]) for n in sizes]
    slope, intercept = np.polyfit(1.0 / sizes, distances, 1)
    return {"intercept": intercept, "slope": slope, "fd_100": distances[0], "fd_400": distances[-1]}


def _score_of_perfect_labels(x: Any) -> dict[str, float]:
    """The mean score of a perfect classifier on uniform labels, over enough draws for the tolerance."""
    k, n = int(x["K"][0]), int(x["N"][0])
    rng = np.random.default_rng(1)
    eye = 1000.0 * np.eye(k)
    draws = 100_000 // n
    return {"value": float(np.mean([classifier_score(eye[rng.integers(0, k, n)]) for _ in range(draws)]))}


CHECKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "cs_uniform": lambda x: {"value": classifier_score(x["logits"])},
    "cs_random": lambda x: {"value": classifier_score(x["logits"])},
    "cs_onehot_balanced": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "cs_onehot_4_of_10": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "cs_onehot_imbalanced": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "am_mode_scores": lambda x: {"inception_score": classifier_score(x["logits"])},
    "cs_floor_N32": _score_of_perfect_labels,
    "cs_floor_N100": _score_of_perfect_labels,
    "cs_floor_N1000": _score_of_perfect_labels,
    "fd_stats_1d": _frechet_of_statistics,
    "fd_stats_diagonal": _frechet_of_statistics,
    "fd_stats_2x2_noncommuting": _frechet_of_statistics,
    "fd_stats_collapsed": _frechet_of_statistics,
    "fd_samples_500x16": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_identical": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_compare_gan_unittest": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_infinity_prefix": _infinity,
    "fd_relative_trace": lambda x: {"value": relative_frechet_distance(x["real"], x["fake"])},
    "fd_bias_gaussian_d32_n500": lambda x: {
        "value": 32 * relative_sampling_bias(_samples(np.zeros(32), np.eye(32), int(x["n"][0])), int(x["n"][0]))
    },
    "prdc_hand_1d_k1": lambda x: {"coverage": coverage(x["real"], x["fake"], k=1)},
    "prdc_200x8_k3": lambda x: {"coverage": coverage(x["real"], x["fake"], k=3)},
    "prdc_200x8_k5": lambda x: {"coverage": coverage(x["real"], x["fake"], k=5)},
    "prdc_collapsed_point_k5_strict": lambda x: {"coverage": coverage(x["real"], x["fake"])},
    "modes_stacked_mnist_null": lambda x: {
        "kl_gen_uniform": class_kl(x["labels"], np.ones(1000)) + 999 / (2 * len(x["labels"]))
    },
}
OTHER_METRICS = {
    "fd_mean_and_diagonal_only",
    "kid_tiny_exact",
    "kid_64x8",
    "kid_biased_1d_moments",
    "kid_subsets_torchfidelity_order",
    "cmmd_unitnorm",
    "prdc_all_constant_nonstrict",  # the other convention, <=
    "coverage_expected_identical",  # an expectation: test_coverage_of_a_perfect_generator
    "prd_discrete_mode_drop",
    "prd_discrete_random",
    "authpct_fresh",
    "ct_single_cell_null",
    "mifid_near_copies",
    "vendi_random",
    "mind_sliced_w2",
    "kde_nll",
}


def test_every_vector_is_checked_or_belongs_to_another_metric() -> None:
    assert CHECKS.keys() | OTHER_METRICS == VECTORS.keys()
    assert not CHECKS.keys() & OTHER_METRICS


@pytest.mark.parametrize("name", CHECKS)
def test_vector(name: str) -> None:
    vector = VECTORS[name]
    inputs: dict[str, Any] = {"np": np}
    exec(vector["recipe"], inputs)
    for key, check in vector["input_checks"].items():
        assert list(inputs[key].shape) == check["shape"]
        assert np.sum(inputs[key], dtype=float) == pytest.approx(check["sum"], rel=1e-9, abs=1e-9)
        assert np.sum(np.square(inputs[key], dtype=float)) == pytest.approx(check["sum_sq"], rel=1e-9, abs=1e-9)
    results = CHECKS[name](inputs)
    assert results
    for key, got in results.items():
        expected = vector["expected"][key]
        assert abs(got - expected) <= vector["tol"] * max(1.0, abs(expected)), (key, got, expected)


def _sets(seed: int, n: int = 60, m: int = 50, d: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    real = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return real, 0.7 * rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


seeds = st.integers(0, 2**32 - 1)


@FEW
@given(seeds, st.integers(2, 40), st.integers(2, 40), st.integers(1, 30))
def test_frechet_distance_equals_an_independent_computation(seed: int, n: int, m: int, d: int) -> None:
    """Few and many samples, so that both routes are met: both against plain eigenvalues."""
    real, fake = _sets(seed, n, m, d)
    s1, s2 = (np.atleast_2d(np.cov(x.T)) for x in (real, fake))
    root = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0.0)).sum()
    expected = np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.trace(s1 + s2))


@FEW
@given(seeds, st.floats(-100, 100), st.integers(3, 60))
def test_common_rotation_shift_and_order_do_not_matter(seed: int, shift: float, m: int) -> None:
    real, fake = _sets(seed, m=m)
    rng = np.random.default_rng(seed)
    rotation = scipy.stats.ortho_group.rvs(6, random_state=rng)
    moved = (rng.permutation(real) @ rotation + shift, rng.permutation(fake) @ rotation + shift)
    for metric in (frechet_distance, relative_frechet_distance, coverage):
        value = metric(real, fake)
        assert value >= 0.0
        assert metric(*moved) == pytest.approx(value, rel=1e-6, abs=1e-6)


@FEW
@given(seeds, st.integers(2, 80))
def test_frechet_distance_is_symmetric_and_zero_for_equal_sets(seed: int, m: int) -> None:
    real, fake = _sets(seed, m=m)
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-8)
    assert 0.0 <= frechet_distance(real, real[::-1]) < 1e-9 * np.var(real, axis=0).sum()


@pytest.mark.parametrize("m", [2, 5, 100])
def test_constant_at_the_mean_has_relative_distance_one(m: int) -> None:
    real, _ = _sets(3)
    assert relative_frechet_distance(real, np.tile(real.mean(axis=0), (m, 1))) == pytest.approx(1.0, abs=1e-9)
    assert relative_frechet_distance(7 * real, 7 * _sets(4)[1]) == pytest.approx(
        relative_frechet_distance(real, _sets(4)[1])
    )


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


def test_effective_rank() -> None:
    rng = np.random.default_rng(0)
    assert effective_rank(np.outer(rng.standard_normal(50), [1.0, 2.0, 3.0])) == pytest.approx(1.0, abs=1e-6)
    assert effective_rank(_samples(np.ones(5), np.eye(5))) == pytest.approx(5.0)


def test_classifier_score_of_splits() -> None:
    logits = 3.0 * np.random.default_rng(0).standard_normal((103, 10))
    p = scipy.special.softmax(logits, axis=1)
    parts = [
        math.exp(np.mean(scipy.stats.entropy(part, np.broadcast_to(part.mean(0), part.shape), axis=1)))
        for part in np.array_split(p, 4)
    ]
    assert classifier_score(logits, splits=4) == pytest.approx((np.mean(parts), np.std(parts)))
    assert classifier_score(logits + 1e4) == pytest.approx(classifier_score(logits))
    assert classifier_score(logits.astype(np.float32)) == pytest.approx(classifier_score(logits), rel=1e-5)


@FEW
@given(seeds, st.integers(2, 12), st.integers(1, 200))
def test_class_kl_equals_scipy(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, real = rng.integers(0, classes, n), rng.integers(1, 50, classes)
    frequencies = np.bincount(predicted, minlength=classes)
    expected = scipy.stats.entropy(frequencies, real) - (classes - 1) / (2 * n)
    assert class_kl(predicted, real) == pytest.approx(expected)
    assert class_kl(np.eye(classes)[predicted], real / real.sum()) == pytest.approx(expected)


def test_class_kl_of_balanced_classes_is_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    values = [class_kl(rng.integers(0, 10, 1000), np.ones(10)) for _ in range(200)]
    assert np.mean(values) == pytest.approx(0.0, abs=5e-4)
    assert class_kl(np.arange(1000) % 5, np.ones(10)) == pytest.approx(math.log(2) - 9 / 2000)


def test_class_kl_names_a_class_without_real_samples() -> None:
    assert math.isfinite(class_kl([0, 0, 1], [5, 5, 0]))
    with pytest.raises(QualityError, match=r"class 2 was generated but has no real sample.*half a count"):
        class_kl(np.array([0, 1, 2]), [5, 5, 0])


def _coverage_by_force(real: Array, fake: Array, k: int) -> float:
    own, other = scipy.spatial.distance.cdist(real, real), scipy.spatial.distance.cdist(real, fake)
    return float(np.mean(other.min(axis=1) < np.sort(own, axis=1)[:, k]))


@FEW
@given(seeds, st.integers(1, 8), st.integers(2, 60), st.sampled_from([0.0, 1.0, 1e6]))
def test_coverage_equals_brute_force_with_ties_and_copies(seed: int, k: int, m: int, offset: float) -> None:
    """Whole numbers in few dimensions are full of equal distances and of copies."""
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, 4, (40, 3)) + offset, rng.integers(0, 4, (m, 3)) + offset
    assert coverage(real, fake, k) == _coverage_by_force(real, fake, k)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
def test_copies_have_distance_zero(offset: float) -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((200, 16)) + offset
    assert coverage(real, real[rng.permutation(200)]) == 1.0
    # Each real sample twice: the nearest neighbour is its copy, at exactly zero, and nothing is nearer than that.
    assert coverage(np.concatenate([real, real]), real, k=1) == 0.0
    assert coverage(np.ones((20, 4)) * offset, np.ones((20, 4)) * offset) == 0.0


def test_coverage_in_blocks_equals_coverage_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _sets(0, 300, 200)
    whole = coverage(real, fake)
    monkeypatch.setattr("tuner_gan.quality.metrics._BLOCK", 7 * 300)
    assert coverage(real, fake) == whole == _coverage_by_force(real, fake, 5)


def test_coverage_of_a_perfect_generator() -> None:
    expected = VECTORS["coverage_expected_identical"]["expected"]["N500_M500_k5"]
    rng = np.random.default_rng(0)
    values = [coverage(rng.standard_normal((500, 8)), rng.standard_normal((500, 8))) for _ in range(30)]
    assert np.mean(values) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("metric", [frechet_distance, relative_frechet_distance, coverage])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(x == x[0, 0], np.nan, x), r"fake must be finite, got 1 NaN"),
        (lambda x: np.where(x == x[0, 0], np.inf, x), r"fake must be finite"),
        (lambda x: x * 1e120, r"fake must not exceed"),
        (lambda x: x[0], r"fake must have the shape \[samples, features\], got \[6\]"),
        (lambda x: x[:, :0], r"fake must have the shape"),
        (lambda x: x[:1], r"fake must hold at least 2 samples, got 1"),
        (lambda x: x[:, :5], r"same number of features, got \[60, 6\] and \[50, 5\]"),
        (lambda x: x.astype(str), r"fake must be an array of real numbers"),
    ],
)
def test_unusable_features_are_refused(
    metric: Callable[..., float], change: Callable[[Array], Array], message: str
) -> None:
    real, fake = _sets(0)
    with pytest.raises(QualityError, match=message):
        metric(real, change(fake))


@pytest.mark.parametrize("k", [0, 60, -1])
def test_impossible_neighbours_are_refused(k: int) -> None:
    with pytest.raises(QualityError, match=r"k must be at least 1 and below the number of real samples \(60\)"):
        coverage(*_sets(0), k=k)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relative_frechet_distance(np.ones((5, 2)), np.ones((5, 2))), "must vary between samples"),
        (lambda: effective_rank(np.ones((5, 2))), "must vary between samples"),
        (lambda: relative_sampling_bias(np.eye(5), 1), "samples must be at least 2, got 1"),
        (lambda: classifier_score(np.full((5, 3), np.nan)), "logits must be finite"),
        (lambda: classifier_score(np.zeros((5, 3)), splits=3), "got splits=3 for 5 samples"),
        (lambda: classifier_score(np.zeros((5, 3)), splits=0), "got splits=0"),
        (lambda: class_kl([0, 3], [1, 1, 1]), r"must lie in 0..2, got values from 0 to 3"),
        (lambda: class_kl([-1, 0], [1, 1]), r"must lie in 0..1"),
        (lambda: class_kl([0.5, 1.0], [1, 1]), "got float64 of shape"),
        (lambda: class_kl(np.array([], int), [1, 1]), "predicted must be integer classes"),
        (lambda: class_kl([[0.5, 0.2]], [1, 1]), "rows that sum to 1"),
        (lambda: class_kl([[np.nan, 0.2]], [1, 1]), "predicted must be finite"),
        (lambda: class_kl([0], [1, -1]), "real_marginal must be"),
        (lambda: class_kl([0], [0, 0]), "real_marginal must be"),
        (lambda: class_kl([0], [1]), "real_marginal must be"),
        (lambda: class_kl([0], []), "real_marginal must be"),
    ],
)
def test_unusable_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        call()
