"""Turns regular languages into grammar nodes, as plain text or as the inside of a JSON string."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from ..errors import ParameterError
from . import charset
from .gbnf import EMPTY, Literal, Node, Ref, char_class, choice, optional, sequence
from .language import VOID, Both, Concat, One, Other, Times, Union, derivative, first_cuts, is_nullable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .charset import CharSet
    from .gbnf import Grammar
    from .language import Language

    Letter: TypeAlias = Callable[[CharSet], Node]
    """How one character of a set is written."""

_MOST_STATES = 4000
_MOST_STEPS = 100_000

_CONTROLS: CharSet = ((0, 0x1F),)
_SHORT_ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_ESCAPED: CharSet = charset.union([_CONTROLS, charset.chars('"\\')])
UNESCAPED: CharSet = charset.complement(_ESCAPED)


def plain_letter(members: CharSet) -> Node:
    """The character as it is; llama.cpp knows no character zero."""
    return char_class(charset.difference(members, ((0, 0),)))


def json_letter(members: CharSet) -> Node:
    """The character as JSON writes it, each in one way: escaped only if it must be, as briefly as can be."""
    options = [char_class(charset.intersection(members, UNESCAPED))]
    escaped = charset.members(charset.intersection(members, _ESCAPED))
    short = "".join(_SHORT_ESCAPES[chr(code)] for code in escaped if chr(code) in _SHORT_ESCAPES)
    if short:
        options.append(sequence("\\", char_class(charset.chars(short))))
    for high in (0, 1):
        digits = "".join(
            f"{code & 0xF:x}" for code in escaped if code >> 4 == high and chr(code) not in _SHORT_ESCAPES
        )
        if digits:
            options.append(sequence(f"\\u00{high}", char_class(charset.chars(digits))))
    return choice(*options)


def language_node(grammar: Grammar, language: Language, letter: Letter, hint: str) -> Node:
    """A node that derives the texts of a language.

    Unions, repetitions and sequences keep their shape; an intersection or a complement becomes a
    deterministic automaton with a rule for each state.

    Raises:
        ParameterError: such an automaton would be too large.
    """
    if isinstance(language, One):
        return grammar.define(f"{hint}-char", letter(language.charset))
    if isinstance(language, Concat):
        return sequence(*(_part(grammar, part, letter, hint) for part in language.parts))
    if isinstance(language, Union):
        return choice(*(language_node(grammar, option, letter, hint) for option in language.options))
    if isinstance(language, Times):
        item = language_node(grammar, language.part, letter, hint)
        if (language.least, language.most) == (0, 1):
            return optional(item)
        return grammar.repeat(f"{hint}-part", item, language.least, language.most)
    return _automaton(grammar, language, letter, hint)


def _part(grammar: Grammar, part: Language, letter: Letter, hint: str) -> Node:
    if isinstance(part, One) and isinstance(node := letter(part.charset), Literal):
        return node
    return language_node(grammar, part, letter, hint)


def _automaton(grammar: Grammar, language: Language, letter: Letter, hint: str) -> Node:
    names = {language: grammar.reserve(hint)}
    todo = [language]
    n_steps = 0
    while todo:
        state = todo.pop()
        options: list[Node] = []
        n_steps += len(first_cuts(state)) * _width(state)
        for target, members in _successors(state).items():
            if target not in names:
                names[target] = grammar.reserve(hint)
                todo.append(target)
            options.append(sequence(letter(members), Ref(names[target])))
        if is_nullable(state):
            options.append(EMPTY)
        if len(names) > _MOST_STATES or n_steps > _MOST_STEPS:
            raise ParameterError(
                f"{grammar.place} is too intricate to be enforced; use a simpler pattern or smaller lengths",
                param=grammar.place,
            )
        grammar.set(names[state], choice(*options))
    return Ref(names[language])


def _width(state: Language) -> int:
    """How many parts a derivative is taken of, roughly."""
    if isinstance(state, Union):
        return sum(_width(option) for option in state.options)
    if isinstance(state, Both):
        return sum(_width(part) for part in state.parts)
    return _width(state.part) if isinstance(state, Other) else 1


def _successors(state: Language) -> dict[Language, CharSet]:
    """Where a state leads, and by which characters."""
    cuts = sorted({0, *first_cuts(state), 0x110000})
    ways: dict[Language, list[CharSet]] = {}
    for low, after in pairwise(cuts):
        members = charset.intersection(((low, after - 1),), charset.ALL)
        target = derivative(state, members[0][0]) if members else VOID
        if target != VOID:
            ways.setdefault(target, []).append(members)
    return {target: charset.union(sets) for target, sets in ways.items()}
