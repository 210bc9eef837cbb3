"""KerasTuner's hyperparameters as Optuna's distributions, and their values there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_gan.search_spaces.base import Value, describe_conditions, nearest


def name_parameters(parameters: Sequence[Any]) -> dict[str, Any]:
    """Gives every hyperparameter of a space a name of its own.

    KerasTuner takes one name under two conditions for two hyperparameters, Optuna for one. The first keeps the name,
    whatever is declared later; the next ones get their conditions beside it.

    Args:
        parameters: those of a declared space, in its order.
    """
    named: dict[str, Any] = {}
    for parameter in parameters:
        name = parameter.name
        if name in named:
            name = f"{name} [{describe_conditions(parameter) or 'always'}]"
        named[name] = parameter
    return named


def find_distribution(parameter: Any) -> BaseDistribution | None:
    """Returns the distribution of a hyperparameter's values as Optuna is to see them; None for a fixed one.

    A range on a logarithmic scale in steps, which Optuna lacks, becomes the numbers of the steps; one on a reversed
    logarithmic scale becomes the distance from its far end.
    """
    config = parameter.get_config()
    kind = type(parameter).__name__
    if kind == "Fixed":
        return None
    if kind == "Boolean":
        return CategoricalDistribution([False, True])
    if kind == "Choice":
        return CategoricalDistribution(config["values"])
    low, high, step = config["min_value"], config["max_value"], config["step"]
    numerical = IntDistribution if kind == "Int" else FloatDistribution
    if config["sampling"] != "linear":
        return IntDistribution(0, _count(parameter) - 1) if step else numerical(low, high, log=True)
    if step is None:
        return FloatDistribution(low, high)
    return numerical(low, nearest(parameter, high), step=step)  # Optuna wants a whole number of steps


def to_optuna(parameter: Any, value: Value) -> Value:
    """Returns a hyperparameter's value as Optuna is to see it; one between two steps becomes the nearest."""
    value = nearest(parameter, value)
    if not _is_mapped(parameter):
        return value
    if parameter.step is None:
        mirrored: float = parameter.min_value + parameter.max_value - float(value)
        return int(mirrored) if type(parameter).__name__ == "Int" else mirrored
    values = _steps(parameter)
    return min(range(len(values)), key=lambda index: abs(values[index] - float(value)))


def from_optuna(parameter: Any, value: Value) -> Value:
    """Returns what KerasTuner calls a value that Optuna suggested."""
    if not _is_mapped(parameter):
        # What comes back from a database is an equal value, but may be of another type.
        return _typed(parameter, value)
    if parameter.step is None:
        return _typed(parameter, parameter.min_value + parameter.max_value - float(value))
    found: Value = _steps(parameter)[int(value)]
    return found


def _is_mapped(parameter: Any) -> bool:
    sampling = getattr(parameter, "sampling", "linear")
    return sampling == "reverse_log" or (sampling == "log" and parameter.step is not None)


def _count(parameter: Any) -> int:
    return len(list(parameter.values))


def _steps(parameter: Any) -> list[Any]:
    count = _count(parameter)
    return [parameter.prob_to_value((index + 0.5) / count) for index in range(count)]


def _typed(parameter: Any, value: Any) -> Value:
    kinds: dict[str, Any] = {"Int": int, "Float": float, "Boolean": bool}
    kind = type(parameter).__name__
    if kind == "Choice":
        kinds["Choice"] = type(parameter.values[0])
    typed: Value = kinds[kind](value)
    return typed
