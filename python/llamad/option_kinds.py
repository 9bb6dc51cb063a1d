"""The types of value that a setting can have: how each is read, checked and described."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value.

    `from_text` and `check` need no message: the caller says where, which value and what is expected.

    Attributes:
        metavar: stands for the value in `--help`.
        expected: completes the sentence "expected …" in an error message.
        from_text: turns a flag's or a variable's text into what TOML would hold; raises ValueError.
        check: turns what TOML holds into the setting's value; raises ValueError or TypeError.
    """

    metavar: str
    expected: str
    from_text: Callable[[str], object]
    check: Callable[[object], object]


def integer(minimum: int, maximum: int = INT32_MAX, *, or_zero: bool = False) -> Kind:
    """A whole number in `[minimum, maximum]`; with `or_zero`, 0 as well."""

    def check(value: object) -> int:
        # bool is an int to Python, but `true` is no number to whoever writes TOML.
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        if not (minimum <= value <= maximum or (or_zero and value == 0)):
            raise ValueError
        return value

    bounds = f"of {minimum} or more" if maximum == INT32_MAX else f"from {minimum} to {maximum}"
    return Kind("N", f"an integer {bounds}" + (", or 0" if or_zero else ""), int, check)


def seconds(*, zero: bool) -> Kind:
    """A duration in seconds, finite and above 0; with `zero`, 0 as well."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
            raise ValueError
        return float(value)

    return Kind("S", "a number of seconds, " + ("0 or more" if zero else "above 0"), float, check)


def choice(*choices: str) -> Kind:
    """One of a few names."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError
        return value

    return Kind("NAME", "one of " + ", ".join(choices), str, check)


def text(metavar: str, expected: str) -> Kind:
    """Text that is not blank."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError
        return value

    return Kind(metavar, expected, str, check)


def host() -> Kind:
    """What a socket can be bound to."""
    return text("HOST", "a host name or an address")


def directory() -> Kind:
    """A path, `~` expanded; it need not exist."""
    path = text("DIR", "the path of a directory")

    def check(value: object) -> Path:
        try:
            return Path(str(path.check(value))).expanduser()
        except RuntimeError:  # `~name`, and nobody has that name
            raise ValueError from None

    return Kind(path.metavar, path.expected, str, check)


def names() -> Kind:
    """Several names: a TOML list, a repeated flag, or text with commas between them."""

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    def split(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    return Kind("NAME", "a list of names", split, check)
