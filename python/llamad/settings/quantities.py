"""Sizes, durations and lists of files as settings."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import cast

from .kinds import Kind, names


def size() -> Kind:
    """Bytes, or text with a suffix: "6GiB", "500M" (1024-based but for "MB", "GB" and the like)."""
    powers = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

    def from_text(text: str) -> object:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?i:([kmgt]?)(i?b)?)", text.strip())
        if found is None:
            raise ValueError
        unit = 1000 if found[2] and (found[3] or "").lower() == "b" else 1024
        return int(float(found[1]) * unit ** powers[found[2].lower()])

    def check(value: object) -> int:
        if isinstance(value, str):
            value = from_text(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        if not 0 <= value < 1 << 63:
            raise ValueError
        return value

    return Kind("SIZE", 'a number of bytes, or a size like "6GiB"', from_text, check)


def duration() -> Kind:
    """Seconds, or text with units: "90s", "5m", "1h30m"; anything negative is for ever."""
    units = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    part = r"(\d+(?:\.\d+)?)(ms|[smhd])"

    def from_text(text: str) -> object:
        sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
        if re.fullmatch(f"(?:{part})+", digits):
            return sign * sum(float(number) * units[unit] for number, unit in re.findall(part, digits))
        return float(text)

    def check(value: object) -> float:
        if isinstance(value, str):
            value = from_text(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        if not math.isfinite(value):
            raise ValueError
        return -1.0 if value < 0 else float(value)

    return Kind("TIME", 'a number of seconds, or a time like "5m"; negative is for ever', from_text, check)


def shares() -> Kind:
    """Parts of a whole, of which one is above 0: a TOML list of numbers, or text with commas between them."""

    def split(text: str) -> list[str]:
        return text.split(",") if text else []

    def check(value: object) -> tuple[float, ...]:
        if not isinstance(value, list) or any(isinstance(part, bool) for part in value):
            raise TypeError
        # A flag's text comes as it is, for the flag may be repeated.
        numbers = [
            float(part) for item in value for part in (split(item) if isinstance(item, str) else [item])
        ]
        if not all(math.isfinite(one) and one >= 0 for one in numbers) or (numbers and not any(numbers)):
            raise ValueError
        return tuple(numbers)

    return Kind("N,N", "a list of numbers of 0 or more, not all 0", split, check)


def files() -> Kind:
    """Paths of files: a TOML list, a repeated flag, or text with commas between them."""
    listed = names()

    def check(value: object) -> tuple[Path, ...]:
        given = listed.check(value)
        try:
            return tuple(Path(one).expanduser() for one in cast("tuple[str, ...]", given))
        except RuntimeError:  # `~name`, and nobody has that name
            raise ValueError from None

    return Kind("FILE", "a list of paths", listed.from_text, check)
