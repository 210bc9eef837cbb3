"""Frozen dataclasses from JSON, field by field, with every wrong field named."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from tuner_gan.errors import ConfigError
from tuner_gan.plain_numbers import plain

Spec = TypeVar("Spec")


def from_json(kind: type[Spec], value: Any, path: str) -> Spec:
    """Builds a dataclass, and those in it, from what `dataclasses.asdict` and JSON made of it.

    Args:
        kind: the dataclass.
        value: the object read.
        path: its name in messages.

    Raises:
        ConfigError: no object, or a field is missing or unknown.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must be an object, but got {value!r}.")
    hints = typing.get_type_hints(kind)
    unknown, missing = value.keys() - hints.keys(), hints.keys() - value.keys()
    if unknown or missing:
        raise ConfigError(
            f"{path} must have the fields {', '.join(hints)}, but got {', '.join(map(str, value)) or 'none'}."
        )
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            fields[name] = from_json(typing.cast(type[Any], hint), value[name], f"{path}.{name}")
        else:
            fields[name] = tuple(value[name]) if isinstance(value[name], list) else value[name]
    return kind(**fields)


def check_types(spec: Any, path: str) -> None:
    """Refuses a value of another type than its field's, which would only surface deep inside Keras.

    Scalars of NumPy's become Python's, which JSON knows: they are equal and have the same hash.

    Raises:
        ConfigError: the message names the field, its type and the value.
    """
    for name, hint in typing.get_type_hints(type(spec)).items():
        value = getattr(spec, name)
        value = tuple(map(plain, value)) if isinstance(value, tuple) else plain(value)
        object.__setattr__(spec, name, value)  # the dataclass is frozen
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, typing.cast(type[Any], hint)):
                raise ConfigError(f"{path}.{name} must be a {getattr(hint, '__name__', hint)}, but got {value!r}.")
            check_types(value, f"{path}.{name}")
        elif not _matches(value, hint):
            expected = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
            raise ConfigError(f"{path}.{name} must be {expected.replace('typing.', '')}, but got {value!r}.")


def _matches(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return any(type(value) is type(known) and value == known for known in typing.get_args(hint))
    if isinstance(hint, types.GenericAlias):
        kinds = typing.get_args(hint)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value) if isinstance(value, tuple) else kinds
        return (
            isinstance(value, tuple)
            and len(value) == len(kinds)
            and all(_matches(item, kind) for item, kind in zip(value, kinds, strict=True))
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and not isinstance(value, bool) if hint is not bool else isinstance(value, bool)
