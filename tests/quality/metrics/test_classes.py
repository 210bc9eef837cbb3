import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import class_kl, classifier_score, mode_count, modified_classifier_score

Array = npt.NDArray[Any]

FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def test_classifier_score_of_splits() -> None:
    logits = 3.0 * np.random.default_rng(0).standard_normal((103, 10))
    p = scipy.special.softmax(logits, axis=1)
    parts = [
        math.exp(np.mean(scipy.stats.entropy(part, np.broadcast_to(part.mean(0), part.shape), axis=1)))
        for part in np.array_split(p, 4)
    ]
    assert classifier_score(logits, splits=4) == pytest.approx((np.mean(parts), np.std(parts)))
    assert classifier_score(logits + 1e6) == pytest.approx(classifier_score(logits))
    assert classifier_score(logits.astype(np.float32)) == pytest.approx(classifier_score(logits), rel=1e-5)


def _modified_by_force(logits: Array) -> float:
    """The double loop over the pairs of each predicted class."""
    p = scipy.special.softmax(logits, axis=1)
    scores = []
    for label in set(logits.argmax(axis=1)):
        rows = p[logits.argmax(axis=1) == label]
        scores.append(math.exp(np.mean([scipy.stats.entropy(one, two) for one in rows for two in rows])))
    return float(np.mean(scores))


@FEW
@given(seeds, st.integers(2, 30), st.integers(1, 6), st.floats(0.01, 5.0))
def test_modified_score_equals_the_double_loop(seed: int, n: int, k: int, scale: float) -> None:
    logits = scale * np.random.default_rng(seed).standard_normal((n, k))
    expected = _modified_by_force(logits)
    assert expected >= 1.0
    assert modified_classifier_score(logits) == pytest.approx(expected, rel=1e-9)
    assert modified_classifier_score(logits + 1e6) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("score", [classifier_score, modified_classifier_score])
def test_no_score_is_below_one_by_rounding(score: Callable[[Array], float]) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 1, 10))
    assert min(score(np.repeat(row, 7, axis=0)) for row in rows) >= 1.0


def test_modified_score_sees_collapse_within_a_class_where_the_score_does_not() -> None:
    rng = np.random.default_rng(0)
    varied = 8.0 * np.eye(10)[np.arange(500) % 10] + rng.standard_normal((500, 10))
    collapsed = varied[:10][np.arange(500) % 10]
    assert classifier_score(collapsed) == pytest.approx(classifier_score(varied), rel=0.02)
    assert modified_classifier_score(collapsed) == pytest.approx(1.0, abs=1e-12)
    assert modified_classifier_score(varied) > 1.005


def test_modified_score_weighs_classes_equally_whatever_their_size() -> None:
    rng = np.random.default_rng(0)
    one = rng.standard_normal((40, 3)) + np.array([9, 0, 0])
    two = 0.5 * rng.standard_normal((7, 3)) + np.array([0, 9, 0])
    expected = (_modified_by_force(one) + _modified_by_force(two)) / 2
    assert modified_classifier_score(np.concatenate([one, two])) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (np.zeros((5, 4)), 1.0),  # all classes tie: all samples belong to the first
        (np.eye(3), 1.0),  # one sample a class
        (1e5 * np.eye(3)[[0, 0, 1, 2]], 1.0),  # 0 log 0 = 0
        (np.full((4, 3), 1e100), 1.0),
        (np.ones((4, 1)), 1.0),  # one class only
        # Two samples, by hand: of four pairs two differ, and their divergences add up to a sum of (p - q) log (p / q).
        (np.log([[0.8, 0.2], [0.6, 0.4]]), math.exp((0.2 * math.log(0.8 / 0.6) - 0.2 * math.log(0.2 / 0.4)) / 4)),
    ],
)
def test_modified_score_of_edge_cases(logits: Array, expected: float) -> None:
    assert modified_classifier_score(logits) == pytest.approx(expected, abs=1e-12)


