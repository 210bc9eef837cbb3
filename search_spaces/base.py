"""What a search space is, and a checker for people who write their own."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import keras_tuner
import numpy as np

from tuner_gan.errors import ConfigError, closest
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.plain_numbers import plain

Value = bool | int | float | str
"""Of a hyperparameter."""
SAMPLES = 20
"""Random points that `check_search_space` tries."""


@runtime_checkable
class SearchSpace(Protocol):
    """Anything with `sample`. Built-in spaces take the image shape in their constructor; yours may too.

    Example:
        >>> class TwoWidths:
        ...     def sample(self, hp):
        ...         width = hp.Choice("generator_width", [16, 32])
        ...         return GANArchitecture(
        ...             image_shape=(28, 28, 1),
        ...             generator=GeneratorSpec("conv", latent_dim=64, widths=(2 * width, width)),
        ...             discriminator=DiscriminatorSpec("conv", widths=(16, 32)),
        ...         )
    """

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Turns hyperparameter values into an architecture.

        It must be cheap (nothing is built here), free of side effects, and give the same architecture for the
        same values. A hyperparameter that only exists for some values of another is declared with
        `parent_name` and `parent_values`, or inside `hp.conditional_scope`.

        Args:
            hp: where to declare hyperparameters (`hp.Int`, `hp.Float`, `hp.Choice`, `hp.Boolean`, `hp.Fixed`)
                and read their values.
        """
        ...


def declare(space: SearchSpace, hp: keras_tuner.HyperParameters | None = None) -> keras_tuner.HyperParameters:
    """Finds every hyperparameter of a space, those of inactive conditions included, without building a model.

    Args:
        space: the search space.
        hp: hyperparameters to start from; None for none.

    Returns:
        `hp.space` lists all of them; `hp.values` holds each default that is active by default.

    Raises:
        ConfigError: the space has no method `sample`, it failed, or gave something else than a `GANArchitecture`.
    """
    found = keras_tuner.HyperParameters() if hp is None else hp
    _sample(_check_space(space), found, None)
    known = {identity(parameter.name, parameter.conditions) for parameter in found.space}
    scopes, opened = list(found.inactive_scopes), set[str]()
    # A scope that no default opens hides what is declared inside it, so each is opened once.
    while scopes:
        scope = scopes.pop()
        if identity("", scope) in opened:
            continue
        opened.add(identity("", scope))
        point = make_point(found.space, functools.partial(_default_within, scope))
        _sample(space, point, None)
        new = [item for item in point.space if identity(item.name, item.conditions) not in known]
        found.merge(new)
        known.update(identity(item.name, item.conditions) for item in new)
        scopes.extend(point.inactive_scopes)
    return found


def _default_within(scope: list[Any], parameter: Any) -> Any:
    """Returns the value of a hyperparameter that opens a scope; of any other its default."""
    return {condition.name: condition.values[0] for condition in scope}.get(parameter.name, parameter.default)


def identity(name: str, conditions: list[Any]) -> str:
    """Returns what tells declarations apart: KerasTuner takes one name under two conditions for two of them."""
    return json.dumps([name, [condition.get_config() for condition in conditions]], default=str)


def active_values(hp: keras_tuner.HyperParameters) -> dict[str, Value]:
    """Returns the values of the hyperparameters that exist for this point, as plain Python values.

    KerasTuner's own bookkeeping (`tuner/epochs` and the like) is left out.
    """
    return {
        parameter.name: np.asarray(hp.values[parameter.name]).item()
        for parameter in hp.space
        if not parameter.name.startswith("tuner/") and parameter.name in hp.values and hp.is_active(parameter)
    }


def describe_parameters(hp: keras_tuner.HyperParameters) -> list[tuple[str, str, str, str]]:
    """Returns name, range, default and condition of each hyperparameter of a declared space, as text.

    Those are left out that no point has, such as the penalty's weight where the penalty is fixed to none.
    """
    return [
        (
            parameter.name,
            _range(parameter.get_config()),
            f"{parameter.default:g}" if isinstance(parameter.default, float) else str(parameter.default),
            describe_conditions(parameter) or "always",
        )
        for parameter in possible(hp.space)
    ]


def possible(parameters: Iterable[Any]) -> list[Any]:
    """Returns the hyperparameters that some point has, of those of a declared space, parents before children."""
    found: list[Any] = []
    for parameter in parameters:
        if all(can_hold(condition, found) for condition in parameter.conditions):
            found.append(parameter)
    return found


