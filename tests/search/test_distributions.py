"""Every kind of hyperparameter goes to Optuna and back unchanged."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, Int

from tuner_gan.search.distributions import find_distribution, from_optuna, name_parameters, to_optuna

PARAMETERS = [
    Int("a", 3, 3),
    Int("a", -5, 12),
    Int("a", 2, 13, step=3),
    Int("a", 8, 100, sampling="log"),
    Int("a", 2, 33, step=2, sampling="log"),
    Int("a", 8, 100, sampling="reverse_log"),
    Int("a", 2, 32, step=2, sampling="reverse_log"),
    Float("a", -1.5, 2.5),
    Float("a", 0.1, 1.05, step=0.3),
    Float("a", 1e-5, 1e-2, sampling="log"),
    Float("a", 0.001, 10, step=10, sampling="log"),
    Float("a", 1.0, 8.0, sampling="reverse_log"),
    Choice("a", ["x", "y"]),
    Choice("a", [0.0, 0.25, 0.5]),
    Choice("a", [64, 128], ordered=False),
    Choice("a", [False, True]),
    Boolean("a"),
]


def draw(parameter: Any, count: int, seed: int = 0) -> list[Any]:
    """Values that Optuna draws, as KerasTuner calls them."""
    distribution = find_distribution(parameter)
    assert distribution is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [from_optuna(parameter, study.ask({"a": distribution}).params["a"]) for _ in range(count)]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
def test_what_optuna_draws_is_what_kerastuner_draws(parameter: Any) -> None:
    ours, theirs = draw(parameter, 300), [parameter.random_sample(seed) for seed in range(300)]
    assert {type(value) for value in ours} == {type(value) for value in theirs}
    if len(set(theirs)) <= 20:
        assert set(ours) <= set(theirs) | {*getattr(parameter, "values", theirs)}
        # Optuna rounds the steps of a float to what they are meant to be.
        assert {round(value, 9) if isinstance(value, float) else value for value in ours} == {
            round(value, 9) if isinstance(value, float) else value for value in theirs
        }
    else:
        assert parameter.min_value <= min(ours) <= max(ours) <= parameter.max_value
        # The same scale: medians agree where 300 values can tell.
        ranks = [sorted(values)[150] for values in (ours, theirs)]
        places = [parameter.value_to_prob(rank) for rank in ranks]
        assert math.isclose(*places, abs_tol=0.15)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
@given(seed=st.integers(0, 2**31))
def test_there_and_back(parameter: Any, seed: int) -> None:
    value = parameter.random_sample(seed)
    raw = to_optuna(parameter, value)
    distribution = find_distribution(parameter)
    assert distribution is not None
    assert distribution._contains(distribution.to_internal_repr(raw))
    back = from_optuna(parameter, raw)
    assert type(back) is type(value)
    assert back == (pytest.approx(value) if isinstance(value, float) else value)


def test_the_default_of_a_stepped_range_is_its_own_step() -> None:
    assert to_optuna(Int("a", 2, 32, step=2, sampling="log"), 8) == 2
    assert from_optuna(Int("a", 2, 32, step=2, sampling="log"), 2) == 8


@pytest.mark.parametrize(
    ("parameter", "value", "nearest"),
    [
        (Int("a", 10, 50, step=10), 16, 20),
        (Int("a", 10, 50, step=15), 49, 40),
        (Int("a", 2, 32, step=2, sampling="log"), 11, 8),
        (Float("a", 0.0, 0.5, step=0.1), 0.5, 0.5),
        (Float("a", 0.0, 0.5, step=0.1), 0.26, 0.3),
        (Float("a", 0.1, 1.05, step=0.3), 1.05, 1.0),
        (Float("a", 1.0, 8.0, sampling="reverse_log"), 9, 8.0),
    ],
    ids=str,
)
def test_a_value_between_two_steps_goes_to_the_nearest(parameter: Any, value: Any, nearest: Any) -> None:
    distribution = find_distribution(parameter)
    assert distribution is not None
    raw = to_optuna(parameter, value)
    assert distribution._contains(distribution.to_internal_repr(raw))
    assert from_optuna(parameter, raw) == nearest


def test_the_declared_maximum_of_a_range_in_steps_is_drawn() -> None:
    # 0.5 // 0.1 is 4.0, so that KerasTuner itself loses it.
    assert find_distribution(Float("a", 0.0, 0.5, step=0.1)) == optuna.distributions.FloatDistribution(0, 0.5, step=0.1)


def test_what_is_fixed_is_not_drawn() -> None:
    assert find_distribution(Fixed("a", 3)) is None


def test_one_name_under_two_conditions_is_two() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("width", 1, 3)
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("width", 4, 9)
    assert list(name_parameters(hp.space)) == ["kind", "width", "width [kind is b]"]
    hp.Int("width", 1, 9)
    assert list(name_parameters(hp.space))[3:] == ["width [always]"]
