"""The reference vectors: inputs as recipes, expected values each computed in two independent ways."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tuner_gan.quality.metrics import (
    authenticity,
    class_kl,
    classifier_score,
    copying_test,
    coverage,
    expected_coverage,
    frechet_distance,
    frechet_distance_from_stats,
    frechet_distance_infinity,
    kernel_distance,
    kernel_distance_subsets,
    memorisation,
    mode_count,
    monge_distance,
    precision_recall_density_coverage,
    relative_frechet_distance,
    relative_sampling_bias,
    sliced_wasserstein,
    vendi_score,
)

Array = npt.NDArray[Any]
Inputs = dict[str, Any]

VECTORS = {v["id"]: v for v in json.loads((Path(__file__).parent / "metric_vectors.json").read_text())["vectors"]}


def _log(probabilities: Array) -> Array:
    """Logits of given probabilities; exact zeros become exp(-690)."""
    logits: Array = np.log(np.maximum(probabilities, 1e-300))
    return logits


def _white(count: int, d: int) -> Array:
    """Points with exactly mean 0 and covariance 1."""
    points = np.random.default_rng(0).standard_normal((count, d))
    white: Array = np.linalg.qr(points - points.mean(axis=0))[0] * np.sqrt(count - 1)
    return white


def _from_stats(x: Inputs) -> dict[str, float]:
    return {"value": frechet_distance_from_stats(x["m1"], x["S1"], x["m2"], x["S2"])}


def _infinity(x: Inputs) -> dict[str, float]:
    return {
        "intercept": frechet_distance_infinity(x["real"], x["fake"], range(100, 401, 50)),
        "fd_100": frechet_distance(x["real"], x["fake"][:100]),
        "fd_400": frechet_distance(x["real"], x["fake"]),
    }


def _subsets(x: Inputs) -> dict[str, float]:
    mean, std = kernel_distance_subsets(x["real"], x["fake"], 20, 100, np.random.RandomState(2020))
    return {"mean": mean, "std_ddof0": std}


def _neighbours(k: int) -> Callable[[Inputs], dict[str, float]]:
    def check(x: Inputs) -> dict[str, float]:
        values = precision_recall_density_coverage(x["real"], x["fake"], k)
        assert coverage(x["real"], x["fake"], k) == values.coverage
        return values._asdict()

    return check


def _expected_coverage(x: Inputs) -> dict[str, float]:
    cases = zip(x["N"].tolist(), x["M"].tolist(), x["k"].tolist(), strict=True)
    return {f"N{n}_M{m}_k{k}": expected_coverage(n, m, k) for n, m, k in cases}


def _copying(x: Inputs) -> dict[str, float]:
    z, share = copying_test(x["train"], x["test"], x["gen"])
    assert memorisation(x["train"], x["test"], x["gen"]) == z
    return {"Z_U": z, "U": share * len(x["test"]) * len(x["gen"])}


def _score_of_perfect_labels(x: Inputs) -> dict[str, float]:
    """The mean score of a perfect classifier on uniform labels, over enough draws for the tolerance."""
    k, n = int(x["K"][0]), int(x["N"][0])
    rng = np.random.default_rng(1)
    eye = 1000.0 * np.eye(k)
    draws = 100_000 // n
    return {"value": float(np.mean([classifier_score(eye[rng.integers(0, k, n)]) for _ in range(draws)]))}


def _modes(x: Inputs) -> dict[str, float]:
    excess = class_kl(x["labels"], np.ones(1000))
    return {"modes": mode_count(x["labels"], 1000), "kl_gen_uniform": excess + 999 / (2 * len(x["labels"]))}


CHECKS: dict[str, Callable[[Inputs], dict[str, Any]]] = {
    "cs_uniform": lambda x: {"value": classifier_score(x["logits"])},
    "cs_random": lambda x: {"value": classifier_score(x["logits"])},
    "cs_onehot_balanced": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "cs_onehot_4_of_10": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "cs_onehot_imbalanced": lambda x: {"value": classifier_score(_log(x["probs"]))},
    "cs_floor_N32": _score_of_perfect_labels,
    "cs_floor_N100": _score_of_perfect_labels,
    "cs_floor_N1000": _score_of_perfect_labels,
    "am_mode_scores": lambda x: {"inception_score": classifier_score(x["logits"])},
    "fd_stats_1d": _from_stats,
    "fd_stats_diagonal": _from_stats,
    "fd_stats_2x2_noncommuting": _from_stats,
    "fd_stats_collapsed": _from_stats,
    "fd_samples_500x16": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_identical": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_compare_gan_unittest": lambda x: {"value": frechet_distance(x["real"], x["fake"])},
    "fd_infinity_prefix": _infinity,
    "fd_relative_trace": lambda x: {"value": relative_frechet_distance(x["real"], x["fake"])},
    "fd_bias_gaussian_d32_n500": lambda x: {
        "value": 32 * relative_sampling_bias(_white(int(x["n"][0]), 32), int(x["n"][0]))
    },
    "kid_tiny_exact": lambda x: {"value": kernel_distance(x["real"], x["fake"])},
    "kid_64x8": lambda x: {"value": kernel_distance(x["real"], x["fake"])},
    "kid_subsets_torchfidelity_order": _subsets,
    "prdc_hand_1d_k1": _neighbours(1),
    "prdc_200x8_k3": _neighbours(3),
    "prdc_200x8_k5": _neighbours(5),
    "prdc_collapsed_point_k5_strict": _neighbours(5),
    "coverage_expected_identical": _expected_coverage,
    "authpct_fresh": lambda x: {"auth_pct": authenticity(x["train"], x["gen"])},
    "ct_single_cell_null": _copying,
    "modes_stacked_mnist_null": _modes,
    "vendi_random": lambda x: {"value": vendi_score(x["X"])},
    "mind_sliced_w2": lambda x: {
        "sw2": sliced_wasserstein(x["real"], x["fake"], x["U"]),
        "mind": monge_distance(x["real"], x["fake"], x["U"]),
    },
}
UNCHECKED = {
    "fd_mean_and_diagonal_only": "the distance here is of full covariances only",
    "kid_biased_1d_moments": "the kernel distance here is the unbiased one",
    "cmmd_unitnorm": "another kernel",
    "prdc_all_constant_nonstrict": "the other convention, <=",
    "prd_discrete_mode_drop": "precision and recall here are those of nearest neighbours",
    "prd_discrete_random": "precision and recall here are those of nearest neighbours",
    "mifid_near_copies": "copies are judged by other functions",
    "kde_nll": "no density is estimated",
}


def test_every_vector_is_checked_or_named_with_a_reason() -> None:
    assert CHECKS.keys() | UNCHECKED.keys() == VECTORS.keys()
    assert not CHECKS.keys() & UNCHECKED.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_vector(name: str) -> None:
    vector = VECTORS[name]
    inputs: Inputs = {"np": np}
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
