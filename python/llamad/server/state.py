"""What the requests of one server share."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol, overload

from ..settings import Settings
from .gate import Gate
from .limits import BodyLimits
from .loop_watch import LoopLag
from .metrics_ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine_protocol import EmbedderProtocol, EngineProtocol
    from ..models.entries import ModelEntry
    from ..models.lease import Lease
    from ..models.statistics import ModelStatistics
    from .exchange import Exchange
    from .metrics_ledger import Counting


class Models(Protocol):
    """What the server needs of the `ModelManager`."""

    def entries(self) -> list[ModelEntry]: ...

    async def read_entries(self) -> list[ModelEntry]: ...

    def engines(self) -> dict[str, EngineProtocol]: ...

    def embedders(self) -> dict[str, EmbedderProtocol]: ...

    @overload
    async def lease(self, name: str, kind: Literal["generate"]) -> Lease[EngineProtocol]: ...

    @overload
    async def lease(self, name: str, kind: Literal["embed", "rerank"]) -> Lease[EmbedderProtocol]: ...

    async def load(self, name: str) -> ModelEntry: ...

    async def unload(self, name: str, *, force: bool = False) -> ModelEntry: ...

    async def preload(self, names: Sequence[str]) -> None: ...

    async def reload(self, settings: Settings) -> None: ...

    def statistics(self) -> ModelStatistics: ...

    async def close(self) -> None: ...


class ServerState:
    """Shared by the API, the monitor and the lifecycle; used on one event loop.

    Attributes:
        models: the models that are served.
        gate: who is let in; by default whom the default settings let in.
        body_limits: what a request's body may be.
        trust_request_chat_template: whether requests may bring their own chat template.
        stall_timeout_s: how long an engine that has work may get nothing done before it is said to hang.
        ledger: what the engines have counted, those that are gone included.
        loop_lag: how late the event loop has been.
        ready: whether the models to preload are loaded.
        draining: whether the server is shutting down and takes no new requests.
        live: the requests being answered.
        answered: how many requests ended with which status.
        slow_readers: how many connections were closed for leaving too much text "unread", or because
            they "stalled".
        refused_connections: how many were answered before they had asked for anything, by code.
        trace: tells a collector of traces of a request that is over; None where nobody is to be told.
    """

    def __init__(
        self,
        models: Models,
        gate: Gate | None = None,
        *,
        max_body_bytes: int,
        read_timeout_s: float = 60.0,
        stall_timeout_s: float = 120.0,
        trust_request_chat_template: bool = False,
    ) -> None:
        self.models = models
        self.gate = Gate(Settings()) if gate is None else gate
        self.body_limits = BodyLimits(max_body_bytes, read_timeout_s)
        self.trust_request_chat_template = trust_request_chat_template
        self.stall_timeout_s = stall_timeout_s
        self.ledger = Ledger()
        self.loop_lag = LoopLag()
        self.ready = False
        self.draining = False
        self.live: set[Exchange] = set()
        self.answered: Counter[int] = Counter()
        self.slow_readers: Counter[str] = Counter()
        self.refused_connections: Counter[str] = Counter()
        self.trace: Callable[[Exchange], None] | None = None
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

    def follow_engines(self) -> None:
        """Let the ledger know which engines there are."""
        self.ledger.follow(self.engines())

    def follow(self, lease: Lease[Counting]) -> None:
        """Let the ledger know of an engine that is about to be used: it may be gone before the next look."""
        self.ledger.follow({lease.model_id: lease.engine})

    def engines(self) -> dict[str, Counting]:
        """Return the engines of the loaded models by id, whatever they compute."""
        engines: dict[str, Counting] = {}
        engines.update(self.models.engines())
        engines.update(self.models.embedders())
        return engines

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no request is being answered; return whether that came true in time."""
        if not self.live:
            return True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
