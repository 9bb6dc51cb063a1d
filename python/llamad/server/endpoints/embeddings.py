"""`POST /v1/embeddings` and `/v1/rerank`: vectors of texts, and scores of documents."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ...openai.embeddings import check_dimensions, embedding_list, parse_embedding
from ...openai.rerank import parse_rerank, ranking
from ...results import Usage
from ..access import require_model
from ..limits import read_json_body
from ..routing import Route, exchange_of, json_response
from . import generation

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ...embeddings import Embeddings, Ranking
    from ...openai.embeddings import EmbeddingRequest
    from ...openai.rerank import RerankRequest
    from ..exchange import Exchange
    from ..state import ServerState

_EMBEDDING_PATHS = ("/v1/embeddings", "/embeddings")
_RERANK_PATHS = ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking")
"""OpenAI's and Cohere's, then llama-server's."""

_FEW_NUMBERS = 1 << 13


class EmbeddingsEndpoint:
    """What models that generate no text compute."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [Route("POST", path, self.embeddings) for path in _EMBEDDING_PATHS] + [
            Route("POST", path, self.rerank) for path in _RERANK_PATHS
        ]

    async def embeddings(self, request: Request) -> Response:
        """Compute the vectors of one text, or of many; a client that leaves takes them with it."""
        exchange = exchange_of(request)
        body = await read_json_body(exchange, self._state.body_limits)
        wanted = await generation.read(parse_embedding, body)
        exchange.model = wanted.model
        await require_model(exchange, self._state.models, wanted.model)
        embeddings = await exchange.watch().until_gone(self._embed(exchange, wanted))
        exchange.usage = Usage(sum(embeddings.n_tokens), 0, 0)
        # 2,048 vectors as numbers take 100 ms to write, for which no stream should stand still.
        small = len(wanted.inputs) * len(embeddings.vectors[0]) <= _FEW_NUMBERS
        write = partial(embedding_list, wanted, embeddings)
        return json_response(200, write() if small else await asyncio.to_thread(write))

    async def rerank(self, request: Request) -> Response:
        """Score documents by how well they answer a query, the best first."""
        exchange = exchange_of(request)
        wanted = await generation.read(parse_rerank, await read_json_body(exchange, self._state.body_limits))
        exchange.model = wanted.model
        await require_model(exchange, self._state.models, wanted.model)
        scored = await exchange.watch().until_gone(self._rerank(exchange, wanted))
        exchange.usage = Usage(sum(scored.n_tokens), 0, 0)
        return json_response(200, ranking(wanted, scored))

    async def _embed(self, exchange: Exchange, wanted: EmbeddingRequest) -> Embeddings:
        embedder = exchange.hold(await self._state.models.lease(wanted.model, "embed")).engine
        check_dimensions(wanted.dimensions, embedder.info.n_out)
        return await embedder.embed(wanted.inputs)

    async def _rerank(self, exchange: Exchange, wanted: RerankRequest) -> Ranking:
        embedder = exchange.hold(await self._state.models.lease(wanted.model, "rerank")).engine
        return await embedder.rerank(wanted.query, wanted.documents)
