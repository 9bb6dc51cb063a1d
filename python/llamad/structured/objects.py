"""Grammar of an object: its members in the order of the schema, and those that the schema does not name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .gbnf import EMPTY, NOTHING, Node, choice, optional, sequence
from .keywords import string_language
from .language import ANYTHING, Language, both, matches, other, text, union
from .language_grammar import json_letter, language_node
from .literals import is_unicode

if TYPE_CHECKING:
    from .json_schema import Compiler
    from .shape import Shape

_LONGEST_RUN = 32
"""Required members in one rule: each is written in front of the others, which takes quadratic time."""


def object_node(compiler: Compiler, shape: Shape, hint: str) -> Node:
    """An object; each named member at most once, the required ones always, others behind them."""
    names = dict.fromkeys([name for rule in shape.objects for name in rule.properties] + list(shape.required))
    allowed = _name_language(compiler, shape)
    members = [
        (_member(compiler, shape, name, hint), name in shape.required)
        for name in names
        if name in shape.required or (is_unicode(name) and matches(allowed, name))
    ]
    if any(not (is_unicode(name) and matches(allowed, name)) for name in shape.required):
        return NOTHING
    extra = _extra_member(compiler, shape, list(names), allowed, hint)
    least, most = _extra_counts(shape, n_required=len(shape.required), n_named=len(names), extra=extra)
    return sequence("{", _members(compiler, members, extra, (least, most), hint), "}")


def _name_language(compiler: Compiler, shape: Shape) -> Language:
    """The names that propertyNames allows."""
    if not shape.names:
        return ANYTHING
    options: list[Language] = []
    for found in compiler.expander.expand(shape.names):
        if found.values is not None:
            texts = [
                value
                for value, place in found.values.values()
                if isinstance(value, str) and found.admits(value, place)
            ]
            options += [text(value) for value in texts]
        elif "string" in (found.types or {"string"}):
            options.append(compiler.with_lengths(string_language(found), found))
    return union(*options)


def _member(compiler: Compiler, shape: Shape, name: str, hint: str) -> Node:
    value = compiler.rule_for(shape.property_places(name), f"{hint}-{name}")
    return sequence(json.dumps(name, ensure_ascii=False), compiler.colon, value)


def _extra_member(compiler: Compiler, shape: Shape, named: list[str], allowed: Language, hint: str) -> Node:
    """A member that no property names: by pattern, or by what is said of all others.

    Without a word about others an object is open only if no properties are named at all.
    """
    patterns = list(dict.fromkeys(language for rule in shape.objects for language, _ in rule.patterns))
    is_open = any(rule.additional for rule in shape.objects) or not (named or patterns)
    unnamed = both(allowed, *(other(text(name)) for name in named))
    options: list[Node] = []
    for language in [*patterns, *([None] if is_open else [])]:
        others = [pattern for pattern in patterns if pattern != language]
        key = both(unnamed, *([language] if language else []), *(other(pattern) for pattern in others))
        places = tuple(
            place
            for rule in shape.objects
            for place in [where for pattern, where in rule.patterns if pattern == language]
            or ([rule.additional] if rule.additional else [])
        )
        value = compiler.rule_for(places, f"{hint}-value")
        options.append(sequence(_key(compiler, key, hint), compiler.colon, value))
    return compiler.grammar.define(f"{hint}-member", choice(*options))


def _key(compiler: Compiler, language: Language, hint: str) -> Node:
    if language == ANYTHING:
        return compiler.any_string()
    return sequence('"', language_node(compiler.grammar, language, json_letter, f"{hint}-key"), '"')


def _extra_counts(shape: Shape, *, n_required: int, n_named: int, extra: Node) -> tuple[int, int | None]:
    """How many unnamed members there must and may be, from minProperties and maxProperties."""
    least, most = 0, None
    if (limit := shape.min_properties) and limit.count > n_required:
        if limit.count > 1 or n_named:
            limit.place.refuse("must be at most the number of required properties, or 1 where none are named")
        least = 1
    if (limit := shape.max_properties) and (extra != NOTHING or limit.count < n_named):
        if n_named:
            limit.place.refuse("must be at least the number of properties, and no others allowed")
        most = limit.count
    return least, most


def _members(
    compiler: Compiler,
    members: list[tuple[Node, bool]],
    extra: Node,
    counts: tuple[int, int | None],
    hint: str,
) -> Node:
    """Members from the last to the first: `rest` may follow a member, `begun` is a list that begins here."""
    grammar, comma = compiler.grammar, compiler.comma
    least, most = counts
    follower = sequence(comma, extra)
    rest: Node = EMPTY if extra == NOTHING else grammar.repeat(f"{hint}-more", follower, 0, None)
    begun: Node = NOTHING
    if extra != NOTHING and most != 0:
        tail = rest if most is None else grammar.repeat(f"{hint}-more", follower, 0, most - 1)
        begun = sequence(extra, tail)
    needed = least > 0
    for index in reversed(range(len(members))):
        member, required = members[index]
        with_member = sequence(member, rest)
        begun = with_member if required else choice(with_member, begun)
        needed = needed or required
        if index and (index % _LONGEST_RUN == 0 or not members[index - 1][1]):
            begun = grammar.define(f"{hint}-rest", begun)
        rest = sequence(comma, begun) if needed else optional(sequence(comma, begun))
    return begun if needed else optional(begun)
