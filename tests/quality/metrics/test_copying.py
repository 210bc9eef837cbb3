import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import copying, distances
from tuner_gan.quality.metrics.copying import authenticity, copying_test, memorisation

Array = npt.NDArray[Any]

VECTORS = {v["id"]: v for v in json.loads((Path(__file__).parent / "metric_vectors.json").read_text())["vectors"]}
FEW = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def _authenticity_by_force(train: Array, fake: Array) -> float:
    own, across = cdist(train, train), cdist(fake, train)
    np.fill_diagonal(own, np.inf)
    authentic = [row.min() > own[row.argmin()].min() for row in across]
    return 100.0 * float(np.mean(authentic))


def _u_by_force(train: Array, test: Array, fake: Array) -> float:
    p, g = cdist(test, train).min(axis=1), cdist(fake, train).min(axis=1)
    return float(np.sum(g[:, None] > p) + 0.5 * np.sum(g[:, None] == p))


def _check(train: Array, test: Array, fake: Array) -> None:
    assert authenticity(train, fake) == pytest.approx(_authenticity_by_force(train, fake), rel=1e-13)
    n, m, u = len(test), len(fake), _u_by_force(train, test, fake)
    z, share = copying_test(train, test, fake)
    assert share == pytest.approx(u / (n * m), rel=1e-13)
    assert z == pytest.approx((u - n * m / 2 + 0.5) / np.sqrt(n * m * (n + m + 1) / 12), rel=1e-12)
    assert memorisation(train, test, fake) == z


def _sets(seed: int, n: int = 600, d: int = 8) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((150, d)), 0.9 * rng.standard_normal((120, d))


@pytest.mark.parametrize("name", ["authpct_fresh", "ct_single_cell_null"])
def test_reference_vectors(name: str) -> None:
    vector = VECTORS[name]
    x: dict[str, Any] = {"np": np}
    exec(vector["recipe"], x)
    if name == "authpct_fresh":
        assert authenticity(x["train"], x["gen"]) == pytest.approx(vector["expected"]["auth_pct"], abs=1e-9)
    else:
        z, share = copying_test(x["train"], x["test"], x["gen"])
        assert z == pytest.approx(vector["expected"]["Z_U"], abs=1e-9)
        assert share * len(x["test"]) * len(x["gen"]) == pytest.approx(vector["expected"]["U"])


@FEW
@given(seeds, st.integers(2, 500), st.integers(1, 4), st.sampled_from([0.0, 1.0, 1e6]))
def test_ties_and_copies_equal_brute_force(seed: int, n: int, d: int, offset: float) -> None:
    """Whole numbers in few dimensions: training samples that are copies of each other, and several nearest ones."""
    rng = np.random.default_rng(seed)
    train, test, fake = (rng.integers(0, 6, (count, d)) + offset for count in (n, 30, 40))
    _check(train, test, fake)


@FEW
@given(seeds, st.integers(2, 900), st.integers(1, 40), st.sampled_from([1e-60, 1.0, 1e60]))
def test_everything_equals_brute_force(seed: int, n: int, d: int, scale: float) -> None:
    train, test, fake = _sets(seed, n, d)
    _check(scale * train, scale * test, scale * fake)


@pytest.mark.parametrize(("band", "chunk"), [(1, 1000), (7, 11), (1000, 50)])
def test_blocks_change_nothing(band: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (distances, copying):
        monkeypatch.setattr(module, "BAND", band)
    monkeypatch.setattr(distances, "_CHUNK", chunk)
    monkeypatch.setattr(distances, "_BATCH", 5)
    _check(*_sets(1))
    _check(*(np.round(x) for x in _sets(1)))


def test_the_rank_sum_is_that_of_scipy() -> None:
    train, test, fake = _sets(2)
    p, g = cdist(test, train).min(axis=1), cdist(fake, train).min(axis=1)
    expected = scipy.stats.mannwhitneyu(g, p, method="asymptotic")
    z, share = copying_test(train, test, fake)
    assert share * len(p) * len(g) == pytest.approx(expected.statistic)
    assert share < 0.5  # the generated samples are more central, and so nearer to others
    assert scipy.stats.norm.cdf(z) == pytest.approx(expected.pvalue / 2, rel=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_copies_are_seen_and_new_samples_are_not(offset: float) -> None:
    rng = np.random.default_rng(0)
    train, test, new = (rng.standard_normal((n, 6)) + offset for n in (800, 400, 400))
    copies = train[rng.integers(0, 800, 400)]
    assert authenticity(train, copies) == 0.0
    assert copying_test(train, test, copies).share == 0.0
    assert memorisation(train, test, copies) < -20.0
    assert memorisation(train, test, train[:2] + 100.0) > 2.0
    assert authenticity(train, new) == pytest.approx(50.0, abs=8.0)
    assert abs(memorisation(train, test, new)) < 3.0
    half = np.concatenate([copies[:200], new[:200]])
    assert authenticity(train, half) == pytest.approx(authenticity(train, new[:200]) / 2)


def test_new_samples_give_a_standard_normal_statistic() -> None:
    """Mean and variance over many training sets."""
    rng = np.random.default_rng(0)
    values = [memorisation(*(rng.standard_normal((n, 2)) for n in (300, 40, 50))) for _ in range(200)]
    assert np.mean(values) == pytest.approx(0.0, abs=0.25)
    assert np.std(values) == pytest.approx(1.0, abs=0.15)


def test_training_samples_that_are_all_the_same() -> None:
    same = np.full((300, 3), 1e6 + 0.1)
    assert authenticity(same, same[:20]) == 0.0
    assert authenticity(same, same[:20] + 1e-3) == 100.0
    assert copying_test(same, same[:20], same[:30]).share == 0.5


def test_only_the_nearest_training_samples_are_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    train, fake = rng.standard_normal((20_000, 4)), rng.standard_normal((50, 4))
    sizes: list[int] = []
    search = distances.upper_bounds

    def spy(x: distances.Points, *rest: Any) -> Any:
        sizes.append(len(x.exact))
        return search(x, *rest)

    monkeypatch.setattr(copying, "upper_bounds", spy)
    across = cdist(fake, train)
    own = np.sort(cdist(train[across.argmin(axis=1)], train), axis=1)[:, 1]
    assert authenticity(train, fake) == pytest.approx(100.0 * np.mean(across.min(axis=1) > own))
    assert sizes[0] == 50
    assert len(sizes) == 2
    assert sizes[1] <= 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :3], r"train and fake must have the same number of features, got \[600, 8\] and \[120, 3\]"),
        (lambda x: x[:1], "fake must hold at least 2 samples, got 1"),
        (lambda x: x[0], r"fake must have the shape \[samples, features\]"),
        (lambda x: np.where(x == x[0, 0], np.nan, x), "fake must be finite, got 1 NaN"),
    ],
)
def test_unusable_features_are_refused(change: Any, message: str) -> None:
    train, test, fake = _sets(0)
    for call in (
        lambda: authenticity(train, change(fake)),
        lambda: memorisation(train, test, change(fake)),
        lambda: copying_test(train, test, change(fake)),
    ):
        with pytest.raises(QualityError, match=message):
            call()
    with pytest.raises(QualityError, match=r"train and test must have the same number of features"):
        memorisation(train, test[:, :2], fake)
    with pytest.raises(QualityError, match=r"train must hold at least 2 samples"):
        authenticity(train[:1], fake)
