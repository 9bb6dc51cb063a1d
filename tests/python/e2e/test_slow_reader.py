"""A client that never reads: its slot and its socket come back, and its neighbours stream on."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

SLOW = "llamad_slow_readers_total"
FLAGS = ("--n-parallel", "4", "--n-ctx", str(ENDLESS_N_CTX), "--preload-model", "endless", *ONE_THREAD)


@contextmanager
def silent_client(server: ServerProcess) -> Iterator[socket.socket]:
    """Ask for a stream without end and read nothing of it."""
    body = {
        "model": "endless",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "ignore_eos": True,
    }
    payload = json.dumps(body).encode()
    address = urlsplit(server.url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(payload)}\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(60)
        client.connect((str(address.hostname), address.port))
        client.sendall(head.encode() + payload)
        yield client


async def stream(server: ServerProcess, n_chunks: int) -> None:
    """Read so many chunks with text of a stream without end, and leave."""
    messages: Any = [{"role": "user", "content": "world"}]
    async with server.async_client() as client:
        chunks = await client.chat.completions.create(
            model="endless", messages=messages, stream=True, extra_body={"ignore_eos": True}
        )
        async with chunks:
            async for chunk in chunks:
                n_chunks -= bool(chunk.choices[0].delta.content)
                if n_chunks == 0:
                    return
    raise AssertionError("the stream has ended")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (("--write-timeout", "1"), "stalled"),
        (("--max-unread-kib", "1"), "unread"),
    ],
)
def test_a_client_that_never_reads(
    endless_model: Path, tmp_path: Path, limits: tuple[str, ...], reason: str
) -> None:
    async def neighbours(server: ServerProcess) -> None:
        await asyncio.gather(*(stream(server, 50) for _ in range(3)))

    with serving(endless_model.parent, *FLAGS, *limits, log_path=tmp_path / "server.log") as server:
        with silent_client(server) as client:
            server.wait_for_metric("llamad_num_requests_running", lambda count: count == 1)
            asyncio.run(neighbours(server))
            server.wait_for_metric(SLOW, lambda count: count == 1, reason=reason)
            server.wait_until_idle()
            with suppress(ConnectionResetError):  # the connection is gone, with what was not sent
                while client.recv(1 << 16):
                    pass
        server.wait_for_log("closing the connection of a slow client")
        asyncio.run(neighbours(server))
