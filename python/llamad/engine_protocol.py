"""`EngineProtocol`, `EmbedderProtocol`: what the server needs of an `AsyncEngine` and an `AsyncEmbedder`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import _engine
    from .aio.stream import TokenStream
    from .embeddings import Embeddings, Ranking
    from .request_options import RequestOptions
    from .sampling import SamplingParams


class EngineProtocol(Protocol):
    """What the server needs of an engine: plain data in, events out."""

    @property
    def closed(self) -> bool: ...

    @property
    def info(self) -> _engine.ModelInfo: ...

    async def prepare(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared: ...

    async def prepare_chat(
        self,
        conversation_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared: ...

    async def prepare_infill(
        self,
        prefix: str,
        suffix: str,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared: ...

    def submit_choices(self, *prepared: _engine.Prepared) -> list[TokenStream]: ...

    async def apply_template(self, conversation_json: str | bytes) -> str: ...

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]: ...

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str: ...

    def token_pieces(self, token_ids: Sequence[int]) -> list[bytes]: ...

    def stats(self) -> dict[str, Any]: ...

    def slots(self) -> list[dict[str, Any]]: ...

    async def close(self) -> None: ...


class EmbedderProtocol(Protocol):
    """What the server needs of an embedder."""

    @property
    def closed(self) -> bool: ...

    @property
    def info(self) -> _engine.EmbedderInfo: ...

    async def embed(self, inputs: Sequence[str | Sequence[int]]) -> Embeddings: ...

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking: ...

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]: ...

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str: ...

    def stats(self) -> dict[str, Any]: ...

    async def close(self) -> None: ...
