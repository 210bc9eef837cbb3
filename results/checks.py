"""Checks of the values in a record.json: each returns its value, or tells what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tuner_gan.errors import ProjectError

Value = bool | int | float | str
"""The value of a hyperparameter."""


class Key(NamedTuple):
    """A key of a JSON object.

    Attributes:
        check: returns the value, as it is kept, or raises ValueError with what was expected.
        optional: whether null is a value, too.
        newer: whether the key may be missing, as in a file of an earlier version.
    """

    check: Callable[[Any], Any]
    optional: bool = True
    newer: bool = False


def parse_time(text: str) -> datetime:
    """Reads an ISO 8601 time with a time zone as UTC.

    Raises:
        ValueError: it is none.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("it has no time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def find_part(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object within an object of a file that may be damaged; empty where there is none."""
    part = content.get(key)
    return part if isinstance(part, dict) else {}


def read_keys(value: object, keys: Mapping[str, Key]) -> dict[str, Any]:
    """Checks a JSON object, and returns what it has of `keys` and is not null.

    Raises:
        ProjectError: it is no object, or a key is missing or of the wrong type.
    """
    if not isinstance(value, dict):
        raise ProjectError(f"expected a JSON object, got {_shown(value)}")
    found: dict[str, Any] = {}
    for name, (check, optional, newer) in keys.items():
        content = value.get(name)
        if content is None:
            if not newer and name not in value:
                raise ProjectError(f"it has no {name!r}")
            if optional:
                continue
        try:
            found[name] = check(content)
        except ValueError as error:
            raise ProjectError(f"{name!r} should be {error}, got {_shown(content)}") from error
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_integer(value: Any) -> int:
    """A whole number that fits 64 bits and is not negative; true and 1.0 are none."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a whole number from 0 to 2**63 - 1")
    return value


def as_number(value: Any) -> float:
    """A finite number, as a float."""
    expected = ValueError("a finite number")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise expected
    try:
        number = float(value)
    except OverflowError:
        raise expected from None
    if not math.isfinite(number):
        raise expected
    return number


def as_truth(value: Any) -> bool:
    """True or false; no number is one."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def as_text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def as_texts(value: Any) -> tuple[str, ...]:
    """A list of texts, as a tuple."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of texts")
    return tuple(value)


def as_integers(value: Any) -> tuple[int, ...]:
    """A list of whole numbers, as a tuple."""
    if not isinstance(value, list):
        raise ValueError("a list of whole numbers")
    return tuple(map(as_integer, value))


def as_time(value: Any) -> str:
    """Text that `parse_time` reads."""
    try:
        parse_time(as_text(value))
    except ValueError:
        raise ValueError("an ISO 8601 time with a time zone") from None
    return str(value)


def one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    """A check for one of the texts."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return check


def as_numbers(value: Any) -> dict[str, float]:
    """An object of finite numbers."""
    expected = "an object of finite numbers"
    if not isinstance(value, dict):
        raise ValueError(expected)
    if _are_finite_floats(value.values()):
        return value
    try:
        return {name: as_number(one) for name, one in value.items()}
    except ValueError:
        raise ValueError(expected) from None


def as_values(value: Any) -> dict[str, Value]:
    """An object of hyperparameter values; their types are kept."""
    if not isinstance(value, dict) or not _are_finite_floats(
        [one for one in value.values() if not isinstance(one, str | int)]
    ):
        raise ValueError("an object of texts, truth values and finite numbers")
    return value


def _are_finite_floats(values: Collection[Any]) -> bool:
    """Tells whether there is nothing else: in one go, because a search has very many numbers."""
    return set(map(type, values)) <= {float} and all(map(math.isfinite, values))
