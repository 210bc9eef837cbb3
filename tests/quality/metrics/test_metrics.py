import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.spatial
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import coverage

Array = npt.NDArray[Any]

VECTORS = {v["id"]: v for v in json.loads((Path(__file__).parent / "metric_vectors.json").read_text())["vectors"]}
FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def _sets(seed: int, n: int = 60, m: int = 50, d: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    real = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return real, 0.7 * rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


@FEW
@given(seeds, st.floats(-100, 100), st.integers(3, 60))
def test_common_rotation_shift_and_order_do_not_matter(seed: int, shift: float, m: int) -> None:
    real, fake = _sets(seed, m=m)
    rng = np.random.default_rng(seed)
    rotation = scipy.stats.ortho_group.rvs(6, random_state=rng)
    moved = (rng.permutation(real) @ rotation + shift, rng.permutation(fake) @ rotation + shift)
    assert coverage(*moved) == pytest.approx(coverage(real, fake), abs=1e-6)


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
    monkeypatch.setattr("tuner_gan.quality.metrics.neighbours.BAND", 7)
    assert coverage(real, fake) == whole == _coverage_by_force(real, fake, 5)


def test_coverage_of_a_perfect_generator() -> None:
    expected = VECTORS["coverage_expected_identical"]["expected"]["N500_M500_k5"]
    rng = np.random.default_rng(0)
    values = [coverage(rng.standard_normal((500, 8)), rng.standard_normal((500, 8))) for _ in range(30)]
    assert np.mean(values) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("k", [0, 60, -1])
def test_impossible_neighbours_are_refused(k: int) -> None:
    with pytest.raises(QualityError, match=r"k must be at least 1 and below the number of real samples \(60\)"):
        coverage(*_sets(0), k=k)
