"""Readers of JSON values: each makes of what a JSON parser returns what an annotation asks for.

The errors are told to the model, which is to do better: they say what is expected, and what came.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Read: TypeAlias = Callable[[Any], Any]

_LONGEST_SHOWN = 60


def _refused(expected: str, value: Any) -> ValueError:
    shown = _json(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"
    return ValueError(f"must be {expected}, not {shown}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def anything(value: Any) -> Any:
    """Take any value as it is."""
    return value


def string(value: Any) -> str:
    """Take a text."""
    if not isinstance(value, str):
        raise _refused("a string", value)
    return value


def integer(value: Any) -> int:
    """Take an integer; 1.0 is one."""
    if isinstance(value, bool) or not (isinstance(value, int) or _is_whole(value)):
        raise _refused("an integer", value)
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def number(value: Any) -> float:
    """Take any number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("a number", value)
    try:
        return float(value)
    except OverflowError:
        raise _refused("a number below 1e308", value) from None


def boolean(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise _refused("true or false", value)
    return value


def null(value: Any) -> None:
    """Take null."""
    if value is not None:
        raise _refused("null", value)


def one_of(values: Sequence[tuple[Any, Any]]) -> Read:
    """Take one of these scalars, for what it stands."""
    # 1 == True in Python, but not in JSON.
    meant = {(type(value), value): stands_for for value, stands_for in values}
    expected = f"one of {_json([value for value, _ in values])}"

    def read(value: Any) -> Any:
        if isinstance(value, dict | list) or (type(value), value) not in meant:
            raise _refused(expected, value)
        return meant[type(value), value]

    return read


def first(readers: Sequence[Read]) -> Read:
    """Take what the first of several readers takes."""

    def read(value: Any) -> Any:
        reasons = []
        for reader in readers:
            try:
                return reader(value)
            except ValueError as error:
                reasons.append(str(error))
        raise ValueError(", or ".join(reasons))

    return read


def items(item: Read, make: Callable[[list[Any]], Any]) -> Read:
    """Take an array of any length."""

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _refused("an array", value)
        return make([_at(f"[{index}]", item, one) for index, one in enumerate(value)])

    return read


def fixed(readers: Sequence[Read]) -> Read:
    """Take an array with an item for each reader."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(readers):
            raise _refused(f"an array of {len(readers)} items", value)
        pairs = zip(readers, value, strict=True)
        return tuple(_at(f"[{index}]", item, one) for index, (item, one) in enumerate(pairs))

    return read


def mapping(member: Read) -> Read:
    """Take an object of any names."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refused("an object", value)
        return {name: _at(name, member, one) for name, one in value.items()}

    return read


def members(readers: Mapping[str, Read], required: Iterable[str], make: Callable[..., Any]) -> Read:
    """Take an object of these names, of which some must be there."""
    needed = tuple(required)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _refused("an object", value)
        for name in needed:
            if name not in value:
                raise ValueError(f"{name!r} is missing")
        for name in value:
            if name not in readers:
                raise ValueError(f"there is no {name!r}")
        return make(**{name: _at(name, readers[name], one) for name, one in value.items()})

    return read


def model(validate: Read) -> Read:
    """Take what a pydantic model takes; its errors without their addresses of further reading."""

    def read(value: Any) -> Any:
        try:
            return validate(value)
        except ValueError as error:
            told = getattr(error, "errors", None)
            if not callable(told):
                raise
            reasons = (": ".join([*map(str, one["loc"]), one["msg"]]) for one in told())
            raise ValueError("; ".join(reasons)) from error

    return read


def _at(where: str, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