@FEW
@given(seeds, st.integers(2, 12), st.integers(1, 200))
def test_class_kl_equals_scipy(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, real = rng.integers(0, classes, n), rng.integers(1, 50, classes)
    frequencies = np.bincount(predicted, minlength=classes)
    expected = scipy.stats.entropy(frequencies, real) - (classes - 1) / (2 * n)
    assert class_kl(predicted, real) == pytest.approx(expected)
    assert class_kl(np.eye(classes)[predicted], real / real.sum()) == pytest.approx(expected)
    assert class_kl(1.0009 * np.eye(classes)[predicted], real) == pytest.approx(expected)  # as rounding leaves them


def test_class_kl_of_balanced_classes_is_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    values = [class_kl(rng.integers(0, 10, 1000), np.ones(10)) for _ in range(200)]
    assert np.mean(values) == pytest.approx(0.0, abs=5e-4)
    assert class_kl(np.arange(1000) % 5, np.ones(10)) == pytest.approx(math.log(2) - 9 / 2000)


def test_class_kl_names_a_class_without_real_samples() -> None:
    assert math.isfinite(class_kl([0, 0, 1], [5, 5, 0]))
    with pytest.raises(QualityError, match=r"class 2 was generated but has no real sample.*half a count"):
        class_kl(np.array([0, 1, 2]), [5, 5, 0])


@FEW
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_mode_count_counts_what_occurs(predicted: list[int]) -> None:
    assert mode_count(predicted, 10) == len(set(predicted))
    assert mode_count(np.array(predicted, np.uint8), 10) == len(set(predicted))


def test_mode_count_of_a_perfect_generator() -> None:
    rng = np.random.default_rng(0)
    counts = [mode_count(rng.integers(0, 100, 200), 100) for _ in range(300)]
    assert np.mean(counts) == pytest.approx(100 * (1 - 0.99**200), rel=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classifier_score(np.full((5, 3), np.nan)), "logits must be finite"),
        (lambda: classifier_score(np.zeros((5, 3)), splits=3), "got splits=3 for 5 samples"),
        (lambda: classifier_score(np.zeros((5, 3)), splits=0), "got splits=0"),
        (lambda: modified_classifier_score([[np.nan, 1.0], [0.0, 1.0]]), "logits must be finite, got 1 NaN"),
        (
            lambda: modified_classifier_score(np.zeros(4)),
            r"logits must have the shape \[samples, features\], got \[4\]",
        ),
        (lambda: modified_classifier_score(np.zeros((1, 4))), "logits must hold at least 2 samples, got 1"),
        (
            lambda: modified_classifier_score([[1e4, 0.0], [1.0, 0.999]]),
            r"predictions of class 0 must lie nearer to each other, got a mean divergence of \d+",
        ),
        (lambda: class_kl([0, 3], [1, 1, 1]), r"must lie in 0..2, got values from 0 to 3"),
        (lambda: class_kl([-1, 0], [1, 1]), r"must lie in 0..1"),
        (lambda: class_kl([0.5, 1.0], [1, 1]), "got float64 of shape"),
        (lambda: class_kl(np.array([], int), [1, 1]), "predicted must be integer classes"),
        (lambda: class_kl([[0.5, 0.2]], [1, 1]), "rows that sum to 1"),
        (lambda: class_kl([[np.nan, 0.2]], [1, 1]), "predicted must be finite"),
        (lambda: class_kl([[0.5, 0.495]], [1, 1]), "rows that sum to 1"),
        (lambda: class_kl([[1.2, -0.2]], [1, 1]), "must be >= 0 with rows that sum to 1"),
        (lambda: class_kl([0], [1, -1]), "real_marginal must be"),
        (lambda: class_kl([0], [3, -1]), "real_marginal must be"),
        (lambda: class_kl([0], [0, 0]), "real_marginal must be"),
        (lambda: class_kl([0], [1]), "real_marginal must be"),
        (lambda: class_kl([0], []), "real_marginal must be"),
        (lambda: mode_count([0, 3], 3), r"must lie in 0..2, got values from 0 to 3"),
        (lambda: mode_count([-1, 0], 3), r"must lie in 0..2, got values from -1 to 0"),
        (lambda: mode_count([0.0, 1.0], 3), r"predicted must be integer classes of shape \[N\], got float64"),
        (lambda: mode_count([np.nan], 3), "predicted must be integer classes"),
        (lambda: mode_count([[0, 1]], 3), r"got int64 of shape \[1, 2\]"),
        (lambda: mode_count(np.array([], int), 3), "predicted must be integer classes"),
    ],
)
def test_unusable_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        call()
