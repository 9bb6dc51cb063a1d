"""Writes a grammar as GBNF, within what the engine takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ParameterError
from .gbnf import CharClass, Choice, Literal, Node, Ref, Repeat, Sequence
from .gbnf_limits import check_limits

if TYPE_CHECKING:
    from .charset import CharSet
    from .gbnf import Grammar

_MOST_BYTES = 262_144
_SPECIAL = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_IN_CLASS = {"]": "\\]", "[": "\\[", "-": "\\-", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def gbnf_text(grammar: Grammar, root: str) -> str:
    """The text of a grammar; its rule `root` is named so, and comes first.

    Raises:
        ParameterError: the engine would refuse the grammar for its size, or nothing satisfies it.
    """
    rules = grammar.finish(root)
    if not rules:
        raise ParameterError(f"{grammar.place} allows no value at all", param=grammar.place)
    check_limits(rules, grammar.places)
    text = "".join(f"{name} ::= {_text(node)}\n" for name, node in _without_aliases(rules).items())
    if len(text.encode()) > _MOST_BYTES:
        raise ParameterError(
            f"{grammar.place} is too large: its grammar has {len(text.encode())} bytes of {_MOST_BYTES}",
            param=grammar.place,
        )
    return text


def _without_aliases(rules: dict[str, Node]) -> dict[str, Node]:
    """The rules but those that only name another; the root keeps its name."""
    root = next(iter(rules))
    return {
        name: _renamed(node, rules)
        for name, node in rules.items()
        if name == root or not isinstance(node, Ref) or _target(name, rules) == name
    }


def _target(name: str, rules: dict[str, Node]) -> str:
    seen = {name}
    while isinstance(node := rules[name], Ref) and node.name not in seen:
        name = node.name
        seen.add(name)
    return name


def _renamed(node: Node, rules: dict[str, Node]) -> Node:
    if isinstance(node, Ref):
        return Ref(_target(node.name, rules))
    if isinstance(node, Sequence):
        return Sequence(tuple(_renamed(item, rules) for item in node.items))
    if isinstance(node, Choice):
        return Choice(tuple(_renamed(option, rules) for option in node.options))
    return Repeat(_renamed(node.item, rules), node.least, node.most) if isinstance(node, Repeat) else node


def _text(node: Node) -> str:
    if isinstance(node, Literal):
        return '"' + "".join(_SPECIAL.get(char) or _visible(char) for char in node.text) + '"'
    if isinstance(node, CharClass):
        return _class_text(node.charset)
    if isinstance(node, Ref):
        return node.name
    if isinstance(node, Sequence):
        return '""' if not node.items else " ".join(_grouped(item, choices_only=True) for item in node.items)
    if isinstance(node, Choice):
        return " | ".join(_text(option) for option in node.options)
    return _grouped(node.item) + _times(node)


def _grouped(node: Node, *, choices_only: bool = False) -> str:
    alone = isinstance(node, (Literal, CharClass, Ref)) or (choices_only and not isinstance(node, Choice))
    return _text(node) if alone else f"({_text(node)})"


def _times(node: Repeat) -> str:
    signs = {(0, 1): "?", (0, None): "*", (1, None): "+"}
    if sign := signs.get((node.least, node.most)):
        return sign
    if node.least == node.most:
        return f"{{{node.least}}}"
    return f"{{{node.least},{'' if node.most is None else node.most}}}"


def _class_text(charset: CharSet) -> str:
    spans = []
    for low, high in charset:
        first, last = _in_class(low), _in_class(high)
        spans.append(first if low == high else first + last if high == low + 1 else f"{first}-{last}")
    return f"[{''.join(spans)}]"


def _in_class(code: int) -> str:
    char = chr(code)
    return _IN_CLASS.get(char) or ("\\x5E" if char == "^" else _visible(char))


def _visible(char: str) -> str:
    code = ord(char)
    if char.isascii() and char.isprintable():
        return char
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
