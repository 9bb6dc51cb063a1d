"""Regular languages over code points: what patterns, formats and lengths say about a string.

A language is a value built by the functions below. `derivative` (Brzozowski, 1964) is what may follow once a
character has been read; with it, intersection and complement cost nothing to write down, membership is a
loop, and the states of a deterministic automaton are the derivatives themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TypeAlias

from . import charset
from .charset import CharSet


@dataclass(frozen=True, slots=True)
class One:
    """One character of a set."""

    charset: CharSet


@dataclass(frozen=True, slots=True)
class Concat:
    """One part after the other."""

    parts: tuple[Language, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """One of the options; none: the language without texts."""

    options: tuple[Language, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """A part `least` to `most` times; None: without end. The part itself is never empty."""

    part: Language
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Both:
    """What is in every one of the parts."""

    parts: tuple[Language, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """What is not in the part."""

    part: Language


Language: TypeAlias = One | Concat | Union | Times | Both | Other

EMPTY = Concat(())
VOID = Union(())


def one(members: CharSet) -> Language:
    """One character of a set."""
    return One(members) if members else VOID


def text(content: str) -> Language:
    """Exactly this text."""
    return concat(*(One(charset.chars(char)) for char in content))


def concat(*parts: Language) -> Language:
    """One part after the other."""
    flat: list[Language] = []
    for part in parts:
        if part == VOID:
            return VOID
        flat.extend(part.parts if isinstance(part, Concat) else (part,))
    return flat[0] if len(flat) == 1 else Concat(tuple(flat))


def union(*options: Language) -> Language:
    """One of the options, in order, each once."""
    flat: dict[Language, None] = {}
    for option in options:
        flat.update(dict.fromkeys(option.options if isinstance(option, Union) else (option,)))
    return next(iter(flat)) if len(flat) == 1 else Union(tuple(flat))


def times(part: Language, least: int, most: int | None) -> Language:
    """A part so many times."""
    if most == 0 or part == EMPTY:
        return EMPTY
    if part == VOID:
        return EMPTY if least == 0 else VOID
    if is_nullable(part):
        part, least = _not_empty(part), 0
    if (least, most) == (1, 1):
        return part
    if isinstance(part, Times) and (part.least, part.most) == (0, None):
        return part
    return Times(part, least, most)


def both(*parts: Language) -> Language:
    """What is in every part."""
    flat: dict[Language, None] = {}
    for part in parts:
        if part == VOID:
            return VOID
        flat.update(dict.fromkeys(part.parts if isinstance(part, Both) else (part,)))
    flat.pop(ANYTHING, None)
    if not flat:
        return ANYTHING
    return next(iter(flat)) if len(flat) == 1 else Both(tuple(flat))


def other(part: Language) -> Language:
    """Every text that is not in the part."""
    if part == VOID:
        return ANYTHING
    if part == ANYTHING:
        return VOID
    return part.part if isinstance(part, Other) else Other(part)


ANYTHING: Language = Times(One(charset.ALL), 0, None)


@lru_cache(maxsize=65_536)
def is_nullable(language: Language) -> bool:
    """Whether the empty text is in the language."""
    if isinstance(language, Concat):
        return all(is_nullable(part) for part in language.parts)
    if isinstance(language, Union):
        return any(is_nullable(option) for option in language.options)
    if isinstance(language, Both):
        return all(is_nullable(part) for part in language.parts)
    if isinstance(language, Other):
        return not is_nullable(language.part)
    return isinstance(language, Times) and language.least == 0


def _not_empty(language: Language) -> Language:
    """The language without the empty text: only of what `regex_parser` makes."""
    if not is_nullable(language):
        return language
    if isinstance(language, Union):
        return union(*(_not_empty(option) for option in language.options if option != EMPTY))
    if isinstance(language, Times):
        return times(language.part, 1, language.most)
    if isinstance(language, Concat):
        head, *tail = language.parts
        rest = concat(*tail)
        return union(concat(_not_empty(head), rest), _not_empty(rest)) if tail else _not_empty(head)
    return both(language, other(EMPTY))


def derivative(language: Language, code: int) -> Language:
    """What may follow the character `code`."""
    if isinstance(language, One):
        return EMPTY if charset.contains(language.charset, code) else VOID
    if isinstance(language, Union):
        return union(*(derivative(option, code) for option in language.options))
    if isinstance(language, Both):
        return both(*(derivative(part, code) for part in language.parts))
    if isinstance(language, Other):
        return other(derivative(language.part, code))
    if isinstance(language, Times):
        most = None if language.most is None else language.most - 1
        rest = times(language.part, max(language.least - 1, 0), most)
        return concat(derivative(language.part, code), rest)
    ways: list[Language] = []
    for index, part in enumerate(language.parts):
        ways.append(concat(derivative(part, code), *language.parts[index + 1 :]))
        if not is_nullable(part):
            break
    return union(*ways)


@lru_cache(maxsize=65_536)
def first_cuts(language: Language) -> frozenset[int]:
    """Code points at which the derivative may change: between two neighbours it is the same."""
    if isinstance(language, One):
        return frozenset(cut for low, high in language.charset for cut in (low, high + 1))
    if isinstance(language, Concat):
        cuts: frozenset[int] = frozenset()
        for part in language.parts:
            cuts |= first_cuts(part)
            if not is_nullable(part):
                break
        return cuts
    if isinstance(language, (Times, Other)):
        return first_cuts(language.part)
    parts = language.options if isinstance(language, Union) else language.parts
    return reduce(frozenset.union, (first_cuts(part) for part in parts), frozenset())


def matches(language: Language, content: str) -> bool:
    """Whether a text is in the language."""
    for char in content:
        language = derivative(language, ord(char))
        if language == VOID:
            return False
    return is_nullable(language)


def lengths(language: Language) -> tuple[int, int | None]:
    """Bounds of the lengths of the texts, in characters; not of a complement, whose are 0 and None."""
    if isinstance(language, One):
        return 1, 1
    if isinstance(language, Times):
        least, most = lengths(language.part)
        return least * language.least, _product(most, language.most)
    if isinstance(language, Other):
        return 0, None
    parts = language.options if isinstance(language, Union) else language.parts
    if not parts:
        return 0, 0
    bounds = [lengths(part) for part in parts]
    mosts = [most for _, most in bounds if most is not None]
    if isinstance(language, Concat):
        return sum(least for least, _ in bounds), sum(mosts) if len(mosts) == len(bounds) else None
    if isinstance(language, Both):
        return max(least for least, _ in bounds), min(mosts, default=None)
    return min(least for least, _ in bounds), max(mosts) if len(mosts) == len(bounds) else None


def _product(left: int | None, right: int | None) -> int | None:
    if 0 in {left, right}:
        return 0
    return None if left is None or right is None else left * right
