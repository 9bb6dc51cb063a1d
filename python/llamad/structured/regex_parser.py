r"""Reads regular expressions: what ECMAScript and Python write alike, and mean alike or nearly so.

Where the two differ, or Python's `re` knows Unicode and ECMAScript does not, the language is what both
accept: `\d` is an ASCII digit, `\D` neither an ASCII nor any other decimal digit.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, NoReturn

from . import charset
from .charset import CharSet
from .language import ANYTHING, EMPTY, Language, concat, one, times, union

_MOST_DEPTH = 50
_LONGEST = 20_000
_MOST_TIMES = 100_000

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_HEX_ESCAPES = {"x": 2, "u": 4}
_LINE_ENDS = charset.chars("\n\r\u2028\u2029")
_BEYOND_ASCII: CharSet = ((0x80, 0x10FFFF),)


class PatternError(ValueError):
    """A pattern is wrong or more than can be enforced; the message says where."""


class _Class(NamedTuple):
    """A set of characters as the stricter and as the laxer dialect sees it."""

    narrow: CharSet
    wide: CharSet

    def negated(self) -> _Class:
        return _Class(charset.complement(self.wide), charset.complement(self.narrow))


def _certain(members: CharSet) -> _Class:
    return _Class(members, members)


@cache
def _shorthand(letter: str) -> _Class | None:
    r"""What `\d`, `\w`, `\s` and their negations stand for."""
    if letter.isupper():
        positive = _shorthand(letter.lower())
        return positive and positive.negated()
    if letter == "d":
        decimal = charset.union([((code, code),) for code in range(0x20000) if chr(code).isdecimal()])
        return _Class(charset.span("0", "9"), decimal)
    if letter == "s":
        spaces = charset.union([((code, code),) for code in range(0x3001) if chr(code).isspace()])
        return _Class(charset.chars(" \t\n\r\f\v"), charset.union([spaces, charset.chars("\ufeff")]))
    if letter == "w":
        word = charset.union([charset.span("a", "z"), charset.span("A", "Z"), charset.span("0", "9")])
        word = charset.union([word, charset.chars("_")])
        return _Class(word, charset.union([word, _BEYOND_ASCII]))
    return None


def parse_pattern(pattern: str, *, search: bool) -> Language:
    """The texts that a pattern matches.

    Args:
        pattern: the regular expression.
        search: the match may stand anywhere in the text, as in JSON Schema's `pattern`, unless anchored;
            otherwise the whole text is the match.

    Raises:
        PatternError: it does not parse, or has what cannot be enforced.
    """
    if len(pattern) > _LONGEST:
        raise PatternError(f"has {len(pattern)} characters; at most {_LONGEST} can be enforced")
    return _Parser(pattern, search=search).parse()


class _Parser:
    def __init__(self, pattern: str, *, search: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._around = ANYTHING if search else EMPTY

    def parse(self) -> Language:
        options = [self._anchored()]
        while self._take("|"):
            options.append(self._anchored())
        if self._at < len(self._pattern):
            self._refuse("unbalanced ')'" if self._peek() == ")" else "an anchor that is not at an end")
        return union(*options)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._pattern.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _refuse(self, what: str, at: int | None = None) -> NoReturn:
        position = self._at if at is None else at
        raise PatternError(f"has {what} at position {position}")

    def _anchored(self) -> Language:
        """An alternative of the whole pattern: the only place where anchors are understood."""
        before = EMPTY if self._take("^") else self._around
        middle = self._concatenation(0)
        after = EMPTY if self._take("$") else self._around
        return concat(before, middle, after)

    def _alternatives(self, depth: int) -> Language:
        options = [self._concatenation(depth)]
        while self._take("|"):
            options.append(self._concatenation(depth))
        return union(*options)

    def _concatenation(self, depth: int) -> Language:
        parts: list[Language] = []
        while (char := self._peek()) and char not in "|)^$":
            parts.append(self._repeated(self._atom(depth)))
        return concat(*parts)

    def _atom(self, depth: int) -> Language:
        start = self._at
        char = self._peek()
        self._at += 1
        if char == "(":
            return self._group(depth, start)
        if char == "[":
            return one(self._char_class(start))
        if char == ".":
            return one(charset.complement(_LINE_ENDS))
        if char == "\\":
            return one(self._escape().narrow)
        if char in "*+?{":
            self._refuse(f"{char!r} with nothing to repeat", start)
        return one(charset.chars(self._character(char, start)))

    def _character(self, char: str, at: int) -> str:
        if not charset.contains(charset.ALL, ord(char)):
            self._refuse("a surrogate", at)
        return char

    def _group(self, depth: int, start: int) -> Language:
        if depth == _MOST_DEPTH:
            self._refuse(f"more than {_MOST_DEPTH} groups within each other", start)
        if self._take("?P<"):
            end = self._pattern.find(">", self._at)
            if end < 0 or not self._pattern[self._at : end].isidentifier():
                self._refuse("a group without a proper name", start)
            self._at = end + 1
        elif not self._take("?:") and self._peek() == "?":
            self._refuse("a lookaround, flag or other special group", start)
        inside = self._alternatives(depth + 1)
        if not self._take(")"):
            anchor = self._peek()
            self._refuse(
                "an anchor in a group" if anchor else "a group that is not closed", None if anchor else start
            )
        return inside

    def _repeated(self, atom: Language) -> Language:
        start = self._at
        signs = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        char = self._peek()
        if char in signs:
            self._at += 1
            least, most = signs[char]
        elif char == "{":
            least, most = self._counts(start)
        else:
            return atom
        self._take("?")  # the lazy form matches the same texts
        if self._peek() in {"*", "+", "?", "{"}:
            self._refuse("a repetition of a repetition", self._at)
        return times(atom, least, most)

    def _counts(self, start: int) -> tuple[int, int | None]:
        end = self._pattern.find("}", start)
        least, comma, most = self._pattern[start + 1 : max(end, start + 1)].partition(",")
        if not _is_count(least) or (most and not _is_count(most)):
            self._refuse("a '{' that begins no count such as {2,5}", start)
        self._at = end + 1
        bounds = int(least), int(most) if most else None if comma else int(least)
        if bounds[1] is not None and bounds[1] < bounds[0]:
            self._refuse("a repetition whose bounds are in the wrong order", start)
        if max(bounds[0], bounds[1] or 0) > _MOST_TIMES:
            self._refuse(f"a repetition of more than {_MOST_TIMES} times", start)
        return bounds

    def _escape(self) -> _Class:
        start = self._at - 1
        char = self._peek()
        self._at += 1
        if shorthand := _shorthand(char) if char in set("dDwWsS") else None:
            return shorthand
        if char in _ESCAPES:
            return _certain(charset.chars(_ESCAPES[char]))
        if char in _HEX_ESCAPES:
            digits = self._pattern[self._at : self._at + _HEX_ESCAPES[char]]
            if len(digits) < _HEX_ESCAPES[char] or not set(digits) <= set("0123456789abcdefABCDEF"):
                self._refuse(f"a \\{char} without its {_HEX_ESCAPES[char]} hexadecimal digits", start)
            self._at += len(digits)
            return _certain(charset.chars(self._character(chr(int(digits, 16)), start)))
        if not char:
            self._refuse("a backslash at its end", start)
        if char.isalnum() or not char.isascii():
            self._refuse(f"\\{char}, which is not enforced", start)
        return _certain(charset.chars(char))

    def _char_class(self, start: int) -> CharSet:
        negated = self._take("^")
        if self._peek() == "]":
            self._refuse("an empty class, or a ']' in it that needs a backslash", start)
        narrow: list[CharSet] = []
        wide: list[CharSet] = []
        while not self._take("]"):
            if self._at >= len(self._pattern):
                self._refuse("a class that is not closed", start)
            member = self._member()
            narrow.append(member.narrow)
            wide.append(member.wide)
        whole = _Class(charset.union(narrow), charset.union(wide))
        return (whole.negated() if negated else whole).narrow

    def _member(self) -> _Class:
        """A character, a range or a shorthand within a class."""
        start = self._at
        first = self._class_atom()
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in {"]", ""}:
            return first
        self._at += 1
        last = self._class_atom()
        low, high = _single(first), _single(last)
        if low is None or high is None or low > high:
            self._refuse("a range that has no proper ends", start)
        return _certain(charset.span(chr(low), chr(high)))

    def _class_atom(self) -> _Class:
        char = self._peek()
        self._at += 1
        if char == "\\":
            if self._peek() == "b":
                return self._backspace()
            return self._escape()
        return _certain(charset.chars(self._character(char, self._at - 1)))

    def _backspace(self) -> _Class:
        self._at += 1
        return _certain(charset.chars("\b"))


def _single(members: _Class) -> int | None:
    """The only character of a set, if it is one."""
    narrow = members.narrow
    return narrow[0][0] if len(narrow) == 1 and narrow[0][0] == narrow[0][1] else None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
