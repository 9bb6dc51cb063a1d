"""What the requests of one server share."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol

from .limits import BodyLimits

if TYPE_CHECKING:
    from ..engine_protocol import EmbedderProtocol, EngineProtocol
    from ..models.manager import ModelEntry
    from .exchange import Exchange


class Models(Protocol):
    """What the server needs of the `ModelManager`."""

    def entries(self) -> list[ModelEntry]: ...

    async def read_entries(self) -> list[ModelEntry]: ...

    def engines(self) -> dict[str, EngineProtocol]: ...

    def embedders(self) -> dict[str, EmbedderProtocol]: ...

    async def get(self, model_id: str) -> EngineProtocol: ...

    async def get_embedder(self, model_id: str, kind: Literal["embed", "rerank"]) -> EmbedderProtocol: ...

    async def preload(self, model_id: str) -> None: ...

    async def close(self) -> None: ...


class ServerState:
    """Shared by the API, the monitor and the lifecycle; used on one event loop.

    Attributes:
        models: the models that are served.
        body_limits: what a request's body may be.
        ready: whether the models to preload are loaded.
        draining: whether the server is shutting down and takes no new requests.
        live: the requests being answered.
        answered: how many requests ended with which status.
        slow_readers: how many connections were closed for leaving too much text "unread", or because
            they "stalled".
    """

    def __init__(self, models: Models, *, max_body_bytes: int, read_timeout_s: float = 60.0) -> None:
        self.models = models
        self.body_limits = BodyLimits(max_body_bytes, read_timeout_s)
        self.ready = False
        self.draining = False
        self.live: set[Exchange] = set()
        self.answered: Counter[int] = Counter()
        self.slow_readers: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, exchange: Exchange) -> None:
        """Count a request in."""
        self.live.add(exchange)
        self._idle.clear()

    def leave(self, exchange: Exchange) -> None:
        """Count a request out."""
        self.live.discard(exchange)
        self.answered[exchange.status] += 1
        if not self.live:
            self._idle.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no request is being answered; return whether that came true in time."""
        if not self.live:
            return True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
