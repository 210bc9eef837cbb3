from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.hyperparameters import Fixed, Float, Int

from tuner_gan.config import SearchConfig
from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.project import _parameter, _space_difference
from tuner_gan.search_spaces import SPACES, SearchSpace, Steerable, SteeredSpace, check_search_space, make_space
from tuner_gan.search_spaces.base import active_values, declare, describe_parameters, random_point

SHAPE = (28, 28, 1)


def _architecture(units: int = 4) -> GANArchitecture:
    return GANArchitecture((8, 8, 1), GeneratorSpec("dense", 4, (units,)), DiscriminatorSpec("dense", (units,)))


def test_what_no_point_of_a_steered_space_has_is_not_described() -> None:
    space = make_space("dcgan", SHAPE)

    def described(space: SearchSpace) -> set[str]:
        return {name for name, *_ in describe_parameters(declare(space))}

    every = described(space)
    assert every == {parameter.name for parameter in declare(space).space}
    hinge = SteeredSpace(space).fix(loss="hinge", penalty="none").narrow(generator_depth=(1, 2), optimizer=["adamw"])
    impossible = {"label_smoothing", "wasserstein_lambda", "penalty_gamma", "penalty_lambda"}
    assert every - described(hinge) == impossible | {"generator_width_3", "generator_width_4"}
    assert every - described(hinge.fix(optimizer="adamw")) == every - described(hinge)
    # The penalty's weight hangs on the penalty, which hangs on the loss.
    assert every - described(SteeredSpace(space).fix(loss="wasserstein", optimizer="rmsprop")) == {
        *("label_smoothing", "penalty", "penalty_gamma", "penalty_lambda"),
        *("beta1", "beta2", "weight_decay"),
    }


class Kinds:
    """A user's space with every kind of hyperparameter, scale and step; it knows nothing of steering."""

    def sample(self, hp: Any) -> GANArchitecture:
        hp.Int("linear", -3, 12, default=4)
        hp.Int("log", 8, 512, sampling="log", default=100)
        hp.Int("steps", 3, 23, step=5)
        hp.Int("doubles", 2, 70, step=2, sampling="log", default=8)
        hp.Float("share", -1.0, 1.0)
        hp.Float("rate", 1e-5, 1e-1, sampling="log", default=1e-3)
        hp.Float("tenths", -0.3, 0.75, step=0.1)
        hp.Float("reverse", 0.1, 0.9, sampling="reverse_log")
        hp.Float("reverse_steps", 1.0, 8.0, step=2, sampling="reverse_log")
        hp.Choice("word", ["a", "b", "c"], default="b")
        hp.Choice("size", [32, 64, 128])
        hp.Choice("beta", [0.0, 0.5, 1.0], ordered=False)
        hp.Boolean("flag", default=True)
        hp.Fixed("given", 7)
        with hp.name_scope("block"):
            hp.Int("width", 1, 5)
        return _architecture()


class Nested:
    """One name under two conditions, and a scope whose code runs only when it is open."""

    def sample(self, hp: Any) -> GANArchitecture:
        kind = hp.Choice("kind", ["small", "large"])
        with hp.conditional_scope("kind", ["large"]):
            if kind == "large":
                hp.Boolean("extra")
                units = hp.Int("units", 4, 16)
        with hp.conditional_scope("kind", ["small"]):
            if kind == "small":
                units = hp.Int("units", 2, 8)
        return _architecture(units)


def steer(space: Any = None) -> SteeredSpace:
    return SteeredSpace(Kinds() if space is None else space)


def configs(space: SearchSpace) -> dict[tuple[str, str], dict[str, Any]]:
    """What is declared, comparable."""
    entries = [_parameter(parameter) for parameter in declare(space).space]
    return {(entry["name"], repr(entry["conditions"])): entry for entry in entries}


def declared(space: SearchSpace, name: str) -> Any:
    (found,) = [parameter for parameter in declare(space).space if parameter.name == name]
    return found


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        act()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def draws(space: SearchSpace, name: str, n: int = 60) -> list[Any]:
    hp = declare(space)
    points = [active_values(random_point(hp, seed)) for seed in range(n)]
    return [point[name] for point in points if name in point]


# Rules hold at every point, and for nothing else.

