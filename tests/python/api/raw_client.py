"""A client that sends whatever bytes a test wants to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .fakes import WAIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .harness import Served

HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    async def line(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self._reader.readline()

    async def exactly(self, n_bytes: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self._reader.readexactly(n_bytes)

    async def rest(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(WAIT_S):
            return await self._reader.read()


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*served.address)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
