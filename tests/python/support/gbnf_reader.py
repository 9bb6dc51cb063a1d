"""Reads GBNF, derives random texts from it, and tells whether it derives a given one.

Independent of the code that writes grammars: every repetition becomes plain rules, as llama.cpp does it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

Ranges = tuple[tuple[int, int], ...]
Symbol = Ranges | str
"""A terminal, or the name of a rule."""
Alternatives = list[tuple[Symbol, ...]]

_SPACE = re.compile(r"[ \t]*")
_TIMES = re.compile(r"\{(\d+)(,?)(\d*)\}")
_ESCAPED = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


class Gbnf:
    """A grammar read from its text; raises ValueError where that is not as our own writer makes it."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, Alternatives] = {}
        for line in text.splitlines():
            name, sign, body = line.partition(" ::= ")
            if not sign or not re.fullmatch(r"[a-z0-9-]+", name) or name in self.rules:
                raise ValueError(f"not a rule: {line[:80]!r}")
            self._text, self._at = body, 0
            self.rules[name] = self._alternatives()
            if self._at < len(body):
                raise ValueError(f"in {name}, at {body[self._at : self._at + 20]!r}")
        for alternatives in self.rules.values():
            for alternative in alternatives:
                for symbol in alternative:
                    if isinstance(symbol, str) and symbol not in self.rules:
                        raise ValueError(f"no rule {symbol}")
        self._cost = self._least_costs()

    def sample(self, rng: random.Random, steps: int = 400) -> str:
        """A random text; after so many steps of derivation, the shortest way to an end is taken."""
        keenness = rng.choice((0.2, 0.5, 0.8, 0.97))
        out: list[str] = []
        todo: list[Symbol] = ["root"]
        while todo:
            symbol = todo.pop()
            steps -= 1
            if isinstance(symbol, str):
                todo.extend(reversed(self._choose(rng, symbol, keenness, short=steps < 0)))
            else:
                low, high = rng.choice(symbol)
                low, high = rng.choice(((low, high), (low, min(high, 0x7F)), (low, low)))
                out.append(chr(rng.randint(low, max(low, high))))
        return "".join(out)

    def derives(self, text: str) -> bool:
        """Whether the text can be derived as a whole."""
        return _Ways(self.rules).lead_to(text)

    def _choose(self, rng: random.Random, name: str, keenness: float, *, short: bool) -> tuple[Symbol, ...]:
        alternatives = self.rules[name]
        if short:
            return min(alternatives, key=self._cost_of)
        if alternatives[-1] == () and len(alternatives) == 2:
            return alternatives[0] if rng.random() < keenness else ()
        return rng.choice(alternatives)

    def _cost_of(self, alternative: tuple[Symbol, ...]) -> float:
        return sum(
            self._cost.get(symbol, float("inf")) if isinstance(symbol, str) else 1 for symbol in alternative
        )

    def _least_costs(self) -> dict[str, float]:
        users: dict[str, set[str]] = {name: set() for name in self.rules}
        for name, alternatives in self.rules.items():
            for alternative in alternatives:
                for symbol in alternative:
                    if isinstance(symbol, str):
                        users[symbol].add(name)
        self._cost = {}
        todo = list(self.rules)
        while todo:
            name = todo.pop()
            cost = 1 + min(self._cost_of(alternative) for alternative in self.rules[name])
            if cost < self._cost.get(name, float("inf")):
                self._cost[name] = cost
                todo.extend(users[name])
        endless = self.rules.keys() - self._cost.keys()
        if endless:
            raise ValueError(f"rules that never end: {sorted(endless)[:5]}")
        return self._cost

    def _new_rule(self, alternatives: Alternatives) -> str:
        name = f"/{len(self.rules)}"
        self.rules[name] = alternatives
        return name

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found
        self._at = found.end()

    def _alternatives(self) -> Alternatives:
        found = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            self._skip_space()
            found.append(self._sequence())
        return found

    def _sequence(self) -> tuple[Symbol, ...]:
        symbols: list[Symbol] = []
        while (char := self._peek()) and char not in "|)":
            item = self._repeated(self._item())
            symbols.extend(item)
            self._skip_space()
        return tuple(symbols)

    def _item(self) -> list[Symbol]:
        char = self._peek()
        if char == '"':
            self._at += 1
            chars: list[Symbol] = []
            while self._peek() != '"':
                code = self._char()
                chars.append(((code, code),))
            self._at += 1
            return chars
        if char == "[":
            return [self._char_class()]
        if char == "(":
            self._at += 1
            name = self._new_rule([])
            self.rules[name] = self._alternatives()
            if self._peek() != ")":
                raise ValueError("group not closed")
            self._at += 1
            return [name]
        found = re.compile(r"[a-z0-9-]+").match(self._text, self._at)
        if not found:
            raise ValueError(f"unexpected {self._text[self._at : self._at + 20]!r}")
        self._at = found.end()
        return [found[0]]

    def _char_class(self) -> Ranges:
        self._at += 1
        ranges = []
        while self._peek() != "]":
            low = high = self._char()
            if self._peek() == "-":
                self._at += 1
                high = self._char()
            ranges.append((low, high))
        self._at += 1
        return tuple(ranges)

    def _char(self) -> int:
        if self._peek() != "\\":
            self._at += 1
            return ord(self._text[self._at - 1])
        found = _ESCAPED.match(self._text, self._at)
        if not found or (found[4] and found[4] not in 'nrt\\"[]-'):
            raise ValueError("bad escape")
        self._at = found.end()
        digits = found[1] or found[2] or found[3]
        return int(digits, 16) if digits else ord(_PLAIN.get(found[4], found[4]))

    def _repeated(self, item: list[Symbol]) -> list[Symbol]:
        signs = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        char = self._peek()
        most: int | None
        if char in signs:
            self._at += 1
            least, most = signs[char]
        elif found := _TIMES.match(self._text, self._at):
            self._at = found.end()
            least = int(found[1])
            most = int(found[3]) if found[3] else None if found[2] else least
        else:
            return item
        if max(least, most or 0) > 2000:
            raise ValueError("llama.cpp takes more than 2,000 times for any number of times")
        if most is None:
            name = self._new_rule([])
            self.rules[name] = [(*item, name), ()]
            return item * least + [name]
        tail: list[Symbol] = []
        for _ in range(most - least):
            tail = [self._new_rule([(*item, *tail), ()])]
        return item * least + tail