SPACE_MAKERS: list[Callable[[], SearchSpace]] = [
    *(functools.partial(make_space, name, SHAPE) for name in SPACES),
    Kinds,
]


@st.composite
def a_parameter(draw: st.DrawFn) -> tuple[SearchSpace, Any]:
    space = draw(st.sampled_from(SPACE_MAKERS))()
    return space, draw(st.sampled_from(declare(space).space))


def a_value(parameter: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 10**6).map(parameter.random_sample)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(a_parameter(), st.data())
def test_a_fixed_one_always_equals_and_the_rest_is_unchanged(
    found: tuple[SearchSpace, Any], data: st.DataObject
) -> None:
    space, parameter = found
    value = data.draw(a_value(parameter))
    before = configs(space)
    steered = steer(space).fix(**{parameter.name: value})
    after = configs(steered)
    assert list(after) == list(before)
    for key, entry in before.items():
        if key[0] == parameter.name:
            conditions = entry["conditions"]
            expected = {"name": parameter.name, "value": value, "kind": "Fixed", "conditions": conditions}
            assert after[key] == expected
        else:
            assert after[key] == entry
    assert configs(space) == before  # the original is as it was
    hp = declare(steered)
    for seed in range(5):
        point = random_point(hp, seed)
        kept = dict(point.values)
        steered.sample(point)
        assert point.values == kept
        assert point.values.get(parameter.name, value) == value
        # The point is one of the space itself, which gives the same architecture for it.
        plain = keras_tuner.HyperParameters()
        plain.values = dict(kept)
        assert space.sample(plain) == steered.sample(point)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(a_parameter(), st.data())
def test_every_point_of_a_narrowed_space_lies_in_the_range(found: tuple[SearchSpace, Any], data: st.DataObject) -> None:
    space, parameter = found
    if isinstance(parameter, Fixed) or parameter.name == "reverse_steps":
        return
    before = configs(space)
    values = data.draw(st.lists(a_value(parameter), min_size=2, max_size=2).map(sorted))
    numeric = isinstance(parameter, Int | Float)
    steered = steer(space).narrow(**{parameter.name: tuple(values) if numeric else values})
    new = declared(steered, parameter.name)
    low, high = values
    for value in (new.default, *(new.random_sample(seed) for seed in range(50))):
        if numeric:
            assert low - 1e-9 <= value <= high + 1e-9
            assert type(value) is type(low)
            if parameter.step is not None and parameter.sampling == "linear":
                steps = (value - parameter.min_value) / parameter.step
                assert abs(steps - round(steps)) < 1e-6
        else:
            assert value in values
    assert getattr(new, "sampling", None) == (getattr(parameter, "sampling", None) if numeric else None)
    if numeric:
        assert new.step == parameter.step
        assert math.isclose(new.default, min(max(parameter.default, low), high), abs_tol=1e-9)
    after = configs(steered)
    assert list(after) == list(before)
    assert all(after[key] == entry for key, entry in before.items() if key[0] != parameter.name)
    assert configs(space) == before


@settings(deadline=None, derandomize=True, max_examples=40)
@given(a_parameter(), st.data())
def test_a_default_is_where_the_space_starts_and_all_else_is_unchanged(
    found: tuple[SearchSpace, Any], data: st.DataObject
) -> None:
    space, parameter = found
    value = data.draw(a_value(parameter))
    steered = steer(space).set_defaults(**{parameter.name: value})
    before, after = configs(space), configs(steered)
    assert list(after) == list(before)
    for key, entry in before.items():
        changed = key[0] == parameter.name and "default" in entry
        assert after[key] == ({**entry, "default": value} if changed else entry)
    assert declare(steered).values.get(parameter.name, value) == value


