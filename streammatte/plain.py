"""Dataclasses as plain JSON and back: nothing is lost, and nothing unknown is taken.

Tuples are arrays, a ``Fraction`` is ``"24000/1001"``, a path is a string. The way back goes by the
dataclass's own annotations, so a new field needs no line here.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_NUMBERS = {int: (int,), float: (int, float)}
_MADE_OF_TEXT: dict[Any, Any] = {Fraction: Fraction, Path: Path}


def to_plain(value: Any) -> Any:
    """Return what JSON can hold, of dataclasses, tuples, fractions, paths and plain values.

    Raises:
        TypeError: if there is anything else in it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (Fraction, Path)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} cannot be written as JSON")


def from_plain(kind: type[T], data: Any, name: str = "") -> T:
    """Return what ``to_plain`` was given.

    Args:
        kind: A dataclass, or any type that its annotations have.
        data: What JSON says.
        name: What that is called, for messages.

    Raises:
        ValueError: if it is not of that kind, or has a field that there is not; it says which.
        StreamMatteError: if the dataclass itself refuses it.
    """
    made: T = _read(kind, data, name)
    return made


def _read(kind: Any, data: Any, name: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _first_that_fits(get_args(kind), data, name)
    if origin is tuple and isinstance(data, list):
        return _tuple(get_args(kind), data, name)
    if is_dataclass(kind) and isinstance(data, dict):
        return _dataclass(kind, data, name)
    if kind in _MADE_OF_TEXT and isinstance(data, str):
        try:
            return _MADE_OF_TEXT[kind](data)
        except (ValueError, ZeroDivisionError):
            raise _misfit(data, name) from None
    if not _fits(kind, origin, data):
        raise _misfit(data, name)
    return data


def _fits(kind: Any, origin: Any, data: Any) -> bool:
    """Whether a plain value is of a plain kind; ``True`` is no number."""
    if origin is Literal:
        return data in get_args(kind) and not isinstance(data, bool)
    if kind in _NUMBERS:
        return isinstance(data, _NUMBERS[kind]) and not isinstance(data, bool)
    return kind in (str, bool, types.NoneType) and isinstance(data, kind)


def _first_that_fits(kinds: tuple[Any, ...], data: Any, name: str) -> Any:
    """Read by the first kind that takes it; if none does, say what the last one says."""
    failure = _misfit(data, name)
    for kind in kinds:
        try:
            return _read(kind, data, name)
        except ValueError as error:
            failure = error if is_dataclass(kind) and isinstance(data, dict) else failure
    raise failure


def _tuple(kinds: tuple[Any, ...], data: list[Any], name: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise _misfit(data, name)
    pairs = enumerate(zip(kinds, data, strict=True))
    return tuple(_read(kind, item, f"{name}[{index}]") for index, (kind, item) in pairs)


def _dataclass(kind: Any, data: dict[str, Any], name: str) -> Any:
    hints = _hints(kind)
    known = {each.name: each for each in fields(kind)}
    inside = f"{name}." if name else ""
    if unknown := sorted(data.keys() - known.keys()):
        raise ValueError(f"{inside}{unknown[0]} is unknown")
    for each in known.values():
        required = each.default is MISSING and each.default_factory is MISSING
        if required and each.name not in data:
            raise ValueError(f"{inside}{each.name} is missing")
    return kind(**{key: _read(hints[key], item, inside + key) for key, item in data.items()})


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    # Some modules import these for the type checker alone.
    return get_type_hints(kind, localns={"Fraction": Fraction, "Path": Path})


def _misfit(data: Any, name: str) -> ValueError:
    return ValueError(f"{name} cannot be {data!r}")