class _Ways:
    """All ways to derive a text, followed at once. A frame is what is left of an alternative."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._rules = rules
        self._ids: dict[tuple[tuple[Symbol, ...], int, int], int] = {}
        self._frames: list[tuple[tuple[Symbol, ...], int, int]] = []

    def lead_to(self, text: str) -> bool:
        current = self._opened({self._frame(("root",), 0, -1)})
        for char in text:
            reached = set()
            for at in current - {-1}:
                symbols, index, parent = self._frames[at]
                ranges = symbols[index]
                if not isinstance(ranges, str) and any(low <= ord(char) <= high for low, high in ranges):
                    reached.add(self._frame(symbols, index + 1, parent))
            current = self._opened(reached)
        return -1 in current

    def _frame(self, symbols: tuple[Symbol, ...], index: int, parent: int) -> int:
        """The frame's number; `parent` is where to go on after it, -1 the end."""
        if index == len(symbols):
            return parent
        key = symbols, index, parent
        if key not in self._ids:
            self._ids[key] = len(self._frames)
            self._frames.append(key)
        return self._ids[key]

    def _opened(self, start: set[int]) -> set[int]:
        """The frames that go on with a character, and -1 where the text may end."""
        seen, todo, terminals = set(start), list(start), set[int]()
        while todo:
            at = todo.pop()
            symbol = self._frames[at][0][self._frames[at][1]] if at >= 0 else ()
            if not isinstance(symbol, str):
                terminals.add(at)
                continue
            symbols, index, parent = self._frames[at]
            after = self._frame(symbols, index + 1, parent)
            for alternative in self._rules[symbol]:
                following = self._frame(alternative, 0, after)
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        return terminals
