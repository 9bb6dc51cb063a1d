"""JSON Schema to GBNF: every text that the grammar derives is JSON that satisfies the schema."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from ..containers import AnyObject
from ..fields import mismatch
from . import charset
from .arrays import array_node
from .document import Place
from .expand import Expander
from .gbnf import Grammar, Node, Ref, char_class, choice, optional, sequence
from .gbnf_text import gbnf_text
from .keywords import schema as checked_schema
from .keywords import string_language
from .language import ANYTHING, Language, One, both, lengths, times
from .language_grammar import UNESCAPED, json_letter, language_node
from .literals import one_of
from .numbers import decimal, integer
from .objects import object_node
from .shape import ALL_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .shape import Shape


_DEEPEST = 32
"""Levels of arrays and objects in a value that no schema speaks of."""

_SCALARS = ALL_TYPES - {"array", "object"}

_MOST_KEPT = 64
"""Grammars of the latest schemas: an application sends the same few, and a large one takes 30 ms."""


@lru_cache(_MOST_KEPT)
def schema_text_grammar(text: str, path: str) -> str:
    """GBNF of a JSON Schema that is an object, written as JSON; kept for the next time.

    Raises:
        ParameterError: it is no such thing, or `json_schema_grammar` refuses it.
    """
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise mismatch(path, "a JSON Schema", text) from None
    return json_schema_grammar(AnyObject().parse(path, schema), path)


def json_schema_grammar(schema: dict[str, Any] | bool, path: str) -> str:
    """GBNF of a JSON Schema (draft 2020-12, or 7 where they differ).

    The JSON is written without blanks but for at most one behind each comma and colon.

    Args:
        schema: as the JSON parser made it. An object with properties is closed unless it says otherwise.
        path: name of the parameter, for errors.

    Raises:
        ParameterError: a keyword is wrong or cannot be enforced; `param` is the path to it.
    """
    root = checked_schema(Place(schema, path))
    return Compiler(root).text()


class Compiler:
    """Turns the schemas of a document into rules, one for each set of schemas that must hold together.

    What no schema speaks of, any value, has a rule for each level of nesting: else a model could open
    arrays and objects until it is cut off.
    """

    def __init__(self, root: Place) -> None:
        self.expander = Expander(root)
        self.grammar = Grammar(root.path)
        self._root = root
        self._names: dict[tuple[frozenset[int], int], str] = {}
        self._todo: list[tuple[str, tuple[Place, ...], str, int]] = []
        self._level = 0
        name = self.grammar.reserve("root")
        self._todo.append((name, (root,), "", 0))
        self._names[frozenset({id(root.value)}), 0] = name
        # One blank is what models like to write; any number of them is what small ones never end.
        self.comma = self.grammar.define("comma", sequence(",", optional(sequence(" "))))
        self.colon = self.grammar.define("colon", sequence(":", optional(sequence(" "))))

    def text(self) -> str:
        """The grammar of the document."""
        while self._todo:
            name, places, hint, self._level = self._todo.pop()
            self.grammar.place = places[0].path if places else self._root.path
            shapes = self.expander.expand(places)
            if self._level == _DEEPEST:
                shapes = [replace(shape, types=_SCALARS) for shape in shapes]
            self.grammar.set(name, choice(*(self._shape(shape, hint or "value") for shape in shapes)))
        self.grammar.place = self._root.path
        return gbnf_text(self.grammar, "root")

    def rule_for(self, places: Iterable[Place], hint: str) -> Node:
        """The rule of a value that satisfies all the schemas, written when its turn comes."""
        asked = {id(place.value): place for place in places if place.value is not True}
        level = 0 if asked else self._level + 1
        key = frozenset(asked), level
        if key not in self._names:
            label = hint.removeprefix("value-") if asked else "value"
            self._names[key] = name = self.grammar.reserve(label)
            self._todo.append((name, tuple(asked.values()), name, level))
        return Ref(self._names[key])

    def any_string(self) -> Node:
        """A string without restrictions."""
        return self.grammar.define(
            "string", sequence('"', self.grammar.repeat("char", self._char(), 0, None), '"')
        )

    def with_lengths(self, language: Language, shape: Shape) -> Language:
        """A language, and the lengths that a shape asks for where it does not have them anyway."""
        least, most = lengths(language)
        longest = shape.max_length
        if least >= shape.min_length and (longest is None or (most is not None and most <= longest)):
            return language
        return both(language, times(One(charset.ALL), shape.min_length, longest))

    def _shape(self, shape: Shape, hint: str) -> Node:
        if shape.values is not None:
            admitted = [value for value, place in shape.values.values() if shape.admits(value, place)]
            texts = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in admitted]
            return one_of(self.grammar, texts, hint) if texts else choice()
        types = shape.meant_types()
        options: list[Node] = []
        if "object" in types:
            options.append(self.grammar.define("object", object_node(self, shape, hint)))
        if "array" in types:
            options.append(self.grammar.define("array", array_node(self, shape, hint)))
        if "string" in types:
            options.append(self._string(shape, hint))
        if "number" in types:
            options.append(self.grammar.define("number", decimal(shape.lower, shape.upper)))
        elif "integer" in types:
            options.append(self.grammar.define("integer", integer(shape.lower, shape.upper, shape.step)))
        if "boolean" in types:
            options.append(self.grammar.define("boolean", choice("true", "false")))
        if "null" in types:
            options.append(sequence("null"))
        return choice(*options)

    def _string(self, shape: Shape, hint: str) -> Node:
        language = string_language(shape)
        least, most = shape.min_length, shape.max_length
        if most is not None and least > most:
            return choice()
        if language != ANYTHING:
            inside = language_node(self.grammar, self.with_lengths(language, shape), json_letter, hint)
            return sequence('"', inside, '"')
        if (least, most) == (0, None):
            return self.any_string()
        return sequence('"', self.grammar.repeat("char", self._char(), least, most), '"')

    def _char(self) -> Node:
        """One character of a string in any notation: surrogates come in pairs, which are one character."""
        digit = self.grammar.define(
            "hex", char_class(charset.union(map(charset.chars, "0123456789abcdefABCDEF")))
        )
        not_surrogate = choice(
            sequence(char_class(charset.chars("0123456789abcefABCEF")), digit, digit, digit),
            sequence(char_class(charset.chars("dD")), char_class(charset.span("0", "7")), digit, digit),
        )
        pair = sequence(
            char_class(charset.chars("dD")), char_class(charset.chars("89abAB")), digit, digit,
            "\\u", char_class(charset.chars("dD")), char_class(charset.chars("cdefCDEF")), digit, digit,
        )  # fmt: skip
        escape = choice(char_class(charset.chars('"\\/bfnrt')), sequence("u", choice(not_surrogate, pair)))
        return self.grammar.define("char", choice(char_class(UNESCAPED), sequence("\\", escape)))