def can_hold(condition: Any, known: Iterable[Any]) -> bool:
    """Tells whether one of the declarations known lets a condition be fulfilled."""
    parents = [parameter for parameter in known if parameter.name == condition.name]
    return any(_holds(parent, value) for parent in parents for value in condition.values)


def describe_conditions(parameter: Any) -> str:
    """Returns what must hold for a hyperparameter to exist, as text; nothing where it always does."""
    return " and ".join(f"{item.name} is {' or '.join(map(str, item.values))}" for item in parameter.conditions)


def _range(config: dict[str, Any]) -> str:
    if "values" in config:
        return ", ".join(map(str, config["values"]))
    if "min_value" in config:
        linear, step = config["sampling"] == "linear", config["step"]
        scale = ", log" if config["sampling"] == "log" else ""
        steps = "" if step in (None, 1) else f", {'in steps' if linear else 'by factors'} of {step:g}"
        return f"{config['min_value']:g} to {config['max_value']:g}{scale}{steps}"
    return "fixed" if "value" in config else "True, False"


def check_search_space(space: object, image_shape: tuple[int, int, int] | None = None) -> None:
    """Tells the author of a search space what is wrong with it; returns quietly when nothing is.

    Samples the defaults and twenty random points, and builds and runs the default architecture.

    Args:
        space: the search space.
        image_shape: height, width and channels that its architectures must have; None accepts any.

    Raises:
        ConfigError: the first fault found, and what to do about it.
    """
    name = type(space).__name__
    space = _check_space(space)
    default = _sample(space, _OneDeclarationEach(), image_shape)
    hp = declare(space)
    if not hp.space:
        raise ConfigError(
            f"{name}.sample declares no hyperparameter, so there is nothing to search: "
            "declare at least one with hp.Int, hp.Float, hp.Choice or hp.Boolean."
        )
    for seed in range(SAMPLES):
        point = _OneDeclarationEach.from_config(random_point(hp, seed).get_config())
        architecture = _sample(space, point, image_shape)
        if _sample(space, point.copy(), image_shape) != architecture:
            raise ConfigError(
                f"{name}.sample gives different architectures for the same values {active_values(point)}: "
                "take every choice from hp, none from random or from state."
            )
        if GANArchitecture.from_json(architecture.to_json()) != architecture:
            raise ConfigError(f"{name}.sample gives an architecture that changes when it is stored as JSON.")
    from tuner_gan.gan.model import GAN

    try:
        gan = GAN(default, seed=0)
        images = gan.generate(2, seed=0)
    except Exception as error:
        raise ConfigError(f"The default architecture of {name} cannot be built: {error}") from error
    if images.shape[1:] != default.image_shape:
        raise ConfigError(f"{name} makes images of {images.shape[1:]}, but {default.image_shape} was expected.")


class _OneDeclarationEach(keras_tuner.HyperParameters):  # type: ignore[misc]
    """Refuses a name that is declared in two ways: KerasTuner goes on with the first, and says nothing."""

    def _retrieve(self, hp: Any) -> Any:
        # Int, Float, Choice, Boolean and Fixed all end here, with name scopes and conditions resolved.
        for known in self.space:
            if identity(known.name, known.conditions) == identity(hp.name, hp.conditions):
                ways = [_declaration(known), _declaration(hp)]
                if ways[0] != ways[1]:
                    raise ConfigError(
                        f"the hyperparameter {hp.name!r} is declared as {' and as '.join(ways)}, and KerasTuner takes "
                        "the first for both: give each a name of its own."
                    )
        return super()._retrieve(hp)


def _declaration(parameter: Any) -> str:
    config = parameter.get_config()
    return f"{type(parameter).__name__} ({config['value'] if 'value' in config else _range(config)})"


def random_point(hp: keras_tuner.HyperParameters, seed: int) -> keras_tuner.HyperParameters:
    """Draws a random point of a declared space; only active hyperparameters get a value."""
    parameters = hp.space
    seeds = {id(parameter): 1_000 * seed + index for index, parameter in enumerate(parameters)}
    return make_point(parameters, lambda parameter: parameter.random_sample(seeds[id(parameter)]))


