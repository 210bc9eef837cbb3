"""Fixes, narrows or gives a default to any hyperparameter of any search space, without a change to its code."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Fixed, Float, Int

from tuner_gan.errors import ConfigError, closest
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.plain_numbers import plain
from tuner_gan.search_spaces.base import SearchSpace, Value, can_hold, declare, describe_conditions, identity

Rule = Callable[[Any], Any]
"""Makes another declaration of one; raises ConfigError where it cannot."""


SLACK = 1e-6
"""Share of a step by which a value may miss it: a sum of floats is not exact."""


class Steerable:
    """Gives a search space the methods that steer it. Each returns a new space and leaves this one as it is.

    Names that are no Python names are passed as `fix(**{"block/width": 16})`.
    """

    def fix(self: SearchSpace, /, **values: Value) -> SteeredSpace:
        """Fixes hyperparameters, which stay in the table of trials.

        Args:
            values: a value within the declared range of each: an integer for an `Int`, any number for a `Float`,
                one of its values for a `Choice`, True or False for a `Boolean`.

        Raises:
            ConfigError: there is no such hyperparameter, or it cannot have that value.
        """
        return SteeredSpace(self, {name: functools.partial(_fixed, value=value) for name, value in values.items()})

    def narrow(self: SearchSpace, /, **ranges: Collection[Value]) -> SteeredSpace:
        """Narrows ranges. Sampling and step stay; a default outside moves to the nearest end, or the first choice.

        A name that is declared under several conditions is narrowed in each.

        Args:
            ranges: `(lowest, highest)`, both within the declared range, for an `Int` or `Float`; a list or set of
                some of its values for a `Choice` or `Boolean`.

        Raises:
            ConfigError: there is no such hyperparameter, or its range does not hold this one.
        """
        steered = SteeredSpace(
            self, {name: functools.partial(_narrowed, wanted=wanted) for name, wanted in ranges.items()}
        )
        for name, wanted in ranges.items():
            for value in wanted:
                _check_held(steered.replaced[name], value)
        return steered

    def set_defaults(self: SearchSpace, /, **values: Value) -> SteeredSpace:
        """Gives hyperparameters another default: the point where an oracle that knows of defaults starts.

        Args:
            values: a value within the declared range of each, as for `fix`.

        Raises:
            ConfigError: there is no such hyperparameter, or it cannot have that value.
        """
        return SteeredSpace(self, {name: functools.partial(_defaulted, value=value) for name, value in values.items()})


class SteeredSpace(Steerable):
    """A search space, some of whose hyperparameters are declared otherwise than its `sample` says.

    Args:
        space: any object with `sample(hp)`.
        rules: of a hyperparameter's name, how to declare it; `fix`, `narrow` and `set_defaults` give them.

    Attributes:
        base: the space without any steering.
        replaced: of a steered name, the declarations that its rule replaces.

    Raises:
        ConfigError: the space cannot be sampled, or a rule does not fit it.

    Example:
        >>> space = SteeredSpace(TwoWidths()).fix(generator_width=32)
    """

    def __init__(self, space: SearchSpace, rules: Mapping[str, Rule] | None = None) -> None:
        self.base: SearchSpace = space.base if isinstance(space, SteeredSpace) else space
        self._space = space
        self._rules = dict(rules or {})
        declared = declare(space).space
        names = list(dict.fromkeys(parameter.name for parameter in declared))
        for name in self._rules:
            if name not in names:
                raise ConfigError(
                    f"The search space has no hyperparameter {name!r}{closest(name, names)}: "
                    f"choose from {', '.join(names)}."
                )
        # What a rule must fit are the declarations that some point of the steered space still opens: with the kind of
        # network fixed, the width of another kind is of no interest.
        self.replaced: dict[str, list[Any]] = {name: [] for name in self._rules}
        opened: list[Any] = []
        for parameter in declared:
            if all(can_hold(condition, opened) for condition in parameter.conditions):
                opened.append(self._apply(parameter))
                self.replaced.get(parameter.name, []).append(parameter)
        for name, replaced in self.replaced.items():
            if not replaced:  # never active, but a wrong value is an error all the same
                replaced.extend(parameter for parameter in declared if parameter.name == name)
                for parameter in replaced:
                    self._apply(parameter)
        used = {identity(parameter.name, parameter.conditions) for item in self.replaced.values() for parameter in item}
        self._untouched = {identity(parameter.name, parameter.conditions) for parameter in declared} - used

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples the space, which sees the steered values."""
        return self._space.sample(_SteeredHyperParameters(hp, self.declaration))

    def declaration(self, parameter: Any) -> Any:
        """Returns how a hyperparameter of the space is declared here."""
        if identity(parameter.name, parameter.conditions) in self._untouched:
            return parameter
        return self._apply(parameter)

    def _apply(self, parameter: Any) -> Any:
        rule = self._rules.get(parameter.name)
        return parameter if rule is None else rule(parameter)


