"""A grammar as a tree of nodes, and its text in GBNF, llama.cpp's notation.

Nodes are values: made by `literal`, `char_class`, `sequence`, `choice` and `repeat`, compared by content.
`Grammar` collects rules, leaves out what can never be completed, and writes the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .charset import CharSet


@dataclass(frozen=True, slots=True)
class Literal:
    """These characters."""

    text: str


@dataclass(frozen=True, slots=True)
class CharClass:
    """One character of a set."""

    charset: CharSet


@dataclass(frozen=True, slots=True)
class Ref:
    """What another rule says."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One item after the other; without items, the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the options; without options, nothing at all can be derived."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """An item `least` to `most` times, both included; None: without end."""

    item: Node
    least: int
    most: int | None


Node: TypeAlias = Literal | CharClass | Ref | Sequence | Choice | Repeat

EMPTY = Sequence(())
NOTHING = Choice(())


def sequence(*items: Node | str) -> Node:
    """Items in a row; a str stands for its literal. Neighbouring literals become one."""
    flat: list[Node] = []
    for item in items:
        node = Literal(item) if isinstance(item, str) else item
        if node == NOTHING:
            return NOTHING
        for part in node.items if isinstance(node, Sequence) else (node,):
            if isinstance(part, Literal) and flat and isinstance(flat[-1], Literal):
                flat[-1] = Literal(flat[-1].text + part.text)
            elif part != Literal(""):
                flat.append(part)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def choice(*options: Node | str) -> Node:
    """One of the options, each kept once; a str stands for its literal."""
    flat: dict[Node, None] = {}
    for option in options:
        node = Literal(option) if isinstance(option, str) else option
        flat.update(dict.fromkeys(node.options if isinstance(node, Choice) else (node,)))
    return next(iter(flat)) if len(flat) == 1 else Choice(tuple(flat))


def char_class(charset: CharSet) -> Node:
    """One character of a set: a literal where there is but one, `NOTHING` where there is none."""
    if not charset:
        return NOTHING
    if len(charset) == 1 and charset[0][0] == charset[0][1]:
        return Literal(chr(charset[0][0]))
    return CharClass(charset)


def optional(node: Node) -> Node:
    """The node or nothing."""
    if node in (NOTHING, EMPTY):
        return EMPTY
    return Repeat(node, 0, 1)


class Grammar:
    """Rules by name; the first is the root.

    A rule that is the same as another gets no second name, so that equal parts of a schema share theirs.

    Attributes:
        place: where in the request stands what is being translated; each rule remembers it.
        places: by name of the rule.
    """

    _CHUNK = 1000
    """llama.cpp takes an upper limit above 2,000 for none: longer runs are made of chunks."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.places: dict[str, str] = {}
        self.rules: dict[str, Node] = {}
        self._by_node: dict[Node, str] = {}
        self._used: dict[str, int] = {}

    def reserve(self, hint: str) -> str:
        """A new name like the hint, for a rule that is `set` later."""
        base = re.sub(r"[^a-z0-9]+", "-", hint[:32].lower()).strip("-") or "rule"
        name = base
        while name in self.places:
            self._used[base] = self._used.get(base, 1) + 1
            name = f"{base}-{self._used[base]}"
        self.places[name] = self.place
        return name

    def set(self, name: str, node: Node) -> None:
        """Say what a reserved name stands for."""
        self.rules[name] = node

    def define(self, hint: str, node: Node) -> Node:
        """A reference to a rule that says this; what is short already stays as it is."""
        if isinstance(node, (Ref, CharClass)) or node in {EMPTY, NOTHING}:
            return node
        if node not in self._by_node:
            self._by_node[node] = self.reserve(hint)
            self.rules[self._by_node[node]] = node
        return Ref(self._by_node[node])

    def repeat(self, hint: str, item: Node, least: int, most: int | None) -> Node:
        """An item `least` to `most` times, of a rule of its own, for llama.cpp copies what it repeats."""
        if most == 0 or item == EMPTY:
            return EMPTY
        if (least, most) == (1, 1):
            return item
        item = self.define(hint, item)
        head: list[Node] = []
        while least > self._CHUNK:
            head.append(self.define(hint, Repeat(item, self._CHUNK, self._CHUNK)))
            least -= self._CHUNK
            most = None if most is None else most - self._CHUNK
        return sequence(*head, self._tail(hint, item, least, most))

    def _tail(self, hint: str, item: Node, least: int, most: int | None) -> Node:
        if most is None or most <= self._CHUNK:
            return Repeat(item, least, most)
        # Either a whole chunk and the rest, or less than a chunk: only two ways at any place.
        tail: Node = Repeat(item, 0, most % self._CHUNK) if most % self._CHUNK else EMPTY
        whole = self.define(hint, Repeat(item, self._CHUNK, self._CHUNK))
        part = self.define(hint, Repeat(item, 0, self._CHUNK - 1))
        n_chunks = most // self._CHUNK
        for _ in range(n_chunks - 1):
            tail = self.define(hint, choice(sequence(whole, tail), part))
        shorter = Repeat(item, least, self._CHUNK - 1) if least < self._CHUNK else NOTHING
        return self.define(hint, choice(sequence(whole, tail), shorter))

    def finish(self, root: str) -> dict[str, Node]:
        """The rules that the root needs, root first, without what can never be completed.

        Empty where the root itself cannot: no text at all would satisfy the grammar.
        """
        productive = _productive(self.rules)
        if root not in productive:
            return {}
        kept: dict[str, Node] = {}
        todo = [root]
        while todo:
            name = todo.pop()
            if name not in kept:
                kept[name] = _pruned(self.rules[name], productive)
                todo.extend(reversed(list(references(kept[name]))))
        return kept


def references(node: Node) -> dict[str, None]:
    """Names of the rules that a node refers to, in order."""
    if isinstance(node, Ref):
        return {node.name: None}
    found: dict[str, None] = {}
    for child in children(node):
        found.update(references(child))
    return found


def children(node: Node) -> tuple[Node, ...]:
    """The nodes that a node is made of."""
    if isinstance(node, Sequence):
        return node.items
    if isinstance(node, Choice):
        return node.options
    return (node.item,) if isinstance(node, Repeat) else ()


def _productive(rules: dict[str, Node]) -> set[str]:
    """Rules from which some text can be derived: a worklist over who refers to whom."""
    users: dict[str, list[str]] = {}
    for name, node in rules.items():
        for used in references(node):
            users.setdefault(used, []).append(name)
    known: set[str] = set()
    todo = list(rules)
    while todo:
        name = todo.pop()
        if name not in known and _pruned(rules[name], known) != NOTHING:
            known.add(name)
            todo.extend(users.get(name, ()))
    return known


def _pruned(node: Node, productive: set[str]) -> Node:
    if isinstance(node, Ref):
        return node if node.name in productive else NOTHING
    if isinstance(node, Sequence):
        return sequence(*(_pruned(item, productive) for item in node.items))
    if isinstance(node, Choice):
        return choice(*(_pruned(option, productive) for option in node.options))
    if isinstance(node, Repeat):
        item = _pruned(node.item, productive)
        if item == NOTHING:
            return EMPTY if node.least == 0 else NOTHING
        return Repeat(item, node.least, node.most)
    return node
