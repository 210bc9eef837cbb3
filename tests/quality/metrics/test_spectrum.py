import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import effective_rank, vendi_score

Array = npt.NDArray[Any]

FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@FEW
@given(seeds, st.integers(3, 40), st.integers(1, 12), st.sampled_from([0.0, 1e6]))
def test_effective_rank_equals_an_independent_computation(seed: int, n: int, d: int, offset: float) -> None:
    features = np.random.default_rng(seed).standard_normal((n, d)) * 2.0 ** np.arange(d)
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(features.T)))
    expected = math.exp(scipy.stats.entropy(np.maximum(values, 0.0)))
    assert effective_rank(features + offset) == pytest.approx(expected, rel=1e-5)


def test_effective_rank_of_known_spectra() -> None:
    rng = np.random.default_rng(0)
    assert effective_rank(np.outer(rng.standard_normal(50), [1.0, 2.0, 3.0])) == pytest.approx(1.0, abs=1e-6)
    square = np.concatenate([np.eye(5), -np.eye(5)])
    assert effective_rank(square) == pytest.approx(5.0)
    assert effective_rank(square + 1e6) == pytest.approx(5.0)
    assert effective_rank(square * [1, 1, 0, 0, 0]) == pytest.approx(2.0)


def _vendi_by_force(features: Array) -> float:
    """All N eigenvalues of the N x N matrix of cosine similarities."""
    n = len(features)
    similarity = np.empty((n, n))
    for i, x in enumerate(features):
        for j, y in enumerate(features):
            similarity[i, j] = x @ y / math.sqrt((x @ x) * (y @ y))
    return math.exp(scipy.stats.entropy(np.maximum(np.linalg.eigvalsh(similarity / n), 0.0)))


@FEW
@given(seeds, st.integers(2, 15), st.integers(1, 15))
def test_vendi_score_equals_all_eigenvalues_of_the_similarities(seed: int, n: int, d: int) -> None:
    """Fewer samples than features, and more: both Gram matrices are met."""
    features = np.random.default_rng(seed).standard_normal((n, d)) + 0.3
    value = vendi_score(features)
    assert value == pytest.approx(_vendi_by_force(features), rel=1e-9)
    assert 1.0 - 1e-12 <= value <= min(n, d) + 1e-9


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (np.eye(6), 6.0),
        (np.tile(np.eye(3), (5, 1)), 3.0),  # copies do not count
        (np.full((7, 4), 0.1), 1.0),
        (np.outer(np.arange(1.0, 9.0), [1.0, 2.0, 3.0]), 1.0),  # lengths do not count
        (np.outer([1.0, -1.0, 2.0], [1.0, 2.0]), 1.0),  # nor does the sign
        (np.eye(4) * [1e-200, 1.0, 1e100, 1e-300], 4.0),
        (np.eye(3)[[0, 0, 1, 2]] @ np.eye(3, 5), math.exp(1.5 * math.log(2))),  # shares 1/2, 1/4, 1/4; two dead units
    ],
)
def test_vendi_score_of_known_sets(features: Array, expected: float) -> None:
    assert vendi_score(features) == pytest.approx(expected, rel=1e-9)


def test_vendi_score_with_a_large_offset_is_that_of_one_direction() -> None:
    features = np.random.default_rng(0).standard_normal((30, 4)) + 1e6
    assert vendi_score(features) == pytest.approx(1.0, abs=1e-9)


def test_vendi_score_falls_with_collapse() -> None:
    features = np.random.default_rng(0).standard_normal((60, 10))
    scores = [vendi_score(features[np.arange(60) % kept]) for kept in (60, 8, 2, 1)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_rank(np.ones((5, 2))), "must vary between samples, got 5 equal ones"),
        (lambda: effective_rank(np.full((10, 2), 0.1)), "must vary between samples, got 10 equal ones"),
        (lambda: effective_rank([[1.0, np.nan], [0.0, 1.0]]), "features must be finite, got 1 NaN"),
        (lambda: vendi_score([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), "got 2 without, the first in row 1"),
        (lambda: vendi_score([[1.0, np.nan], [0.0, 1.0]]), "features must be finite, got 1 NaN"),
        (lambda: vendi_score(np.ones(3)), r"features must have the shape \[samples, features\], got \[3\]"),
        (lambda: vendi_score(np.ones((1, 3))), "features must hold at least 2 samples, got 1"),
    ],
)
def test_unusable_features_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        call()