class _SteeredHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """The same hyperparameters and values as another object holds, with other declarations on their way to it."""

    __slots__ = ("_declaration", "_hp")  # beside the attributes of the other object, not among them

    def __init__(self, hp: keras_tuner.HyperParameters, declaration: Rule) -> None:
        self.__dict__ = hp.__dict__  # type: ignore[misc]  # mypy takes the slots for all there is
        self._hp = hp
        self._declaration = declaration

    def _retrieve(self, hp: Any) -> Any:
        # Int, Float, Choice, Boolean and Fixed all end here, with name scopes and conditions resolved.
        return self._hp._retrieve(self._declaration(hp))


def _fixed(parameter: Any, value: Any) -> Any:
    return Fixed(parameter.name, _checked(parameter, value), conditions=parameter.conditions)


def _defaulted(parameter: Any, value: Any) -> Any:
    value = _checked(parameter, value)
    return parameter if isinstance(parameter, Fixed) else _changed(parameter, default=value)


def _narrowed(parameter: Any, wanted: Any) -> Any:
    name = parameter.name
    if isinstance(parameter, Fixed):
        raise ConfigError(f"{name} is fixed at {parameter.value!r}, so it has no range to narrow: leave it out.")
    if isinstance(parameter, Int | Float):
        return _narrowed_range(parameter, wanted)
    if not isinstance(wanted, list | set | frozenset) or not wanted:
        form = f"--range {name}={','.join(map(str, parameter.values[:2]))}"
        raise ConfigError(f"{name} takes a list of some of {_listed(parameter.values)} ({form}), but got {wanted!r}.")
    kept = [choice for choice in parameter.values if any(_same(value, choice) for value in wanted)]
    if not kept:
        raise ConfigError(f"{name} must be {_expected(parameter)}, but got {_listed(wanted)}.")
    if isinstance(parameter, Boolean):
        return parameter if len(kept) == 2 else Fixed(name, kept[0], conditions=parameter.conditions)
    default = parameter.default if parameter.default in kept else kept[0]
    return _changed(parameter, values=kept, default=default)


def _narrowed_range(parameter: Any, wanted: Any) -> Any:
    name = parameter.name
    if (
        not isinstance(wanted, tuple | list)
        or len(wanted) != 2
        or not all(_is_a(_kind(parameter), value) for value in wanted)
        or not wanted[0] <= wanted[1]
    ):
        plural = "integers" if isinstance(parameter, Int) else "numbers"
        raise ConfigError(f"The range of {name} must be two {plural}, lowest and highest, but got {wanted!r}.")
    if parameter.step is not None and parameter.sampling == "reverse_log":
        # Its steps are counted from both ends, so that none of them would stay where it is.
        raise ConfigError(f"{name} has steps on a reversed log scale, which cannot be narrowed: fix it instead.")
    kind = _kind(parameter)
    lowest, highest = max(parameter.min_value, kind(wanted[0])), min(parameter.max_value, kind(wanted[1]))
    if parameter.step is not None and lowest <= highest:
        lowest = _step_value(parameter, math.ceil(_step_index(parameter, lowest) - SLACK))
        highest = _step_value(parameter, math.floor(_step_index(parameter, highest) + SLACK))
    if lowest > highest:
        raise ConfigError(
            f"{name} must be {_expected(parameter)}, but nothing of it is from {wanted[0]} to {wanted[1]}."
        )
    default = min(max(parameter.default, lowest), highest)
    return _changed(parameter, min_value=lowest, max_value=highest, default=default)