def make_point(parameters: Iterable[Any], value: Callable[[Any], Any]) -> keras_tuner.HyperParameters:
    """Builds a point of a space one hyperparameter at a time, so that only active ones get a value.

    KerasTuner's `ensure_active_values` loses a name that is declared under two conditions.

    Args:
        parameters: those of a declared space, parents before children.
        value: gives the value of an active one.
    """
    point = keras_tuner.HyperParameters()
    for parameter in parameters:
        point.merge([parameter])
        if point.is_active(parameter):
            point.values[parameter.name] = value(parameter)
    return point


def allows(parameter: Any, value: Any) -> bool:
    """Tells whether a hyperparameter can have a value; steps are not looked at."""
    config = parameter.get_config()
    if "min_value" in config:
        is_number = isinstance(value, int if type(parameter).__name__ == "Int" else int | float)
        return is_number and not isinstance(value, bool) and config["min_value"] <= value <= config["max_value"]
    known = config["values"] if "values" in config else [config["value"]] if "value" in config else [False, True]
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in known)


def nearest(parameter: Any, value: Any) -> Any:
    """Returns the value of a range that is nearest to a number; what is of no range stays as it is.

    KerasTuner takes any default, in the range and at a step of it or not.
    """
    if not hasattr(parameter, "min_value"):
        return value
    low, high, step = parameter.min_value, parameter.max_value, parameter.step
    value = min(max(value, low), high)
    if step is None:
        return value
    if parameter.sampling != "linear":
        return type(low)(min(parameter.values, key=lambda one: abs(one - value)))
    # In decimals, as Optuna counts steps: in floats, 0.5 // 0.1 is 4.
    first, width = Decimal(str(low)), Decimal(str(step))
    last = (Decimal(str(high)) - first) // width
    return type(low)(first + width * min(int(last), round((Decimal(str(value)) - first) / width)))


def _holds(parameter: Any, value: Any) -> bool:
    """Tells whether a hyperparameter can have a value, which must be at a step of its range."""
    if not allows(parameter, value):
        return False
    return not hasattr(parameter, "min_value") or math.isclose(nearest(parameter, value), value, abs_tol=1e-12)


def fill_point(hp: keras_tuner.HyperParameters, given: Mapping[str, Any]) -> dict[str, Any]:
    """Completes a point of a space by defaults; one between two steps of its range moves to the nearest.

    Args:
        hp: all hyperparameters of the space, as `declare` gives them.
        given: values of some of them.

    Returns:
        The values of those that are active at this point.

    Raises:
        ConfigError: a name that the space does not have, or a value that it does not allow.
    """
    given = {name: plain(value) for name, value in given.items()}
    known: dict[str, list[Any]] = {}
    for parameter in hp.space:
        known.setdefault(parameter.name, []).append(parameter)
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"There is no hyperparameter {name!r}{closest(name, known)} in the search space.")
        if not any(_holds(parameter, value) for parameter in known[name]):
            ranges = " or ".join(_range(parameter.get_config()) for parameter in known[name])
            raise ConfigError(f"The hyperparameter {name} must be in {ranges}, but got {value!r}.")
    return dict(make_point(hp.space, lambda parameter: _value_of(parameter, given)).values)


def _value_of(parameter: Any, given: Mapping[str, Any]) -> Any:
    value = given.get(parameter.name, parameter.default)
    return nearest(parameter, value if allows(parameter, value) else parameter.default)


def _check_space(space: object) -> SearchSpace:
    """Returns what can be sampled; refuses anything else."""
    if isinstance(space, type) or not callable(getattr(space, "sample", None)):
        raise ConfigError(
            f"A search space is an object with a method sample(hp), but got {space!r}"
            + (": pass an instance of it." if isinstance(space, type) else ".")
        )
    assert isinstance(space, SearchSpace)
    return space


def _sample(
    space: SearchSpace, hp: keras_tuner.HyperParameters, image_shape: tuple[int, int, int] | None
) -> GANArchitecture:
    name = type(space).__name__
    try:
        architecture = space.sample(hp)
    except ConfigError as error:
        raise ConfigError(f"{name}.sample failed at {active_values(hp) or 'the defaults'}: {error}") from error
    except Exception as error:
        raise ConfigError(
            f"{name}.sample failed at {active_values(hp) or 'the defaults'}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(architecture, GANArchitecture):
        raise ConfigError(f"{name}.sample must return a GANArchitecture, but it returned {architecture!r}.")
    if image_shape is not None and architecture.image_shape != tuple(image_shape):
        raise ConfigError(
            f"{name}.sample makes images of shape {architecture.image_shape}, but the data have {tuple(image_shape)}."
        )
    return architecture
