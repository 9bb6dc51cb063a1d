"""Structured output: JSON Schema, regular expressions and choices as GBNF grammars.

What cannot be enforced is refused: each function raises `ParameterError` naming the part that it cannot keep.
"""

from .json_schema import json_schema_grammar, schema_text_grammar
from .literals import choice_grammar
from .regex import regex_grammar
from .tool_schema import check_tool_schema

__all__ = [
    "check_tool_schema",
    "choice_grammar",
    "json_schema_grammar",
    "regex_grammar",
    "schema_text_grammar",
]
