"""The server's API without a socket: requests go in and responses come out as bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..server.asgi import AsgiApp, Message, Scope


@dataclass(frozen=True, slots=True)
class Response:
    """What the server says.

    Attributes:
        status: of HTTP.
        request_id: the server's own.
        body: JSON.
    """

    status: int
    request_id: str
    body: bytes


class InProcessApi:
    """Asks an ASGI application as a client that sends one request and waits for the whole answer.

    Args:
        app: the API with all that a request passes, as a listener would serve it.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def post(self, path: str, body: bytes) -> Response:
        """Send a JSON body and return the answer; cancelling that ends what is computed for it."""
        channel = _Channel(body)
        await self._app(_scope(path, body), channel.receive, channel.send)
        return channel.response()


class _Channel:
    """The two ends of ASGI's channel for one request."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []

    async def receive(self) -> Message:
        if self._body is None:
            # A client that stays until it is answered: whoever waits here waits for it to go.
            await asyncio.get_running_loop().create_future()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = dict(message["headers"])
        else:
            self._pieces.append(message.get("body", b""))

    def response(self) -> Response:
        request_id = self._headers.get(b"x-request-id", b"").decode()
        return Response(self._status, request_id, b"".join(self._pieces))


def _scope(path: str, body: bytes) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
        "client": None,
        "server": None,
    }