# Each kind.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear", -3),
        ("log", 511),
        ("log", np.int64(9)),
        ("steps", 13),
        ("doubles", 64),
        ("share", 1),
        ("rate", np.float32(0.01)),
        ("tenths", 0.0),
        ("tenths", 0.5),
        ("reverse", 0.9),
        ("reverse_steps", 7.0),
        ("reverse_steps", 5),
        ("word", "c"),
        ("size", np.int64(64)),
        ("beta", 0),
        ("flag", False),
        ("flag", np.False_),  # as a table of trials has it
        ("given", 7),
        ("block/width", 5),
    ],
)
def test_a_value_of_every_kind_can_be_fixed(name: str, value: Any) -> None:
    new = declared(steer().fix(**{name: value}), name)
    assert new.value == pytest.approx(value) if isinstance(value, float) else new.value == value
    original = declared(Kinds(), name)
    assert type(new.value) is type(original.random_sample(0))
    assert declare(steer().fix(**{name: value})).values[name] == new.value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("linear", 13, "an integer from -3 to 12"),
        ("linear", 3.0, "an integer from -3 to 12"),
        ("linear", True, "an integer from -3 to 12"),
        ("linear", "3", "an integer from -3 to 12"),
        ("log", None, "an integer from 8 to 512"),
        ("steps", 4, "an integer from 3 to 23 in steps of 5"),
        ("doubles", 6, "an integer from 2 to 70 by factors of 2"),
        ("share", 1.5, "a number from -1.0 to 1.0"),
        ("share", math.nan, "a number from -1.0 to 1.0"),
        ("share", False, "a number from -1.0 to 1.0"),
        ("rate", math.inf, "a number from 1e-05 to 0.1"),
        ("rate", [1e-3], "a number from 1e-05 to 0.1"),
        ("tenths", 0.05, "a number from -0.3 to 0.75 in steps of 0.1"),
        ("reverse_steps", 6, "a number from 1.0 to 8.0 by factors of 2"),
        ("word", "d", "one of 'a', 'b', 'c'"),
        ("word", 0, "one of 'a', 'b', 'c'"),
        ("size", 64.0, "one of 32, 64, 128"),
        ("beta", True, "one of 0.0, 0.5, 1.0"),
        ("flag", 1, "one of True, False"),
        ("given", 8, "7, at which it is fixed"),
        ("block/width", 6, "an integer from 1 to 5"),
    ],
)
def test_a_value_that_a_hyperparameter_cannot_have_is_refused(name: str, value: Any, expected: str) -> None:
    for method in ("fix", "set_defaults"):
        said = refusal(lambda method=method: getattr(steer(), method)(**{name: value}))  # type: ignore[misc]
        assert said == f"{name} must be {expected}, but got {value!r}."


@pytest.mark.parametrize(
    ("name", "wanted", "limits"),
    [
        ("linear", (0, 2), (0, 2, 2)),
        ("linear", [5, 12], (5, 12, 5)),
        ("linear", (3, 3), (3, 3, 3)),
        ("log", (8, 9), (8, 9, 9)),
        ("steps", (4, 22), (8, 18, 8)),
        ("doubles", (3, 70), (4, 64, 8)),
        ("doubles", (16, 32), (16, 32, 16)),
        ("share", (0, 1), (0.0, 1.0, 0.0)),
        ("rate", (1e-4, 5e-4), (1e-4, 5e-4, 5e-4)),
        ("tenths", (-0.25, 0.75), (-0.2, 0.7, -0.2)),
        ("reverse", (0.2, 0.9), (0.2, 0.9, 0.2)),
        ("block/width", (2, 3), (2, 3, 2)),
    ],
)
def test_a_range_keeps_its_scale_and_steps(name: str, wanted: Any, limits: tuple[Any, Any, Any]) -> None:
    new = declared(steer().narrow(**{name: wanted}), name)
    assert (new.min_value, new.max_value, new.default) == pytest.approx(limits)
    assert type(new.default) is type(new.min_value) is type(declared(Kinds(), name).min_value)
    original = declared(Kinds(), name)
    assert (new.sampling, new.step) == (original.sampling, original.step)
    assert {type(value) for value in draws(steer().narrow(**{name: wanted}), name)} == {type(limits[0])}


