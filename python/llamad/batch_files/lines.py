"""The lines of a file of requests.

    {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": …}}

Of what was read before, nothing is held but the `custom_id`s, and of bad lines a digest: a file may be of any
size.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from ..errors import ParameterError, RequestError
from ..openai.body import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator

URLS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank")
"""What a line may ask for: OpenAI's endpoints of batches, and the one that ranks documents."""

ID_PREFIX = "batch_req_"
_DIGEST_BYTES = 12

_ENVELOPE_BYTES = 1 << 20
"""Room on a line for what is beside the body."""

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Request:
    """A line that is a request; whether its body is right, the server says.

    Attributes:
        id: a digest of the line: of its answer.
        custom_id: as the line says.
        url: one of `URLS`.
        body: of the request, as JSON.
    """

    id: str
    custom_id: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no request.

    Attributes:
        id: a digest of the line, and of how many such lines came before: of its answer.
        custom_id: as the line says; None where it does not.
        number: which line it is; the first is 1.
        code: what is wrong, for programs.
        message: what is wrong, for people.
        param: the key to blame, if one is.
    """

    id: str
    custom_id: str | None
    number: int
    code: str
    message: str
    param: str | None


Line = Request | BadLine


def read_lines(file: BinaryIO, max_body_bytes: int) -> Iterator[Line]:
    """Read a file of requests to its end; empty lines are passed over.

    Args:
        file: read from where it stands.
        max_body_bytes: of a request; a line that is much longer is bad, and is not held in memory.
    """
    seen = _Seen()
    longest = max_body_bytes + _ENVELOPE_BYTES
    for number in count(1):
        text = file.readline(longest + 1)
        if not text:
            return
        if len(text) > longest:
            yield _too_long(file, text, number, longest, seen)
        elif text := text.strip():
            yield _line(text, number, seen)


class _Seen:
    """What has been read: which `custom_id`s, and how often each bad line."""

    def __init__(self) -> None:
        self._custom_ids: set[str] = set()
        self._bad: Counter[bytes] = Counter()

    def take(self, custom_id: str) -> None:
        if custom_id in self._custom_ids:
            message = f"the custom_id {_short(custom_id)!r} is that of an earlier line"
            raise _WrongError("duplicate_custom_id", message, "custom_id")
        self._custom_ids.add(custom_id)

    def bad_id(self, digest: bytes) -> str:
        """Return the id of a bad line: not by its number, for lines may be added before it."""
        self._bad[digest] += 1
        return _id(_hash(digest, self._bad[digest]).digest())


class _WrongError(Exception):
    def __init__(self, code: str, message: str, param: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def _line(text: bytes, number: int, seen: _Seen) -> Line:
    custom_id = None
    try:
        fields = _parsed(text)
        custom_id = _custom_id(fields)
        seen.take(custom_id)
        return Request(_id(_hash(text).digest()), custom_id, _url(fields), _body(fields))
    except _WrongError as wrong:
        message = f"line {number}: {wrong}"
        line_id = seen.bad_id(_hash(text).digest())
        return BadLine(line_id, custom_id, number, wrong.code, message, wrong.param)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        return parse_object(text, "the line")
    except RequestError as error:
        param = error.param if isinstance(error, ParameterError) else None
        raise _WrongError("invalid_json_line", str(error), param) from None


def _custom_id(fields: dict[str, Any]) -> str:
    custom_id = _required(fields, "custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise _WrongError("invalid_custom_id", "'custom_id' must be a string that is not empty", "custom_id")
    return custom_id


def _url(fields: dict[str, Any]) -> str:
    method = _required(fields, "method")
    if method != "POST":
        raise _WrongError("invalid_method", f"'method' must be POST, not {_short(method)!r}", "method")
    url = _required(fields, "url")
    if not isinstance(url, str) or url not in URLS:
        message = f"'url' must be one of {', '.join(URLS)}, not {_short(url)!r}"
        raise _WrongError("invalid_url", message, "url")
    return url


def _body(fields: dict[str, Any]) -> bytes:
    body = _required(fields, "body")
    if not isinstance(body, dict):
        raise _WrongError("invalid_body", "'body' must be an object", "body")
    if body.get("stream") is True:
        message = "'body.stream' must not be true: an answer of a batch is one line"
        raise _WrongError("stream_not_supported", message, "body.stream")
    return orjson.dumps(body)


def _required(fields: dict[str, Any], name: str) -> Any:
    value = fields.get(name)
    if value is None:
        raise _WrongError("missing_required_parameter", f"{name!r} is required", name)
    return value


def _too_long(file: BinaryIO, text: bytes, number: int, longest: int, seen: _Seen) -> BadLine:
    digest = _hash(text)
    while not text.endswith(b"\n") and (text := file.readline(longest)):
        digest.update(text)
    message = f"line {number}: the line is longer than {longest} bytes"
    return BadLine(seen.bad_id(digest.digest()), None, number, "line_too_long", message, None)


def _id(digest: bytes) -> str:
    return ID_PREFIX + digest.hex()


def _hash(text: bytes, salt: int = 0) -> blake2b:
    return blake2b(text, digest_size=_DIGEST_BYTES, salt=salt.to_bytes(8, "little"))


def _short(value: object) -> object:
    """Return a value as a message may show it."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
