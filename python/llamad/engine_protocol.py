"""`EngineProtocol`: what the server needs of an `AsyncEngine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from . import _engine
    from .request_options import RequestOptions
    from .sampling import SamplingParams
    from .stream import TokenStream


class EngineProtocol(Protocol):
    """What the server needs of an engine: plain data in, events out."""

    @property
    def info(self) -> _engine.ModelInfo: ...

    async def prepare_chat(
        self,
        messages_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared: ...

    def submit_choices(self, prepared: _engine.Prepared) -> list[TokenStream]: ...

    def stats(self) -> dict[str, Any]: ...

    async def close(self) -> None: ...
