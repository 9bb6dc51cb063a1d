"""`guided_regex`: a regular expression that the whole answer matches."""

from __future__ import annotations

from ..errors import ParameterError
from .gbnf import Grammar
from .gbnf_text import gbnf_text
from .language import Language
from .language_grammar import language_node, plain_letter
from .regex_parser import PatternError, parse_pattern


def regex_grammar(pattern: str, path: str) -> str:
    """GBNF of the texts that a pattern matches from their beginning to their end.

    Args:
        pattern: literals, classes, groups, alternatives and repetitions; `^` and `$` at the ends.
        path: name of the parameter, for errors.

    Raises:
        ParameterError: the pattern does not parse, has what cannot be enforced, or is too large.
    """
    grammar = Grammar(path)
    root = grammar.reserve("root")
    grammar.set(
        root, language_node(grammar, pattern_language(pattern, path, search=False), plain_letter, "part")
    )
    return gbnf_text(grammar, root)


def pattern_language(pattern: str, path: str, *, search: bool) -> Language:
    """What `parse_pattern` makes of a pattern; its errors name the parameter."""
    try:
        return parse_pattern(pattern, search=search)
    except PatternError as error:
        raise ParameterError(f"{path} {error}", param=path) from None
