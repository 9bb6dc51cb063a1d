"""A request's body: bytes to a JSON object, strictly.

What JSON leaves open, and what parsers quietly mend, is refused: a key that is given twice (whose value
would count?), `NaN`, half a surrogate pair, a byte order mark, anything after the object. So is nesting
that would exhaust the stack of whoever reads it next.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import ParameterError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

MAX_DEPTH = 128
"""Levels of objects and arrays. A JSON Schema takes two or three for each of its own."""

_LONGEST_KEY = 60
"""How much of a key an error repeats, in characters."""

_KINDS = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}

_logger = logging.getLogger(__name__)


def parse_object(body: bytes, what: str = "the body") -> dict[str, Any]:
    """Parse a request's body.

    Args:
        body: the JSON text.
        what: as messages call it.

    Raises:
        RequestError: it is empty, not valid JSON in UTF-8, nested too deeply, or not an object.
        ParameterError: an object in it has a key twice.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(_complaint(body, error, what)) from None
    if not isinstance(parsed, dict):
        raise RequestError(f"{what} must be a JSON object, not {_KINDS.get(type(parsed), 'a number')}")
    _refuse_duplicates(body, _count_keys(body, parsed, what))
    return parsed


def note_unknown(body: dict[str, Any], known: AbstractSet[str]) -> None:
    """Leave a line in the debug log about fields that nobody knows; they are ignored."""
    unknown = body.keys() - known
    if unknown:
        _logger.debug("ignoring unknown fields: %r", sorted(unknown))


def _complaint(body: bytes, error: orjson.JSONDecodeError, what: str) -> str:
    """Say why a body could not be parsed."""
    if not body.strip():
        return f"{what} is empty; it must be a JSON object"
    if body.startswith(b"\xef\xbb\xbf"):
        return f"{what} begins with a byte order mark; it must be plain UTF-8"
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        return f"{what} is not valid UTF-8: byte 0x{body[wrong.start]:02x} at offset {wrong.start}"
    for name in ("NaN", "Infinity"):
        if text.startswith(name, error.pos):
            return f"{what} is not valid JSON: {name} is not a JSON value: {_place(error)}"
    if error.msg.startswith("depth limit"):  # the parser's own, far above ours
        return _too_deep(what)
    return f"{what} is not valid JSON: {error}"


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno} column {error.colno} (char {error.pos})"


def _too_deep(what: str) -> str:
    return f"{what} is nested more than {MAX_DEPTH} levels deep"


def _count_keys(body: bytes, parsed: dict[str, Any], what: str) -> int:
    """Return how many keys all objects have together, or fewer where counting would cost more than it saves.

    Raises:
        RequestError: it is nested too deeply.
    """
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return len(parsed)
    n_keys = 0
    level: list[Any] = [parsed]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            children = node
            if type(node) is dict:
                n_keys += len(node)
                children = node.values()
            below += [child for child in children if type(child) is dict or type(child) is list]
        if not below:
            return n_keys
        level = below
    raise RequestError(_too_deep(what))


def _refuse_duplicates(body: bytes, n_keys: int) -> None:
    """Raise a `ParameterError` if an object of the body has a key twice; `n_keys` have been found."""
    # Each key brings a colon. Where there are no others, a second look is not needed: it takes as long
    # as the first (100 kB: up to 1.3 ms), and lists of token ids are where that would hurt.
    if body.count(b":") == n_keys:
        return
    doubled: list[tuple[dict[str, Any], str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            doubled.append((values, _first_repeated(key for key, _ in pairs)))
        return values

    whole = json.loads(body, object_pairs_hook=collect)
    if doubled:
        # Outer objects come last, and what holds the last one has no key twice: it is in the whole.
        values, key = doubled[-1]
        path = f"{_path_to(values, whole) or ''}{_short(key)}"
        raise ParameterError(f"'{path}' is given twice", param=path)


def _first_repeated(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise ValueError("no key is repeated")


def _path_to(wanted: object, root: Any) -> str | None:
    """Return where in `root` an object is, ready for a key to be added; None if it is not."""
    if root is wanted:
        return ""
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(root, dict):
        items = ((_short(key), value) for key, value in root.items())
    elif isinstance(root, list):
        items = ((f"[{index}]", value) for index, value in enumerate(root))
    for place, value in items:
        rest = _path_to(wanted, value)
        if rest is not None:
            return place + ("" if rest.startswith("[") else ".") + rest
    return None


def _short(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else key[: _LONGEST_KEY - 1] + "…"
