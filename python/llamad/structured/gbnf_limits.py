"""What the engine takes of a grammar, so that a refusal can name the part of the schema to blame.

The engine checks every grammar itself (cpp/engine/core/grammar_check.h says why, and has the same numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ParameterError
from .gbnf import CharClass, Choice, Literal, Node, Ref, Repeat, Sequence, children

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_WAYS = 2048
_MOST_SKIPPING = 256
_MOST_DEPTH = 1000
_MOST_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class _Opening:
    """What llama.cpp follows from one place before it reads a character."""

    ways: int = 0
    direct: int = 0
    optional: bool = False
    depth: int = 0


def check_limits(rules: Mapping[str, Node], places: Mapping[str, str]) -> None:
    """Raise ParameterError where a rule is more than the engine takes; `places` are those of the rules."""
    _check_elements(rules, places)
    openings = _Openings(rules)
    for name in _leading_order(rules, openings):
        place = places[name]
        openings.add(name)
        if openings.of[name].depth > _MOST_DEPTH:
            _refuse(place, "has too many alternatives within alternatives")
        for ways, skipping in openings.within(rules[name]):
            if ways > _MOST_WAYS:
                _refuse(place, f"leaves more than {_MOST_WAYS} ways to go on at one place")
            if skipping > _MOST_SKIPPING:
                _refuse(place, f"leaves more than {_MOST_SKIPPING} ways to go on by leaving something out")


def _refuse(place: str, why: str) -> None:
    raise ParameterError(f"{place} {why}; simplify it", param=place)


def _check_elements(rules: Mapping[str, Node], places: Mapping[str, str]) -> None:
    total = 0
    for name, node in rules.items():
        total += _elements(node)
        if total > _MOST_ELEMENTS:
            _refuse(places[name], "is too large once its repetitions are written out")


def _elements(node: Node) -> int:
    if isinstance(node, Literal):
        return 10 * len(node.text)
    if isinstance(node, CharClass):
        return 20 * len(node.charset)
    if isinstance(node, Repeat):
        copies = node.least + 1 if node.most is None else node.most
        inner = _elements(node.item)
        item = inner if isinstance(node.item, (Literal, CharClass)) else 1
        return inner + copies * (item + 3)
    return 1 + sum(_elements(child) for child in children(node))


class _Openings:
    """The openings of rules, each computed after those of the rules that it begins with."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self.of: dict[str, _Opening] = {}
        self.may_be_empty = _may_be_empty(rules)

    def add(self, name: str) -> None:
        self.of[name] = self._alternatives(self._rules[name])

    def within(self, node: Node) -> Iterator[tuple[int, int]]:
        """At each place of a rule: the ways to go on, and how many of them leave something out."""
        for alternative in _options(node):
            ways = 0
            for item in reversed(_items(alternative)):
                opening = self._item(item)
                ways = opening.ways + (ways if opening.optional else 0)
                yield ways, ways - opening.direct
                group = item.item if isinstance(item, Repeat) else item
                if isinstance(group, (Sequence, Choice)):
                    yield from self.within(group)

    def leading(self, node: Node) -> Iterator[str]:
        """Rules that a node may begin with."""
        for alternative in _options(node):
            for item in _items(alternative):
                inner = item.item if isinstance(item, Repeat) else item
                if isinstance(inner, Ref):
                    yield inner.name
                elif isinstance(inner, (Sequence, Choice)):
                    yield from self.leading(inner)
                if not is_empty_allowed(item, self.may_be_empty):
                    break

    def _alternatives(self, node: Node) -> _Opening:
        ways, optional, depth = 0, False, 0
        for alternative in _options(node):
            skipped = True
            for item in _items(alternative):
                opening = self._item(item)
                ways, depth = ways + opening.ways, max(depth, opening.depth)
                skipped = opening.optional
                if not skipped:
                    break
            optional = optional or skipped
        return _Opening(ways, 0, optional, depth)

    def _item(self, node: Node) -> _Opening:
        copies, left_out = 1, False
        if isinstance(node, Repeat):
            copies = max(node.least + 1 if node.most is None else node.most, 1)
            left_out = node.least == 0
            node = node.item
        if isinstance(node, Ref):
            inner = self.of.get(node.name, _Opening())
        elif isinstance(node, (Literal, CharClass)):
            inner = _Opening(depth=-1)
        else:
            inner = self._alternatives(node)
        direct = inner.ways + 1
        return _Opening(
            direct * (copies if inner.optional else 1), direct, inner.optional or left_out, inner.depth + 1
        )


def _options(node: Node) -> tuple[Node, ...]:
    return node.options if isinstance(node, Choice) else (node,)


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else (node,)


def is_empty_allowed(node: Node, empty_rules: set[str]) -> bool:
    """Whether the empty text can be derived from a node."""
    if isinstance(node, Ref):
        return node.name in empty_rules
    if isinstance(node, Sequence):
        return all(is_empty_allowed(item, empty_rules) for item in node.items)
    if isinstance(node, Choice):
        return any(is_empty_allowed(option, empty_rules) for option in node.options)
    return isinstance(node, Repeat) and (node.least == 0 or is_empty_allowed(node.item, empty_rules))


def _may_be_empty(rules: Mapping[str, Node]) -> set[str]:
    known: set[str] = set()
    size = -1
    while len(known) > size:
        size = len(known)
        known.update(name for name, node in rules.items() if is_empty_allowed(node, known))
    return known


def _leading_order(rules: Mapping[str, Node], openings: _Openings) -> list[str]:
    """The rules, each after those that it begins with (a depth-first walk without recursion)."""
    order: dict[str, None] = {}
    seen: set[str] = set()
    for start in rules:
        walk: list[tuple[str, Iterator[str]]] = []
        if start not in seen:
            seen.add(start)
            walk.append((start, openings.leading(rules[start])))
        while walk:
            name, rest = walk[-1]
            following = next(rest, None)
            if following is None:
                order[name] = None
                walk.pop()
            elif following not in seen:
                seen.add(following)
                walk.append((following, openings.leading(rules[following])))
    return list(order)