def _changed(parameter: Any, **changes: Any) -> Any:
    return type(parameter).from_config({**parameter.get_config(), **changes})


def _check_held(declared: list[Any], value: Any) -> None:
    """Refuses the end of a range, or a choice, that no declaration of a hyperparameter holds."""
    if isinstance(declared[0], Int | Float):
        held = any(parameter.min_value <= value <= parameter.max_value for parameter in declared)
    else:
        held = any(_admits(parameter, value) for parameter in declared)
    if not held:
        raise ConfigError(f"{declared[0].name} must be {_expected(declared[0])}, but got {value!r}.")


def _checked(parameter: Any, value: Any) -> Any:
    """Returns the value as the declaration has it: 1 as 1.0 where numbers are floats."""
    if not _admits(parameter, value):
        raise ConfigError(f"{parameter.name} must be {_expected(parameter)}, but got {value!r}.")
    if isinstance(parameter, Int | Float):
        return _kind(parameter)(value)
    return next(choice for choice in parameter.values if _same(value, choice))


def _admits(parameter: Any, value: Any) -> bool:
    if not isinstance(parameter, Int | Float):
        return any(_same(value, choice) for choice in parameter.values)
    if not _is_a(_kind(parameter), value) or not parameter.min_value <= value <= parameter.max_value:
        return False
    if parameter.step is None:
        return True
    index = _step_index(parameter, value)
    return abs(index - round(index)) < SLACK


def _same(value: Any, choice: Any) -> bool:
    return _is_a(type(choice), value) and bool(value == choice)


def _is_a(kind: type, value: Any) -> bool:
    """Tells whether a value can stand for one of a kind: 1 for a float, but neither 1.0 nor True for an integer."""
    value = plain(value)
    if issubclass(kind, bool) or isinstance(value, bool):
        return issubclass(kind, bool) and isinstance(value, bool)
    if issubclass(kind, int | float):
        return isinstance(value, numbers.Integral if issubclass(kind, int) else numbers.Real)
    return isinstance(value, kind)


def _step_index(parameter: Any, value: Any) -> float:
    """Returns how many steps a value is from the first one."""
    if parameter.sampling == "linear":
        return float((value - parameter.min_value) / parameter.step)
    distance = value if parameter.sampling == "log" else parameter.max_value + parameter.min_value - value
    return math.log(distance / parameter.min_value, parameter.step)


def _step_value(parameter: Any, index: int) -> Any:
    linear = parameter.sampling == "linear"
    value = parameter.min_value + index * parameter.step if linear else parameter.min_value * parameter.step**index
    return round(value) if isinstance(parameter, Int) else value


def _kind(parameter: Any) -> type[int] | type[float]:
    return int if isinstance(parameter, Int) else float


def _expected(parameter: Any) -> str:
    if isinstance(parameter, Int | Float):
        kind = "an integer" if isinstance(parameter, Int) else "a number"
        text = f"{kind} from {parameter.min_value} to {parameter.max_value}"
        if parameter.step not in (None, 1):
            text += (
                f" in steps of {parameter.step}"
                if parameter.sampling == "linear"
                else f" by factors of {parameter.step}"
            )
    elif isinstance(parameter, Fixed):
        text = f"{parameter.value!r}, at which it is fixed"
    else:
        text = f"one of {_listed(parameter.values)}"
    return f"{text} where {describe_conditions(parameter)}" if parameter.conditions else text


def _listed(values: Collection[Any]) -> str:
    return ", ".join(sorted(map(repr, values)) if isinstance(values, set | frozenset) else map(repr, values))
