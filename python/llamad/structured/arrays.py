"""Grammar of an array: items by position, then items alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .gbnf import EMPTY, NOTHING, Node, optional, sequence

if TYPE_CHECKING:
    from .document import Place
    from .json_schema import Compiler
    from .shape import Shape


def array_node(compiler: Compiler, shape: Shape, hint: str) -> Node:
    """An array of so many items.

    After the items that `prefixItems` describes there are no others where nothing is said of them,
    unless `minItems` asks for more.
    """
    n_prefix = max((len(rule.prefix) for rule in shape.arrays), default=0)
    least, most = shape.min_items, shape.max_items
    says_rest = any(rule.rest for rule in shape.arrays)
    if n_prefix and not says_rest and least <= n_prefix:
        most = n_prefix if most is None else min(most, n_prefix)
    if shape.unique and (most is None or most > 1):
        shape.unique.refuse("cannot be enforced where there may be more than one item")
    if most is not None and least > most:
        return NOTHING
    return sequence("[", _items(compiler, shape, n_prefix, (least, most), hint), "]")


def _items(
    compiler: Compiler, shape: Shape, n_prefix: int, counts: tuple[int, int | None], hint: str
) -> Node:
    least, most = counts
    n_prefix = n_prefix if most is None else min(n_prefix, most)
    node: Node = EMPTY
    if most is None or most > n_prefix:
        room = None if most is None else most - n_prefix
        node = _alike(compiler, shape, n_prefix, (max(least - n_prefix, 0), room), hint)
    for index in reversed(range(n_prefix)):
        item = compiler.rule_for(_places(shape, index), f"{hint}-item-{index + 1}")
        node = sequence(compiler.comma if index else EMPTY, item, node)
        if index >= least:
            node = optional(compiler.grammar.define(f"{hint}-tail", node))
    return node


def _alike(compiler: Compiler, shape: Shape, start: int, counts: tuple[int, int | None], hint: str) -> Node:
    """The items from `start` on; each has a comma before it but the very first of the array."""
    least, most = counts
    item = compiler.rule_for(_places(shape, start), f"{hint}-item")
    follower = sequence(compiler.comma, item)
    if start:
        return compiler.grammar.repeat(f"{hint}-more", follower, least, most)
    more = compiler.grammar.repeat(
        f"{hint}-more", follower, max(least - 1, 0), None if most is None else most - 1
    )
    node = sequence(item, more)
    return node if least else optional(node)


def _places(shape: Shape, index: int) -> tuple[Place, ...]:
    return tuple(place for rule in shape.arrays for place in rule.of(index))
