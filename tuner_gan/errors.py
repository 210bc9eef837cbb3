"""Every error that tuner_gan raises on purpose is one of these.

    TunerGANError
    ├── ConfigError (ValueError)       a setting, flag, TOML value or search space
    ├── DatasetError (ValueError)      images or labels that cannot be used
    ├── QualityError (ValueError)      features, a score or a classifier that cannot be used
    │   └── DegenerateError            a generator or a training that has no score to speak of
    ├── ProjectError (OSError)         a project folder that cannot be read, written or continued
    ├── SelectionError (LookupError)   a trial or a column that is not there
    └── SearchError (RuntimeError)     a search that failed: no usable trial, or too many failures

Each carries one sentence: what was expected, what came, what to do. The command line prints that
sentence and ends with `exit_code`.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any


class TunerGANError(Exception):
    """Base of all errors below; catching it catches them all."""

    exit_code: int = 2


class ConfigError(TunerGANError, ValueError):
    """A setting, a flag, a TOML value or a search space is not valid."""


class DatasetError(TunerGANError, ValueError):
    """Images or labels cannot be used."""


class QualityError(TunerGANError, ValueError):
    """Features, a score or a reference classifier cannot be used."""


class DegenerateError(QualityError):
    """A generator or its training has no score to speak of; `flag` is its name in the column `flags`."""

    def __init__(self, message: str, flag: str) -> None:
        super().__init__(message)
        self.flag = flag


class ProjectError(TunerGANError, OSError):
    """A project folder cannot be read, written or continued."""


class SelectionError(TunerGANError, LookupError):
    """A trial or a column was asked for that is not there."""


class SearchError(TunerGANError, RuntimeError):
    """A search ended without one usable trial, or after too many failures, or a trial is not repeatable."""

    exit_code = 3


def closest(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the known name nearest to a misspelt one, or nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def unknown(kind: str, name: str, known: Sequence[str]) -> ConfigError:
    """Returns the error for a name that is none of those known, which it lists."""
    return ConfigError(f"Unknown {kind} {name!r}{closest(name, known)}: choose one of {', '.join(known)}.")


def require(module: str, what: str, extra: str, package: str | None = None) -> None:
    """Checks that a module of an extra is there, without importing it.

    Args:
        module: that is needed.
        what: needs it.
        extra: of this package that brings it.
        package: that it is in, where that has another name.

    Raises:
        ConfigError: it is not installed; the message says how to.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{what} needs the package {package or module}: pip install 'tuner-gan[{extra}]'.")


def is_list_of(value: Any, kind: Any) -> bool:
    """Tells whether it is a list of such objects, or what counts as one; a text would be read letter by letter."""
    return isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(one, kind) for one in value)


def first_line(error: Exception) -> str:
    """The first line that says what is wrong; Keras puts a heading before it, one for each layer around the place."""
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return textwrap.shorten((told or [type(error).__name__])[0], 300).rstrip(".")