def test_choices_keep_their_order_and_a_default_that_is_left() -> None:
    space = steer().narrow(word={"c", "b"}, size=[128, 64, 64], beta=[0, 0.5])
    assert (declared(space, "word").values, declared(space, "word").default) == (["b", "c"], "b")
    assert (declared(space, "size").values, declared(space, "size").default) == ([64, 128], 64)
    assert (declared(space, "beta").values, declared(space, "beta").ordered) == ([0.0, 0.5], False)
    assert declared(steer().narrow(word=["c"]), "word").default == "c"
    assert set(draws(space, "word")) == {"b", "c"}
    assert declared(steer().narrow(flag=[False]), "flag").value is False
    assert configs(steer().narrow(flag=[False, True])) == configs(Kinds())


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("linear", (2, 1), "The range of linear must be two integers, lowest and highest, but got (2, 1)."),
        ("linear", (1, 2, 3), "The range of linear must be two integers, lowest and highest, but got (1, 2, 3)."),
        ("linear", (1.0, 2), "The range of linear must be two integers, lowest and highest, but got (1.0, 2)."),
        ("linear", {1, 2}, "The range of linear must be two integers, lowest and highest, but got {1, 2}."),
        ("rate", 1e-3, "The range of rate must be two numbers, lowest and highest, but got 0.001."),
        ("rate", "ab", "The range of rate must be two numbers, lowest and highest, but got 'ab'."),
        ("share", (math.nan, 1), "The range of share must be two numbers, lowest and highest, but got (nan, 1)."),
        ("linear", (-4, 2), "linear must be an integer from -3 to 12, but got -4."),
        ("linear", (2, 13), "linear must be an integer from -3 to 12, but got 13."),
        ("share", (0, math.inf), "share must be a number from -1.0 to 1.0, but got inf."),
        ("linear", (20, 30), "linear must be an integer from -3 to 12, but nothing of it is from 20 to 30."),
        ("steps", (4, 7), "steps must be an integer from 3 to 23 in steps of 5, but nothing of it is from 4 to 7."),
        (
            "reverse_steps",
            (2, 4),
            "reverse_steps has steps on a reversed log scale, which cannot be narrowed: fix it instead.",
        ),
        (
            "word",
            ("a", "b"),
            "word takes a list of some of 'a', 'b', 'c' (--range word=a,b), but got ('a', 'b').",
        ),
        (
            "word",
            [],
            "word takes a list of some of 'a', 'b', 'c' (--range word=a,b), but got [].",
        ),
        (
            "word",
            "a",
            "word takes a list of some of 'a', 'b', 'c' (--range word=a,b), but got 'a'.",
        ),
        ("word", ["a", "d"], "word must be one of 'a', 'b', 'c', but got 'd'."),
        ("size", [64.0], "size must be one of 32, 64, 128, but got 64.0."),
        ("flag", [1], "flag must be one of True, False, but got 1."),
        ("given", [7], "given is fixed at 7, so it has no range to narrow: leave it out."),
    ],
)
def test_a_range_that_a_hyperparameter_cannot_have_is_refused(name: str, wanted: Any, said: str) -> None:
    assert refusal(lambda: steer().narrow(**{name: wanted})) == said


@pytest.mark.parametrize("method", ["fix", "narrow", "set_defaults"])
def test_an_unknown_name_is_refused_with_the_closest_and_the_list(method: str) -> None:
    said = refusal(lambda: getattr(steer(Nested()), method)(unit=[1, 2]))
    guess = "The search space has no hyperparameter 'unit' (did you mean 'units'?): choose from kind, "
    assert said.removeprefix(guess) in ("units, extra.", "extra, units.")


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (256, 256, 3)])
@pytest.mark.parametrize("name", SPACES)
def test_every_space_takes_the_examples_that_flags_with_a_fault_are_told(
    name: str, shape: tuple[int, int, int]
) -> None:
    for table in ("set", "range", "default"):
        with pytest.raises(ConfigError) as raised:
            SearchConfig.load({table: ["fault"]})
        for example in re.findall(rf"--{table} ([^ ,]\S*[^ ,])", str(raised.value)):
            config = SearchConfig.load({table: [example]})
            space = SteeredSpace(make_space(name, shape))
            space.fix(**config.set).narrow(**config.range).set_defaults(**config.default)


# Steps one after another, conditions, names.


