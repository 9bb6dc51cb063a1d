"""Lists of texts, one of which must come: merged where they begin alike."""

from __future__ import annotations

from os.path import commonprefix
from typing import TYPE_CHECKING

from ..errors import ParameterError
from .gbnf import Grammar, Node, Ref, choice, sequence
from .gbnf_text import gbnf_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_INLINE_DEPTH = 24


def one_of(grammar: Grammar, texts: Sequence[str], hint: str) -> Node:
    """One of the texts, as a tree that branches where they differ.

    At each place only the characters that can come next are ways to go on, however many texts there are.
    Deep branches become rules, so that neither this nor llama.cpp recurses without end.
    """
    texts = sorted(set(texts))
    deep: list[tuple[str, list[str]]] = []

    def branch(group: list[str], depth: int) -> Node:
        prefix = commonprefix([group[0], group[-1]])  # noqa: RUF071 - by character is what is wanted
        rests = [text[len(prefix) :] for text in group]
        if len(rests) == 1:
            return sequence(prefix)
        if depth == _INLINE_DEPTH:
            name = grammar.reserve(hint)
            deep.append((name, rests))
            return sequence(prefix, Ref(name))
        options = [branch(list(part), depth + 1) for part in _by_first(rests)]
        return sequence(prefix, choice(*options))

    node = branch(texts, 0)
    while deep:
        name, rests = deep.pop()
        grammar.set(name, choice(*(branch(part, 1) for part in _by_first(rests))))
    return node


def _by_first(texts: list[str]) -> list[list[str]]:
    """Sorted texts in groups of the same first character; the empty text is a group of its own."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[:1], []).append(text)
    return list(groups.values())


def choice_grammar(choices: Sequence[str], path: str) -> str:
    """GBNF of a list of answers, one of which is given, word for word.

    Args:
        choices: the answers: at least one, each neither empty nor with a zero character or lone surrogates.
        path: name of the parameter, for errors.

    Raises:
        ParameterError: the list is empty, or one of the choices cannot be enforced; names it.
    """
    if not choices:
        raise ParameterError(f"{path} must have at least one choice", param=path)
    for index, text in enumerate(choices):
        where = f"{path}[{index}]"
        if not text:
            raise ParameterError(f"{where} must not be empty", param=where)
        if "\0" in text or not is_unicode(text):
            raise ParameterError(f"{where} must be Unicode text without zero characters", param=where)
    grammar = Grammar(path)
    root = grammar.reserve("root")
    grammar.set(root, one_of(grammar, choices, "rest"))
    return gbnf_text(grammar, root)


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in text)
