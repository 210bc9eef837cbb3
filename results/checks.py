"""Checks of the values in a record.json: each returns its value, or tells what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from tuner_gan.errors import ProjectError

T = TypeVar("T")
Value = bool | int | float | str
"""The value of a hyperparameter."""


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


def as_object(value: object) -> dict[str, Any]:
    """A JSON object; raises ProjectError, the others ValueError."""
    if not isinstance(value, dict):
        raise ProjectError(f"expected a JSON object, got {_shown(value)}")
    return value


def find_part(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object within an object of a file that may be damaged; empty where there is none."""
    part = content.get(key)
    return part if isinstance(part, dict) else {}


def read_key(raw: Mapping[str, Any], key: str, check: Callable[[Any], T], *, optional: bool = False) -> Any:
    """Returns `check(raw[key])`; null passes when the value is optional, but the key must be there."""
    if key not in raw:
        raise ProjectError(f"it has no {key!r}")
    value = raw[key]
    if value is None and optional:
        return None
    try:
        return check(value)
    except ValueError as error:
        raise ProjectError(f"{key!r} should be {error}, got {_shown(value)}") from error


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
    try:
        # Most are finite floats, and a search has many.
        return {
            name: one if type(one) is float and math.isfinite(one) else as_number(one) for name, one in value.items()
        }
    except ValueError:
        raise ValueError(expected) from None


def as_values(value: Any) -> dict[str, Value]:
    """An object of hyperparameter values; their types are kept."""
    if not isinstance(value, dict) or not all(
        isinstance(one, str | int) or (isinstance(one, float) and math.isfinite(one)) for one in value.values()
    ):
        raise ValueError("an object of texts, truth values and finite numbers")
    return value