def test_steps_are_chained_and_each_leaves_the_one_before_as_it_is() -> None:
    first = make_space("dcgan", SHAPE)
    assert isinstance(first, Steerable)
    fixed = first.fix(generator_depth=2)
    narrowed = fixed.narrow(generator_lr=(1e-4, 1e-3), batch_size=[64])
    last = narrowed.set_defaults(generator_lr=3e-4)
    assert declared(first, "generator_depth").default == 3
    assert declared(fixed, "generator_lr").min_value == 5e-5
    assert declared(narrowed, "generator_lr").default == 5e-4
    rate = declared(last, "generator_lr")
    assert (rate.min_value, rate.max_value, rate.default, rate.sampling) == (1e-4, 1e-3, 3e-4, "log")
    assert declared(last, "batch_size").values == [64]
    architecture = last.sample(keras_tuner.HyperParameters())
    assert (len(architecture.generator.widths), architecture.training.generator_lr) == (2, 3e-4)
    assert last.base is first
    assert refusal(lambda: fixed.fix(generator_depth=3)) == (
        "generator_depth must be 2, at which it is fixed, but got 3."
    )
    assert "generator_lr must be a number from 0.0001 to 0.001, but got 0.002" in refusal(
        lambda: last.fix(generator_lr=2e-3)
    )
    assert configs(fixed.fix(generator_depth=2)) == configs(fixed)
    assert configs(first.fix()) == configs(first)


def test_a_default_moves_with_a_range_narrowed_after_it() -> None:
    assert declared(steer().set_defaults(linear=9).narrow(linear=(0, 5)), "linear").default == 5


def test_a_fixed_parent_opens_and_closes_its_children() -> None:
    space = make_space("dcgan", SHAPE)
    assert isinstance(space, Steerable)
    steered = space.fix(generator_depth=2, generator_width_4=50)  # the width of a layer that is never there
    hp = declare(steered)
    for seed in range(10):
        values = active_values(random_point(hp, seed))
        assert values["generator_depth"] == 2
        assert [name for name in values if name.startswith("generator_width")] == [
            "generator_width",
            "generator_width_2",
        ]
    said = refusal(lambda: space.fix(generator_depth=1, generator_width_4=7))
    assert said == "generator_width_4 must be an integer from 32 to 128 where generator_depth is 4, but got 7."


def test_a_name_under_two_conditions_is_narrowed_in_each() -> None:
    space = steer(Nested()).narrow(units=(3, 12))
    ranges = {
        item.conditions[0].values[0]: (item.min_value, item.max_value, item.default)
        for item in declare(space).space
        if item.name == "units"
    }
    assert ranges == {"small": (3, 8, 3), "large": (4, 12, 4)}
    assert set(draws(space, "units", 100)) == set(range(3, 13))
    for wanted in ((9, 12), (2, 3)):
        said = refusal(lambda wanted=wanted: steer(Nested()).narrow(units=wanted))  # type: ignore[misc]
        assert f"but nothing of it is from {wanted[0]} to {wanted[1]}." in said
        assert "where kind is " in said
    assert "but got 17." in refusal(lambda: steer(Nested()).narrow(units=(4, 17)))


def test_only_conditions_that_can_hold_count() -> None:
    assert "units must be an integer from 2 to 8 where kind is small, but got 16." in refusal(
        lambda: steer(Nested()).fix(units=16)
    )
    for space in (steer(Nested()).fix(kind="large", units=16), steer(Nested()).narrow(kind=["large"]).fix(units=16)):
        assert set(draws(space, "units")) == {16}
        assert space.sample(declare(space)).generator.widths == (16,)
        small = [item for item in declare(space).space if item.name == "units" and "small" in item.conditions[0].values]
        assert [(item.min_value, item.max_value) for item in small] == [(2, 8)]  # as it was, and never open
    narrowed = steer(Nested()).fix(kind="large").narrow(units=(9, 12))
    assert set(draws(narrowed, "units")) == set(range(9, 13))
    assert "kind must be one of 'small', 'large'" in refusal(lambda: steer(Nested()).fix(kind="huge", units=16))


def test_a_child_inside_code_that_runs_only_when_open_is_found() -> None:
    space = steer(Nested()).fix(extra=True)
    assert set(draws(space, "extra")) == {True}
    assert "extra" not in declare(steer(Nested()).fix(kind="small", extra=True)).values


