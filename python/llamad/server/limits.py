"""What a request's body may be, checked while it is read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..openai.errors import WireError, invalid
from .disconnect import ClientGoneError

if TYPE_CHECKING:
    from .asgi import Receive
    from .exchange import Exchange

_LINGER_S = 2.0
"""How long the rest of a too large body is read and thrown away. Closing a socket with unread bytes
resets the connection, and a client that writes before it reads would never see the answer."""


_LEAST_RATE = 1024
"""Bytes per second that a body has to come with beyond its first `stall_s`; half a modem's."""


class RefusedError(Exception):
    """The request is refused for a reason of HTTP's own."""

    def __init__(self, error: WireError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a request's body may be.

    Attributes:
        most_bytes: no more are kept, however many are sent.
        stall_s: seconds in which nothing of it may arrive before its end, and which it may take in all
            besides those that `_LEAST_RATE` allows for what has come: a byte now and then is no progress.
    """

    most_bytes: int
    stall_s: float


async def read_json_body(exchange: Exchange, limits: BodyLimits) -> bytes:
    """Read a request's body.

    Raises:
        RefusedError: it is not declared as JSON (415), too large (413), or does not go on (408).
        ClientGoneError: the client went away before the end.
    """
    _check_type(exchange.headers)
    limit = limits.most_bytes
    declared = exchange.headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise await _too_large(exchange, limit)
    body = bytearray()
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        overdue = started + limits.stall_s + len(body) / _LEAST_RATE
        try:
            async with asyncio.timeout_at(min(clock() + limits.stall_s, overdue)):
                message = await exchange.receive()
        except TimeoutError:
            raise _stalled(exchange, len(body), clock() - started) from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message["body"]
        if len(body) > limit:
            raise await _too_large(exchange, limit)
        if not message["more_body"]:
            return bytes(body)


def _check_type(headers: dict[bytes, bytes]) -> None:
    declared = headers.get(b"content-type", b"application/json")
    kind = declared.split(b";", 1)[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        message = f"the content type must be application/json, not {declared.decode('latin-1')!r}"
        raise RefusedError(invalid(415, "unsupported_media_type", message))
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        message = f"the body must not be compressed, but its encoding is {encoding.decode('latin-1')!r}"
        raise RefusedError(invalid(415, "unsupported_media_type", message))


def _stalled(exchange: Exchange, n_bytes: int, took_s: float) -> RefusedError:
    exchange.last_on_connection = True
    message = f"the body stopped after {n_bytes} bytes, or came too slowly, in {took_s:.1f} s"
    return RefusedError(WireError(408, "timeout_error", "body_timeout", message))


async def _too_large(exchange: Exchange, limit: int) -> RefusedError:
    exchange.last_on_connection = True
    # A client that waits for "100 Continue" has sent nothing yet; reading would tell it to begin.
    if exchange.headers.get(b"expect", b"").lower() != b"100-continue":
        await _discard(exchange.receive)
    message = f"the body is larger than this server's limit of {limit} bytes"
    return RefusedError(invalid(413, "request_too_large", message))


async def _discard(receive: Receive) -> None:
    try:
        async with asyncio.timeout(_LINGER_S):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
