"""What a setting is made of: its names, its help, and the type of its value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INT32_MAX = 2**31 - 1
ENV_PREFIX = "LLAMAD_"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value.

    `from_text` and `check` need no message: the caller says where, which value and what is expected.

    Attributes:
        metavar: stands for the value in `--help`.
        expected: completes the sentence "expected …" in an error message.
        from_text: turns a flag's or a variable's text into what TOML would hold; raises ValueError.
        check: turns what TOML holds into the setting's value; raises ValueError or TypeError.
        secret: no message and no `repr` shows the value.
    """

    metavar: str
    expected: str
    from_text: Callable[[str], object]
    check: Callable[[object], object]
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """What the help and the checks need to know of one setting, besides its default."""

    name: str
    kind: Kind
    help: str
    group: str
    unit: str
    aliases: tuple[str, ...]
    default: object
    variables: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """How the command line calls it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """How the environment calls it."""
        return ENV_PREFIX + self.name.upper()

    @property
    def repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return isinstance(self.default, tuple)

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling of the flag, llama-server's after ours."""
        return (self.flag, *self.aliases)

    @property
    def negations(self) -> tuple[str, ...]:
        """Every spelling of the flag that turns a switch off; none where it is no switch."""
        if not isinstance(self.default, bool):
            return ()
        return tuple(
            f"--no-{flag[2:]}" if flag.startswith("--") else f"-no-{flag[1:]}" for flag in self.flags
        )


def setting(
    group: str,
    kind: Kind,
    text: str,
    *,
    default: object,
    unit: str = "",
    aliases: tuple[str, ...] = (),
    variables: tuple[str, ...] = (),
) -> Any:
    """Define one field of a dataclass of settings.

    Args:
        group: heading in the help.
        kind: what values it may have.
        text: the help.
        default: the value where nobody gives one.
        unit: of the value, if it has one.
        aliases: further spellings on the command line: those of llama-server.
        variables: further names in the environment; the usual one wins over them.
    """
    about = {
        "group": group,
        "kind": kind,
        "help": text,
        "unit": unit,
        "aliases": aliases,
        "variables": variables,
    }
    return field(default=default, metadata=about, repr=not kind.secret)


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


def integer_or(word: str, minimum: int) -> Kind:
    """A whole number of at least `minimum`, or a word."""
    number = integer(minimum)

    def from_text(text: str) -> object:
        return text if text == word else number.from_text(text)

    def check(value: object) -> object:
        return value if value == word else number.check(value)

    return Kind(f"N|{word}", f"{number.expected}, or {word!r}", from_text, check)


def seconds(*, zero: bool) -> Kind:
    """A duration in seconds, finite and above 0; with `zero`, 0 as well."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
            raise ValueError
        return float(value)

    return Kind("S", "a number of seconds, " + ("0 or more" if zero else "above 0"), float, check)


def number(minimum: float) -> Kind:
    """A finite number of at least `minimum`."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        if not (math.isfinite(value) and value >= minimum):
            raise ValueError
        return float(value)

    return Kind("X", f"a number of {minimum:g} or more", float, check)


def switch() -> Kind:
    """On or off: a flag without a value, and `--no-…` for the opposite."""
    words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}

    def from_text(text: str) -> object:
        return words.get(text.lower(), text)

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    return Kind("", "true or false", from_text, check)


def choice(*choices: str, or_empty: bool = False) -> Kind:
    """One of a few names; with `or_empty`, "" for none of them."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not (value in choices or (or_empty and value == "")):
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


def optional_directory() -> Kind:
    """The same, or "" for none."""
    return _or_none(directory())


def optional_file() -> Kind:
    """The path of a file, `~` expanded, or "" for none; whether it is there is seen when it is read."""
    path = directory()
    return _or_none(Kind("FILE", "the path of a file", path.from_text, path.check))


def _or_none(path: Kind) -> Kind:
    def check(value: object) -> object:
        return None if value == "" else path.check(value)

    return Kind(path.metavar, path.expected, path.from_text, check)


def names() -> Kind:
    """Several names: a TOML list, a repeated flag, or text with commas between them."""

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    def split(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    return Kind("NAME", "a list of names", split, check)


def secret(*, header: bool) -> Kind:
    """A text that nobody is shown, or "" for none; with `header`, one that a header can carry."""

    def check(value: object) -> str:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError
        if header and not all("!" <= character <= "~" for character in value):
            raise ValueError
        return value

    expected = "visible ASCII characters without blanks" if header else "text"
    return Kind("KEY" if header else "SECRET", expected, str, check, secret=True)


def secrets() -> Kind:
    """Several texts that nobody is shown and a header can carry: a list as of `names`."""
    several, one = names(), secret(header=True)

    def check(value: object) -> object:
        checked = several.check(value)
        for each in checked if isinstance(checked, tuple) else ():
            one.check(each)
        return checked

    return Kind(one.metavar, f"a list of keys of {one.expected}", several.from_text, check, secret=True)