def test_what_the_space_sees_is_a_hyperparameters_object() -> None:
    seen: list[Any] = []

    class Curious:
        def sample(self, hp: Any) -> GANArchitecture:
            units = hp.Int("units", 2, 8)
            assert isinstance(hp, keras_tuner.HyperParameters)
            assert hp["units"] == hp.get("units") == hp.values["units"] == units
            assert "units" in hp
            assert hp.is_active("units")
            assert [item.name for item in hp.space] == ["units"]
            with pytest.raises(KeyError):
                hp.get("unit")
            seen.append(units)
            return _architecture(units)

    space = SteeredSpace(SteeredSpace(Curious()).fix(units=5)).set_defaults(units=5)
    hp = keras_tuner.HyperParameters()
    assert space.sample(hp).generator.widths == (5,)
    assert seen[-1] == 5
    assert set(hp.__dict__) == set(keras_tuner.HyperParameters().__dict__)  # nothing of ours is left in it
    assert isinstance(space.base, Curious)


def test_a_steered_space_passes_the_check_and_one_that_fails_is_told_by_its_name() -> None:
    check_search_space(steer(Nested()).fix(kind="large").narrow(units=(9, 12)), (8, 8, 1))

    class Broken:
        def sample(self, hp: Any) -> GANArchitecture:
            raise KeyError("width")

    assert refusal(lambda: steer(Broken()).fix(a=1)) == "Broken.sample failed at the defaults: KeyError: 'width'"


@pytest.mark.parametrize("name", SPACES)
def test_a_built_in_space_keeps_its_name_steered_or_not(name: str) -> None:
    space = make_space(name, SHAPE)
    assert isinstance(space, Steerable)
    for given_space in (name, space, space.fix(beta1=0.5), SteeredSpace(space).fix(beta1=0).fix(batch_size=64)):
        assert GANHyperModel(SHAPE, given_space).space_name == name
    assert GANHyperModel(SHAPE, steer().fix(linear=3)).space_name == "Kinds"


def test_another_steering_is_another_search() -> None:
    def description(space: SearchSpace) -> dict[str, Any]:
        return {"name": "x", "hyperparameters": list(configs(space).values())}

    plain = description(Kinds())
    assert _space_difference(plain, description(steer().fix())) is None
    for other, words in (
        (steer().fix(linear=3), "linear: default 4, min_value -3, max_value 12"),
        (steer().narrow(size=[64]), "size: "),
        (steer().set_defaults(rate=2e-3), "rate: default 0.001, "),
    ):
        assert words in str(_space_difference(plain, description(other)))


# Oracles.

ORACLES: dict[str, Callable[..., Any]] = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
    "bayesian": functools.partial(keras_tuner.oracles.BayesianOptimizationOracle, num_initial_points=3),
    "hyperband": functools.partial(keras_tuner.oracles.HyperbandOracle, max_epochs=9),
}


@pytest.mark.filterwarnings("ignore:The optimal value found for dimension:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ORACLES)
def test_oracles_stay_in_a_steered_space(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = make_space("dcgan", SHAPE)
    steered: dict[str, Any] = {"generator_depth": 3, "beta1": 0, "optimizer": "adam"}
    # KerasTuner's Bayesian oracle needs half a minute a trial for forty free hyperparameters.
    others = {parameter.name: parameter.default for parameter in declare(base).space if parameter.name not in steered}
    for free in ("generator_lr", "batch_size", "generator_width", "loss", "label_smoothing"):
        del others[free]
    space = SteeredSpace(base).fix(**steered, **others).narrow(generator_lr=(1e-4, 2e-4), batch_size=[128])
    oracle = ORACLES[name](objective=keras_tuner.Objective("fcd", "min"), seed=3)
    oracle._set_project_dir(str(tmp_path), "project")
    oracle.update_space(declare(space))
    for index in range(7):
        trial = oracle.create_trial("tuner0")
        architecture = space.sample(trial.hyperparameters)
        values = active_values(trial.hyperparameters)
        assert (values["generator_depth"], values["beta1"], values["batch_size"]) == (3, 0.0, 128)
        assert len(architecture.generator.widths) == 3
        assert 1e-4 <= architecture.training.generator_lr <= 2e-4
        oracle.update_trial(trial.trial_id, {"fcd": 1 / (1 + index)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def test_what_cannot_sample_is_refused() -> None:
    for space in ("dcgan", None, Steerable):
        with pytest.raises(ConfigError, match=r"^A search space is an object with a method sample\(hp\), but got "):
            SteeredSpace(space)  # type: ignore[arg-type]
