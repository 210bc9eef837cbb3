"""Numbers that arguments ask for: Python's own, and NumPy's, which become such."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuner_gan.errors import ConfigError


def plain(value: Any) -> Any:
    """Returns a scalar of NumPy's as one of Python's, which JSON and hashes know; anything else stays as it is."""
    return value.item() if isinstance(value, np.generic) else value


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Returns an integer from `least`; refuses anything else.

    Raises:
        ConfigError: the message names the argument.
    """
    return _whole(name, value, least, f"an integer from {least}")


def check_limit(name: str, value: Any, least: int = 1) -> int | None:
    """Returns an integer from `least`, or None, where that means none; refuses anything else.

    Raises:
        ConfigError: the message names the argument.
    """
    return None if value is None else _whole(name, value, least, f"an integer from {least} or None")


def _whole(name: str, value: Any, least: int, expected: str) -> int:
    number = plain(value)
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise ConfigError(f"{name} must be {expected}, but got {value!r}.")
    return number
